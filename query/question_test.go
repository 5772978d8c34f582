package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// views are the public views that questions may read, with the columns that
// contract 5 promises.
var views = map[string]string{
	"room_events": `app_id event_ref partition stream_seq is_copy source trust kind room_id user_id session_id seq reason
		previous_reason error_code error_category error_meaning transition extended_data via platform family sdk_version
		app_version device_id boot_id monotonic_ms os network carrier region attributes room_seq server_session_id
		server_reason user_update_seq occurred_at happened_at received_at clock_offset_ms is_import`,
	"sessions": `app_id session_id login_no room_id room_session_id user_id device_id platform family sdk_version app_version
		os network carrier region via login_started_at logined_at time_to_login_ms login_outcome login_error_code
		caller_fault ended_at ended_by end_error_code end_provenance state presence gone_at interruptions connected_ms
		reconnecting_ms last_event_at last_alive_at first_received_at last_received_at missing_events is_import`,
	"interruptions": `app_id session_id login_no interruption_no room_id user_id device_id platform family sdk_version
		app_version network carrier region started_at ended_at start_received_at end_received_at is_open age_ms outcome
		duration_ms error_code end_error_code heartbeat_timed_out heartbeat_ambiguous recovery_case provenance cause
		storm_id is_import heartbeat_timeout_ms retry_window_ms`,
	"kicks": `app_id session_id login_no room_id user_id device_id platform family sdk_version app_version network carrier
		region kicked_at received_at error_code kick_reason attribution displaced_by_session_id displaced_by_login_no
		displaced_by_room_id displaced_by_device_id displaced_by_platform session_age_ms while_reconnecting
		relogin_after_ms message is_import`,
	"heartbeat_timeouts": `app_id room_id user_id session_id login_no interruption_no server_session_id platform family
		network carrier region server_reason timed_out_at provenance is_import`,
	"anomalies":   `app_id event_ref session_id room_id user_id platform sdk_version seq kind detail happened_at stream_seq`,
	"error_codes": `family error_code category meaning advice`,
	"profiles":    `app_id family platform heartbeat_timeout_ms retry_window_ms`,

	"recovery_curve": `key t_ms at_risk returned share low high naive`, // a function
}

// sqlWords are what a question's SQL may hold beside columns and its own names.
var sqlWords = strings.Fields(`select from where and or not null is as case when then else end with union all in
	order by on group grouping sets limit desc asc nulls last first cross full left join using over within filter window
	partition count max sum coalesce nullif lag trunc round extract epoch percentile_cont distinct interval array
	array_position lower replace roomtrail_now unnest text timestamptz bigint numeric float8 true false`)

var (
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	sqlString  = regexp.MustCompile(`'[^']*'`)
	sqlArg     = regexp.MustCompile(`@([a-z_]+)`)
	sqlWord    = regexp.MustCompile(`[A-Za-z_][A-Za-z_0-9]*`)
	sqlAlias   = regexp.MustCompile(`(?i)\bAS\s+([a-z_0-9]+)|\b([a-z_0-9]+)\s+AS\s+\(|\bWINDOW\s+([a-z]+)`)
	sqlFrom    = regexp.MustCompile(`\b(?:FROM|JOIN)\s+([a-z_]+)`)
)

func TestQuestionsNameTheirArguments(t *testing.T) {
	t.Parallel()
	for _, q := range Questions() {
		used := make(map[string]bool)
		for _, m := range sqlArg.FindAllStringSubmatch(q.SQL, -1) {
			used[m[1]] = true
		}
		if got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(slices.Values(q.Names())); !slices.Equal(got, want) {
			t.Errorf("%s: SQL uses %v, parameters are %v", q.Name, got, want)
		}
		if q.Takes("since") != q.Takes("until") {
			t.Errorf("%s takes one end of a range", q.Name)
		}
	}
}

func TestQuestionsReadThePublicViewsAlone(t *testing.T) {
	t.Parallel()
	for _, q := range Questions() {
		sql := sqlString.ReplaceAllString(sqlComment.ReplaceAllString(q.SQL, ""), "''")
		sql = sqlArg.ReplaceAllString(sql, "")
		known := slices.Clone(sqlWords)
		for _, m := range sqlAlias.FindAllStringSubmatch(sql, -1) {
			known = append(known, m[1]+m[2]+m[3])
		}
		own := slices.Clone(known)
		// extract(epoch FROM …) reads no view.
		for _, m := range sqlFrom.FindAllStringSubmatch(strings.ReplaceAll(sql, "epoch FROM", ""), -1) {
			columns, ok := views[m[1]]
			if !ok && !slices.Contains(own, m[1]) && !slices.Contains([]string{"l", "i", "k", "h"}, m[1]) {
				t.Errorf("%s: reads %s, which is no public view", q.Name, m[1])
			}
			known = append(append(known, m[1]), strings.Fields(columns)...)
		}
		for _, word := range sqlWord.FindAllString(sql, -1) {
			if !slices.Contains(known, word) && !slices.Contains(sqlWords, strings.ToLower(word)) {
				t.Errorf("%s: %s is no column of the views it reads", q.Name, word)
			}
		}
	}
}

func TestQuestionsAreDescribed(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, q := range Questions() {
		if names[q.Name] || names[q.Path] {
			t.Errorf("%s or its path %s stands in the table twice", q.Name, q.Path)
		}
		names[q.Name], names[q.Path] = true, true
		if !strings.HasSuffix(q.Summary(), ".") || q.Definition() == "" {
			t.Errorf("%s: Doc wants a first line that is a sentence, and the definition after it", q.Name)
		}
		for _, p := range q.Params {
			if p.Doc == "" {
				t.Errorf("%s: parameter %s has no Doc", q.Name, p.Name)
			}
			inPath := strings.Contains(q.Path, "{"+p.Name+"}")
			if p.Required && !inPath {
				t.Errorf("%s: parameter %s is required but not in the path %s", q.Name, p.Name, q.Path)
			}
		}
		selected := q.SQL[strings.LastIndex(q.SQL[:strings.LastIndex(q.SQL, "\nFROM ")], "SELECT"):]
		for _, column := range q.Table {
			if !regexp.MustCompile(`\b` + column + `\b`).MatchString(selected) {
				t.Errorf("%s: the table shows %s, which is not selected", q.Name, column)
			}
		}
		for _, beside := range q.With {
			if b, ok := Find(beside); !ok || !b.Takes("session") || !b.Takes("limit") {
				t.Errorf("%s: asked with %s, which cannot be asked of one session", q.Name, beside)
			}
		}
	}
}

// memory is a Source that remembers what it was asked.
type memory struct {
	asked   []asked
	answers []Answer // one for each ask, the last one again
	err     error
}

type asked struct {
	sql   string
	args  map[string]any
	limit int
}

func (m *memory) Ask(ctx context.Context, sql string, args map[string]any, limit int) (Answer, error) {
	m.asked = append(m.asked, asked{sql, args, limit})
	if m.err != nil || ctx.Err() != nil {
		return Answer{}, errors.Join(m.err, ctx.Err())
	}
	if len(m.answers) == 0 {
		return Answer{}, nil
	}
	return m.answers[min(len(m.asked), len(m.answers))-1], nil
}

func find(t testing.TB, name string) Question {
	t.Helper()
	q, ok := Find(name)
	if !ok {
		t.Fatalf("no question %s", name)
	}
	return q
}

var threeTwelve = time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)

func TestRequest(t *testing.T) {
	t.Parallel()
	r, err := find(t, "kicks").Request(threeTwelve, map[string]string{"room": "会议室", "since": "2h", "limit": "7", "user": ""})
	if err != nil {
		t.Fatal(err)
	}
	var m memory
	if _, err := r.Ask(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	got := m.asked[0]
	want := map[string]any{
		"since": threeTwelve.Add(-2 * time.Hour), "until": threeTwelve, "room": "会议室", "limit": int64(8),
		"app": nil, "user": nil, "session": nil, "platform": nil, "sdk_version": nil, "network": nil, "carrier": nil, "region": nil,
	}
	if !maps.Equal(got.args, want) || got.limit != 7 {
		t.Errorf("asked with %v, limit %d, want %v, limit 7", got.args, got.limit, want)
	}
}

func TestRequestRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		question string
		given    map[string]string
		param    string
	}{
		"a filter the question lacks": {"anomalies", map[string]string{"network": "wifi"}, "network"},
		"an unknown parameter":        {"kicks", map[string]string{"rooom": "r"}, "rooom"},
		"a time for a session":        {"session", map[string]string{"session": "s", "since": "1h"}, "since"},
		"no session":                  {"session", nil, "session"},
		"an empty session":            {"session", map[string]string{"session": ""}, "session"},
		"limit 0":                     {"kicks", map[string]string{"limit": "0"}, "limit"},
		"limit too high":              {"kicks", map[string]string{"limit": "10001"}, "limit"},
		"limit that is no number":     {"kicks", map[string]string{"limit": "all"}, "limit"},
		"limit of the overview":       {"health", map[string]string{"limit": "5"}, "limit"},
		"a time that is none":         {"health", map[string]string{"until": "noon"}, "until"},
		"U+0000":                      {"kicks", map[string]string{"room": "a\x00b"}, "room"},
		"text that is not UTF-8":      {"kicks", map[string]string{"room": "\xff"}, "room"},
	} {
		_, err := find(t, tc.question).Request(threeTwelve, tc.given)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Param != tc.param || invalid.Want == "" {
			t.Errorf("%s: %v, want an InvalidError of %s that says what would be right", name, err, tc.param)
		}
	}
}

func TestSessionAsksBeside(t *testing.T) {
	t.Parallel()
	r, err := find(t, "session").Request(threeTwelve, map[string]string{"session": "s1", "app": "demo"})
	if err != nil {
		t.Fatal(err)
	}
	m := memory{answers: []Answer{{Columns: []string{"session_id"}, Rows: [][]any{{"s1"}}}}}
	result, err := r.Ask(t.Context(), &m)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.asked) != 5 || len(result.With) != 4 {
		t.Fatalf("asked %d questions and got %d beside, want 5 and 4", len(m.asked), len(result.With))
	}
	for i, name := range r.Question.With {
		got := m.asked[i+1]
		q := find(t, name)
		if got.sql != q.SQL || got.args["session"] != "s1" || got.args["app"] != "demo" || got.args["user"] != nil {
			t.Errorf("%s was asked with %v", name, got.args)
		}
		if since, ok := got.args["since"]; !ok || since != nil {
			t.Errorf("%s was asked of a time range: %v", name, got.args)
		}
		if len(got.args) != len(q.Params) {
			t.Errorf("%s was asked with %d arguments, takes %d", name, len(got.args), len(q.Params))
		}
	}

	var none memory
	if _, err := r.Ask(t.Context(), &none); err != nil || len(none.asked) != 1 {
		t.Errorf("a session that is not there: %d questions, %v; want 1 and no error", len(none.asked), err)
	}
}

func TestAskNamesTheQuestionThatFailed(t *testing.T) {
	t.Parallel()
	r, err := find(t, "health").Request(threeTwelve, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Ask(t.Context(), &memory{err: ErrTimeout}); !errors.Is(err, ErrTimeout) || !strings.Contains(fmt.Sprint(err), "ask health") {
		t.Errorf("error %v, want one that names health and wraps ErrTimeout", err)
	}
}
