package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"roomtrail/events"
	"roomtrail/query"
)

var (
	commandSaid = regexp.MustCompile(`\bquery ([a-z]+)`)
	flagSaid    = regexp.MustCompile(`(?:^| )--?([a-z-]+)`)
)

// wrongCommands are the commands and flags in a text that the program does not
// have. A flag belongs to the command before it.
func wrongCommands(said string) []string {
	var wrong []string
	commands := commandSaid.FindAllStringSubmatchIndex(said, -1)
	if at := flagSaid.FindStringIndex(said); at != nil && (commands == nil || at[0] < commands[0][0]) {
		wrong = append(wrong, "a flag of no command")
	}
	for i, m := range commands {
		name, rest := said[m[2]:m[3]], said[m[1]:]
		if i+1 < len(commands) {
			rest = said[m[1]:commands[i+1][0]]
		}
		question := slices.IndexFunc(query.Questions(), func(q query.Question) bool { return q.Name == name })
		if question < 0 {
			wrong = append(wrong, "query "+name)
			continue
		}
		for _, flag := range flagSaid.FindAllStringSubmatch(rest, -1) {
			taken := flag[1] == "o" || slices.ContainsFunc(query.Questions()[question].Params, func(p query.Param) bool {
				return strings.ReplaceAll(p.Name, "_", "-") == flag[1]
			})
			if !taken {
				wrong = append(wrong, "query "+name+" --"+flag[1])
			}
		}
	}
	return wrong
}

func TestAdviceNamesCommandsThereAre(t *testing.T) {
	t.Parallel()
	for _, c := range events.Codes() {
		if wrong := wrongCommands(c.Advice); wrong != nil {
			t.Errorf("%s %d: there is no %q in %q", c.Family, c.ErrorCode, wrong, c.Advice)
		}
	}
	for said, want := range map[string]int{
		unlistedAdvice:                         0,
		"query errors --carrier C or --room R": 0,
		"query sessions -o json":               0,
		"query nothing":                        1,
		"query anomalies --carrier C":          1,
		"query heartbeats --x; query kik":      2,
		"--carrier C":                          1,
	} {
		if wrong := wrongCommands(said); len(wrong) != want {
			t.Errorf("%q: %q is wrong, want %d", said, wrong, want)
		}
	}
}

func errorsQuestion(t *testing.T) query.Question {
	t.Helper()
	i := slices.IndexFunc(query.Questions(), func(q query.Question) bool { return q.Name == "errors" })
	if i < 0 {
		t.Fatal("no question errors")
	}
	return query.Questions()[i]
}

func TestErrorsSayEachCodeOnce(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 3, 11, 0, 0, time.UTC)
	r := query.Result{
		Request: query.Request{Question: errorsQuestion(t)},
		Answer: query.Answer{
			Columns: []string{"reason", "family", "error_code", "category", "events", "share", "users", "last_at", "meaning", "advice"},
			Rows: [][]any{
				{"LoginFailed", "web", int64(1002053), "network", int64(3), 0.75, int64(2), at, "The SDK gave up.", "Have it log in again."},
				{"LoginFailed", "native", int64(99), nil, int64(1), 0.25, int64(1), at, nil, nil},
				{"ReconnectFailed", "web", int64(1002053), "network", int64(1), 1.0, int64(1), at, "The SDK gave up.", "Have it log in again."},
			},
		},
	}
	want := `reason           family  error code  category  events    share  users  last at
────────────────────────────────────────────────────────────────────────────────────────────
LoginFailed      web        1002053  network        3   75.0 %      2  2026-03-01 03:11:00
LoginFailed      native          99  –              1   25.0 %      1  2026-03-01 03:11:00
ReconnectFailed  web        1002053  network        1  100.0 %      1  2026-03-01 03:11:00

1002053 web  The SDK gave up.
    Have it log in again.

99 native  In no list of its family.
    query session S shows what the SDK said beside it; ask the vendor's support what it means.
`
	var b bytes.Buffer
	if err := writeErrors(&b, r, query.Look{Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// However long the advice of the real codes, the answer fits a terminal.
func TestErrorsFitATerminal(t *testing.T) {
	t.Parallel()
	r := query.Result{
		Request: query.Request{Question: errorsQuestion(t)},
		Answer: query.Answer{
			Columns: []string{"reason", "family", "error_code", "category", "events", "share", "users", "last_at", "meaning", "advice"},
		},
	}
	for _, c := range events.Codes() {
		r.Rows = append(r.Rows, []any{"ReconnectFailed", string(c.Family), c.ErrorCode, c.Category, int64(1000), 1.0, int64(1000),
			time.Date(2026, 3, 1, 3, 11, 0, 0, time.UTC), c.Meaning, c.Advice})
	}
	var b bytes.Buffer
	if err := writeErrors(&b, r, query.Look{Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if utf8.RuneCountInString(line) > 120 {
			t.Errorf("wider than a terminal: %s", line)
		}
	}
	for _, c := range events.Codes() {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), c.Advice) {
			t.Errorf("the advice of %s %d is cut", c.Family, c.ErrorCode)
		}
	}
}
