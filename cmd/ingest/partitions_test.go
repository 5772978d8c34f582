package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"roomtrail/commandline"
)

// state reads the table that partitions prints: which generation has which
// partition, and what it does.
func state(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := command(t, "", append([]string{"partitions"}, args...)...)
	if code != commandline.Done {
		t.Fatalf("partitions %v: exit %d, %s", args, code, stderr)
	}
	var out []string
	for _, row := range regexp.MustCompile(`(\d+) │ +(\d+) │ +(\d+) │.*│ (retired|takes events)`).FindAllStringSubmatch(stdout, -1) {
		out = append(out, fmt.Sprintf("%s/%s %s %s", row[1], row[2], row[3], row[4]))
	}
	return strings.Join(out, ", ")
}

// The number is changed while the stack takes events; what came before and
// after is counted, the old generation shows no lag, and a restart goes on.
func TestPartitionsOfARunningStack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := serving(t, dir)
	if got := report(t, url); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	if got, want := state(t, "--data-dir", dir), "1/0 1 takes events"; got != want {
		t.Errorf("at first: %s; want %s", got, want)
	}
	if got, want := state(t, "--data-dir", dir, "2"), "1/0 1 retired, 2/0 0 takes events, 2/1 0 takes events"; got != want {
		t.Errorf("changed to 2: %s; want %s", got, want)
	}
	if got := report(t, url); got != http.StatusOK {
		t.Fatalf("after: %d", got)
	}
	eventually(t, "both copies in room_events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 2 })
	if n := rows(t, dir, "SELECT count(*) FROM sessions"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	eventually(t, "a generation that is done beside one that runs", func() bool {
		return rows(t, dir, "SELECT count(*) FROM pipeline_status WHERE (generation, state, lag_events) IN ((1, 'done', 0), (2, 'running', 0))") == 3
	})
	code, stdout, _ := command(t, "", "status", "--data-dir", dir)
	if code != commandline.Done || !strings.Contains(stdout, "retired") || !strings.Contains(stdout, "done") {
		t.Errorf("status: exit %d, %s", code, stdout)
	}
	if code, stdout, _ := command(t, "", "doctor", "--data-dir", dir); !strings.Contains(stdout, "partition 1/0") || strings.Contains(stdout, "nobody applies it") {
		t.Errorf("doctor: exit %d, %s", code, stdout)
	}
	stop()
	if got, want := state(t, "--data-dir", dir, "2"), "1/0 1 retired, 2/0 0 takes events, 2/1 1 takes events"; !sameButFor(got, want) {
		t.Errorf("stopped, and as many as before: %s; want %s", got, want)
	}
	if got := state(t, "--data-dir", dir, "1"); !strings.HasSuffix(got, "3/0 0 takes events") || strings.Count(got, "retired") != 3 {
		t.Errorf("stopped, changed to 1: %s", got)
	}
	url, stop = serving(t, dir)
	defer stop()
	if got := report(t, url); got != http.StatusOK {
		t.Fatalf("after a restart: %d", got)
	}
	eventually(t, "all copies in room_events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 3 })
}

// sameButFor compares without minding in which partition the one event lies.
func sameButFor(got, want string) bool {
	return got == want || got == strings.NewReplacer("2/0 0", "2/0 1", "2/1 1", "2/1 0").Replace(want)
}

func TestPartitionsRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"1025", "x"} {
		code, _, stderr := command(t, "", "partitions", "--data-dir", t.TempDir(), n)
		if code != commandline.Usage {
			t.Errorf("partitions %s: exit %d, %s; want usage", n, code, stderr)
		}
	}
}
