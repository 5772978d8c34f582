package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomtrail/commandline"
	"roomtrail/embedded"
	"roomtrail/projections"
	"roomtrail/readmodel/readmodeltest"
)

// alter changes the database of a running stack behind its back.
func alter(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestRebuildBesideAServerAndAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, stop := serving(t, dir)
	file := write(t, filepath.Join(dir, "life.ndjson"), []byte(lines(200)))
	if code, _, stderr := command(t, "", "import", file, "--data-dir", dir); code != commandline.Done {
		t.Fatalf("import: exit %d, %s", code, stderr)
	}
	eventually(t, "all events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 200 })
	e, err := embedded.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	alter(t, e.DatabaseURL, "DELETE FROM "+projections.Schema()+".logins WHERE set_id = (SELECT min(set_id) FROM "+projections.Schema()+".logins)")
	try := func(code int, want string, flags ...string) {
		t.Helper()
		got, stdout, stderr := command(t, "", append([]string{"rebuild", "--data-dir", dir}, flags...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("rebuild %v: exit %d\n%s%s\nwant %d and %q", flags, got, stdout, stderr, code, want)
		}
	}
	try(commandline.Failed, "sessions, only rebuilt {", "--dry-run")
	try(commandline.Failed, "would differ; nothing was changed", "--dry-run")
	try(commandline.Done, "the views show the rebuilt read model")
	try(commandline.Done, "nothing would differ", "--dry-run")
	if n := rows(t, dir, "SELECT count(*) FROM sessions"); n != 20 {
		t.Errorf("%d sessions are there after the rebuild, want 20", n)
	}
	if code, _, stderr := command(t, lines(210), "import", "-", "--data-dir", dir); code != commandline.Done {
		t.Fatalf("import: exit %d, %s", code, stderr)
	}
	eventually(t, "the server to go on", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events WHERE NOT is_copy") == 210 })
	stop()
	// Where nothing runs, the private Postgres is started for it.
	try(commandline.Done, "the old tables are in schema "+projections.Schema()+"_old", "--keep-old")
	try(commandline.Done, "dropped schema "+projections.Schema()+"_old", "--abandon")
	try(commandline.Done, "there is nothing to drop", "--abandon")
}

// A newer program fills its read model before it serves where the database is
// its own; where it is not, it says what to do.
func TestServeMeetsAnOlderReadModel(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	_, stop := serving(t, dir)
	if code, _, stderr := command(t, lines(50), "import", "-", "--data-dir", dir); code != commandline.Done {
		t.Fatalf("import: exit %d, %s", code, stderr)
	}
	eventually(t, "all events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 50 })
	stop()

	pg, err := embedded.StartPostgres(ctx, embedded.PostgresConfig{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	url := pg.DSN(pg.Superuser(), "postgres")
	readmodeltest.MakeOlder(t, url)
	code, _, stderr := command(t, "", "serve", "--database-url", url, "--data-dir", t.TempDir(), "--listen", freePort(t))
	if code != commandline.Failed || !strings.Contains(stderr, "run: ingest rebuild") {
		t.Errorf("serve on somebody else's database: exit %d, %s", code, stderr)
	}
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	serving(t, dir)
	eventually(t, "the rebuilt read model to go on where the older one was", func() bool {
		return rows(t, dir, "SELECT count(*) FROM pipeline_status WHERE live AND position = 50 AND state = 'running'") == 1
	})
	if n := rows(t, dir, "SELECT count(*) FROM sessions"); n != 5 {
		t.Errorf("%d sessions, want 5", n)
	}
}
