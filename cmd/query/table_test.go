package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"roomtrail/query"
)

func render(t *testing.T, r query.Result, look query.Look) string {
	t.Helper()
	var b bytes.Buffer
	if err := writeTable(&b, r, look); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	t.Parallel()
	r := query.Result{
		Request: query.Request{
			Question: query.Question{Name: "sessions", Table: []string{"room_id", "state", "time_to_login_ms", "carrier", "advice"}},
			Range:    query.Range{Since: time.Date(2026, 3, 1, 2, 12, 0, 0, time.UTC), Until: time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)},
		},
		Answer: query.Answer{
			Columns: []string{"hidden", "room_id", "state", "time_to_login_ms", "carrier", "advice"},
			Rows: [][]any{
				{"x", "会议室一号", "Logined", int64(120), nil, "Look for one carrier or region among the failures first."},
				{"x", "lobby", "KickOut", int64(90_000), nil, nil},
				{"x", "\x1b[2Jgone", "Logined", nil, nil, "Wait."},
			},
		},
	}
	want := `sessions, 2026-03-01 02:12:00 to 03:12:00 UTC
room id      state    time to login  advice
───────────────────────────────────────────────────────────────────────────────────
会议室一号   Logined         120 ms  Look for one carrier or region among the
                                     failures first.
lobby        KickOut         1m 30s  –
\x1b[2Jgone  Logined              –  Wait.
`
	if got := render(t, r, query.Look{Zone: time.UTC}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	coloured := render(t, r, query.Look{Zone: time.UTC, Color: true})
	if !strings.Contains(coloured, "\x1b[31mKickOut\x1b[0m") || strings.Contains(coloured, "\x1b[2J") {
		t.Errorf("colours are wrong in\n%q", coloured)
	}
}

func TestUprightTable(t *testing.T) {
	t.Parallel()
	r := query.Result{
		Request: query.Request{Question: query.Question{Name: "health", Upright: true}},
		Answer: query.Answer{
			Columns: []string{"platform", "logins", "login_success_rate", "reconnect_finished_p50_ms"},
			Rows:    [][]any{{"web", int64(3), 0.9996, nil}, {"total", int64(1200), 1.0, int64(7_250)}},
		},
	}
	want := `                           web    total
─────────────────────────────────────────
logins                       3     1200
login success rate      99.9 %  100.0 %
reconnect finished p50       –    7.2 s
`
	if got := render(t, r, query.Look{Zone: time.UTC}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Parallel()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	env := func(list ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(list); i += 2 {
				if list[i] == name {
					return list[i+1]
				}
			}
			return ""
		}
	}
	if !lookFor(null, env("TERM", "xterm"), false).Color {
		t.Error("no colours on a terminal")
	}
	if lookFor(null, env("NO_COLOR", "1"), false).Color || lookFor(null, env("TERM", "dumb"), false).Color {
		t.Error("colours where NO_COLOR or a dumb terminal forbids them")
	}
	if lookFor(file, env(), false).Color || lookFor(&bytes.Buffer{}, env(), false).Color {
		t.Error("colours in a file or a pipe")
	}
	if got := lookFor(file, env(), true).Zone; got != time.UTC {
		t.Errorf("zone of --utc is %s", got)
	}
}
