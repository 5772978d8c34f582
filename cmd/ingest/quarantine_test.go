package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomtrail/commandline"
	"roomtrail/embedded"
)

// setAside puts rows into quarantine as a projector would that read no version
// but its own.
func setAside(t *testing.T, dir string) {
	t.Helper()
	e, err := embedded.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), e.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), `
INSERT INTO roomtrail.quarantine (generation, partition, stream_seq, reason, schema_version, bytes) VALUES
(1, 0, 901, 'schema version "2" is not known', '1', convert_to($1, 'UTF8')),
(1, 0, 902, 'not JSON', '1', '\x001b5b41'),
(1, 0, 903, 'not JSON', '1', 'half {')`,
		`{"app_id":"app","room_id":"r","user_id":"late","session_id":"s9","seq":0,"kind":"state","reason":"Logining","error_code":0,`+
			`"occurred_at":"2026-03-01T10:00:00.000000Z","platform":"web","family":"web","received_at":"2026-03-01T10:00:01.000000Z",`+
			`"source":"client","trust":"token","salt":"AQIDAAAAAAAAAAAAAAAAAA=="}`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestQuarantineIsListedShownRetriedAndDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, stop := serving(t, dir)
	if code, stdout, _ := command(t, "", "quarantine", "list", "--data-dir", dir); code != commandline.Done || !strings.Contains(stdout, "nothing is in quarantine") {
		t.Errorf("an empty list: exit %d, %q", code, stdout)
	}
	setAside(t, dir)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list"}, commandline.Done, "1/0/902"},
		{[]string{"show", "1/0/901"}, commandline.Done, `"user_id":"late"`},
		{[]string{"show", "1/0/902"}, commandline.Done, "00 1b 5b 41"},
		{[]string{"show", "1/0/904"}, commandline.Failed, "not in quarantine"},
		{[]string{"show", "902"}, commandline.Usage, "want generation/partition/stream_seq"},
		{[]string{"retry"}, commandline.Usage, "either refs or --all"},
		{[]string{"retry", "--all", "1/0/901"}, commandline.Usage, "either refs or --all"},
		{[]string{"drop", "1/0/902"}, commandline.Usage, "--why"},
		{[]string{"drop", "1/0/902", "--why", " "}, commandline.Usage, "--why is empty"},
		{[]string{"retry", "--all"}, commandline.Failed, "1 messages appended again, 2 stay in quarantine"},
		{[]string{"drop", "1/0/902", "--why", "noise"}, commandline.Done, "1/0/902 is dropped"},
		{[]string{"drop", "1/0/902", "--why", "noise"}, commandline.Failed, "not in quarantine"},
	} {
		code, stdout, stderr := command(t, "", append(append([]string{"quarantine"}, c.args...), "--data-dir", dir)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%v: exit %d, %q, %q; want %d and %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
	eventually(t, "the event", func() bool {
		return rows(t, dir, "SELECT count(*) FROM room_events WHERE user_id = 'late' AND trust = 'token' AND NOT is_import") == 1
	})
	if n := rows(t, dir, "SELECT count(*) FROM audit_ledger WHERE act = 'quarantine_drop' AND subject = '1/0/902' AND why = 'noise'"); n != 1 {
		t.Errorf("%d entries in the ledger, want 1", n)
	}

	// Where nothing runs, the servers are started for as long as it takes.
	stop()
	code, stdout, stderr := command(t, "", "quarantine", "retry", "1/0/903", "--data-dir", dir)
	if code != commandline.Failed || !strings.Contains(stdout, "0 messages appended again, 1 stay") || !strings.Contains(stderr, "still not readable") {
		t.Errorf("retry on a stack that stands: exit %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, "", "quarantine", "list", "--data-dir", dir); code != commandline.Done || !strings.Contains(stdout, "1/0/903") {
		t.Errorf("list of a stack that stands: exit %d, %q, %q", code, stdout, stderr)
	}
}
