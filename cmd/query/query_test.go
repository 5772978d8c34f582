package main

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"roomtrail/commandline"
	"roomtrail/query"
	"roomtrail/readmodel/readmodeltest"
)

// seeded is the environment of a database that holds an hour of life.
func seeded(t testing.TB) map[string]string {
	t.Helper()
	owner, reader := readmodeltest.Database(t)
	readmodeltest.Seed(t, owner)
	return map[string]string{"DATABASE_URL": reader}
}

// rows runs the program and reads its JSON.
func rows(t testing.TB, env map[string]string, args ...string) []map[string]any {
	t.Helper()
	got := runWith(t, env, "", append(args, "-o", "json")...)
	if got.code != commandline.Done {
		t.Fatalf("%v: exit %d: %s", args, got.code, got.stderr)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatalf("%v: %v in %s", args, err, got.stdout)
	}
	return rows
}

// One test on one database: what Seed tells is asked in many ways.
func TestQuestionsOnRealViews(t *testing.T) {
	t.Parallel()
	env := seeded(t)
	t.Run("every question, every format", func(t *testing.T) { everyFormat(t, env) })
	t.Run("health", func(t *testing.T) { health(t, env) })
	t.Run("filters", func(t *testing.T) { narrowed(t, env) })
	t.Run("errors", func(t *testing.T) { errorCodes(t, env) })
	t.Run("doctor", func(t *testing.T) { doctored(t, env) })
	t.Run("timeline", func(t *testing.T) { timelines(t, env) })
	t.Run("empty answers", func(t *testing.T) { emptyAnswers(t, env) })
	t.Run("sql", func(t *testing.T) { sqlAnswers(t, env) })
	t.Run("sql refuses", func(t *testing.T) { sqlRefuses(t, env) })
	t.Run("serve", func(t *testing.T) { served(t, env) })
}

func TestOwnerAsksAsTheReader(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	who := "SELECT current_user AS role, session_user AS login"
	asOwner := rows(t, map[string]string{"DATABASE_URL": owner}, "sql", who)[0]
	asReader := rows(t, map[string]string{"DATABASE_URL": reader}, "sql", who)[0]
	if asOwner["role"] != asReader["role"] || asOwner["login"] == asReader["login"] {
		t.Errorf("the owner asks as %v, the reader as %v; want one role", asOwner, asReader)
	}
}

func everyFormat(t *testing.T, env map[string]string) {
	for _, q := range query.Questions() {
		args := []string{q.Name}
		if q.NeedsMore() {
			args = append(args, "case2-web")
		}
		want := len(rows(t, env, args...))
		if want == 0 {
			t.Errorf("%s answers nothing", q.Name)
		}
		lines := runWith(t, env, "", append(args, "-o", "ndjson")...)
		if got := strings.Count(lines.stdout, "\n"); lines.code != commandline.Done || got != want {
			t.Errorf("%s: %d lines of ndjson, %d rows of json", q.Name, got, want)
		}
		sheet := runWith(t, env, "", append(args, "-o", "csv")...)
		records, err := csv.NewReader(strings.NewReader(sheet.stdout)).ReadAll()
		if err != nil || len(records) != want+1 {
			t.Errorf("%s: %d records of csv, %v; want %d and a header", q.Name, len(records), err, want)
		}
		for _, column := range q.Table {
			if !slices.Contains(records[0], column) {
				t.Errorf("%s: the table shows %s, which is no column", q.Name, column)
			}
		}
		table := runWith(t, env, "", args...)
		if table.code != commandline.Done || strings.Count(table.stdout, "\n") < want || strings.Contains(table.stdout, "\x1b") {
			t.Errorf("%s: exit %d\n%s", q.Name, table.code, table.stdout)
		}
	}
}

func health(t *testing.T, env map[string]string) {
	all := rows(t, env, "health")
	total := all[len(all)-1]
	if len(all) != 3 || total["platform"] != "total" {
		t.Fatalf("rows %v, want android, web and total", all)
	}
	for column, want := range map[string]any{
		"logins": 22.0, "logged_in": 16.0, "login_failed": 4.0, "login_failed_by_caller": 1.0, "login_pending": 2.0,
		"login_cancelled": 0.0, "login_presumed_failed": 0.0, "login_success_rate": 16.0 / 20, "service_login_success_rate": 16.0 / 19,
		"login_open_share": 2.0 / 22,
		"interruptions":    10.0, "reconnected": 4.0, "reconnect_failed": 2.0, "presumed_lost": 2.0, "ended_otherwise": 2.0, "still_open": 0.0,
		"reconnect_success_rate": 0.5, "reconnect_finished_p50_ms": 76_250.0, "reconnect_finished_p95_ms": 140_000.0,
		"interruption_open_share": 0.0,
		"heartbeat_timeouts":      6.0, "heartbeat_timeout_rate": 0.6, "kicks": 4.0,
	} {
		if got := total[column]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %v, want %v", column, got, want)
		}
	}
	for column, value := range total {
		sum, ok := value.(float64)
		if !ok || strings.HasSuffix(column, "rate") || strings.HasSuffix(column, "share") || strings.HasSuffix(column, "_ms") {
			continue
		}
		if parts := all[0][column].(float64) + all[1][column].(float64); parts != sum {
			t.Errorf("%s: the platforms have %v, the total %v", column, parts, sum)
		}
	}
}

func narrowed(t *testing.T, env map[string]string) {
	for _, tc := range []struct {
		args string
		want int
	}{
		{"sessions", 24},
		{"sessions --platform Web", 12},
		{"sessions --network cellular --carrier cmcc --region cn-east --sdk-version 3.12.0", 12},
		{"sessions --session token-web", 2},
		{"sessions --user user-1", 1},
		{"sessions --app other", 0},
		{"sessions --since 30m", 2},
		{"sessions --until 30m --since 1h", 22},
		{"sessions --limit 5", 5},
		{"interruptions", 10},
		{"interruptions --platform android", 5},
		{"interruptions --session case1-web", 1},
		{"kicks", 4},
		{"kicks --room room-0 --platform web", 1},
		{"heartbeats", 6},
		{"recovery", 14},
		{"heartbeats --region nowhere", 0},
		{"anomalies --session broken-web", 3},
		{"anomalies --sdk-version 1", 0},
		{"session stay-web", 3},
		{"session demo/stay-web", 3},
		{"session other/stay-web", 0},
		{"session stay-web --app demo --user user-1", 3},
		{"session stay-web --user user-2", 0},
	} {
		if got := rows(t, env, strings.Fields(tc.args)...); len(got) != tc.want {
			t.Errorf("%s: %d rows, want %d: %v", tc.args, len(got), tc.want, got)
		}
	}
	if got := runWith(t, env, "", "sessions", "--limit", "5"); !strings.Contains(got.stderr, "only the first 5 rows") {
		t.Errorf("--limit 5 says %q", got.stderr)
	}
	if got := runWith(t, env, "", "sessions", "--limit", "24"); got.stderr != "" {
		t.Errorf("all of the rows, but it says %q", got.stderr)
	}
}

// doctored: Seed's reporters never say sent_at, a monotonic clock or that they
// live; each platform has one session that begins late and says Logined twice.
func doctored(t *testing.T, env map[string]string) {
	type key struct{ platform, lookedAt string }
	got := map[key]map[string]any{}
	for _, r := range rows(t, env, "doctor", "--app", "demo") {
		got[key{r["platform"].(string), r["looked_at"].(string)}] = r
		if (r["advice"] == nil) != (r["verdict"] == "ok" || r["verdict"] == "unknown") {
			t.Errorf("%v is advised %v", r, r["advice"])
		}
	}
	if len(got) != 21 {
		t.Errorf("%d rows, want 10 for each of 2 platforms and 1 of the app", len(got))
	}
	for k, want := range map[key]struct {
		found, among any
		verdict      string
	}{
		{"web", "events"}: {39.0, nil, "ok"},
		{"web", "logins"}: {12.0, nil, "ok"},
		{"web", "lasting logins without a sign of life"}:    {8.0, 8.0, "warning"},
		{"web", "numbers missing in sessions"}:              {0.0, 39.0, "ok"},
		{"android", "logins without device_id"}:             {0.0, 12.0, "ok"},
		{"android", "events without a monotonic clock"}:     {39.0, 39.0, "warning"},
		{"android", "events without sent_at"}:               {39.0, 39.0, "warning"},
		{"android", "events by clocks more than 5 s off"}:   {0.0, 39.0, "ok"},
		{"web", "sessions that begin without Logining"}:     {1.0, 11.0, "note"},
		{"android", "sessions that begin without Logining"}: {1.0, 11.0, "note"},
		{"web", "states said twice"}:                        {1.0, 39.0, "note"},
		{"any", "server callbacks"}:                         {0.0, nil, "note"},
	} {
		r := got[k]
		if r == nil || r["found"] != want.found || r["among"] != want.among || r["verdict"] != want.verdict {
			t.Errorf("%v: %v, want %v", k, r, want)
		}
	}
	if got := rows(t, env, "doctor", "--app", "other"); len(got) != 0 {
		t.Errorf("an app that nothing came from has %v", got)
	}
	if got := rows(t, env, "doctor", "--platform", "web"); len(got) != 11 {
		t.Errorf("%d rows of web, want 11", len(got))
	}
}

func errorCodes(t *testing.T, env map[string]string) {
	type key struct {
		reason, family string
		code           float64
	}
	got := make(map[key]map[string]any)
	for _, r := range rows(t, env, "errors") {
		got[key{r["reason"].(string), r["family"].(string), r["error_code"].(float64)}] = r
	}
	for k, want := range map[key]struct {
		events, share float64
		category      any
	}{
		{"LoginFailed", "web", 1002031}:        {1, 0.25, "network"},
		{"LoginFailed", "native", 1002031}:     {1, 0.25, "network"},
		{"LoginFailed", "web", 1102016}:        {1, 0.25, "auth"},
		{"LoginFailed", "native", 1102016}:     {1, 0.25, nil}, // in no list of its family
		{"ReconnectFailed", "web", 1002053}:    {1, 0.5, "network"},
		{"KickOut", "web", 1002055}:            {1, 0.25, "kick"},
		{"KickOut", "native", 1002050}:         {1, 0.25, "kick"},
		{"Reconnecting", "web", 1000017}:       {5, 0.5, "network"},
		{"Reconnecting", "native", 1002051}:    {5, 0.5, "network"},
		{"ReconnectFailed", "native", 1002053}: {1, 0.5, "network"},
	} {
		r := got[k]
		if r == nil || r["events"] != want.events || r["share"] != want.share || r["category"] != want.category {
			t.Errorf("%v: %v, want %v", k, r, want)
		}
		if want.category != nil && r != nil && (r["meaning"] == nil || r["advice"] == nil) {
			t.Errorf("%v has no meaning or no advice", k)
		}
	}
	if len(got) != 12 {
		t.Errorf("%d codes, want 12", len(got))
	}
}

func timelines(t *testing.T, env map[string]string) {
	for session, want := range map[string][]string{
		"case1-web":   {"1000017", "network:", "reconnected after 12.5 s", "case 1"},
		"case2-web":   {"+2m 20s", "case 2", "not ended, last state Reconnected"},
		"case3-web":   {"reconnect failed after 5m 00s", "case 3", "ended by ReconnectFailed"},
		"lost-web":    {"presumed lost", "case 3"},
		"token-web":   {"login 1", "login failed with 1102016", "the caller's fault", "login 2", "ended by Logout"},
		"kicked-web":  {"⊘ KickOut", "1002055", "“host”", "kicked: backend"},
		"broken-web":  {"start not seen", "! missing login", "! repeated state", "! unknown code", "99  a code in no list"},
		"hanging-web": {"◌ Logining", "still logging in"},
	} {
		got := runWith(t, env, "", "session", session, "--utc")
		if got.code != commandline.Done || !strings.HasPrefix(got.stdout, "session "+session) {
			t.Errorf("%s: exit %d: %s%s", session, got.code, got.stdout, got.stderr)
		}
		for _, text := range want {
			if !strings.Contains(got.stdout, text) {
				t.Errorf("%s does not say %q:\n%s", session, text, got.stdout)
			}
		}
	}
}

func emptyAnswers(t *testing.T, env map[string]string) {
	for args, want := range map[string]string{
		"kicks --room nowhere":        `nothing for kicks with room "nowhere" from `,
		"health --app nobody":         `nothing for health with app "nobody" from `,
		"session none":                `nothing for session with session "none"; query sessions`,
		"session a/b":                 `nothing for session with session "a/b"`,
		"sql SELECT_1_WHERE_false":    "answers no rows",
		"anomalies --since 3m":        "such as --since 1d",
		"anomalies --since 3m -o csv": "such as --since 1d",
	} {
		fields := strings.Fields(args)
		fields[1] = strings.ReplaceAll(fields[1], "_", " ")
		got := runWith(t, env, "", fields...)
		if got.code != commandline.Done || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, says %q; want one sentence with %q", args, got.code, got.stderr, want)
		}
	}
	if got := runWith(t, env, "", "kicks", "--since", "1m", "-o", "json"); got.stdout != "[]\n" {
		t.Errorf("no rows of json are %q", got.stdout)
	}
	if got := runWith(t, env, "", "kicks", "--since", "1m", "-o", "csv"); strings.Count(got.stdout, "\n") != 1 {
		t.Errorf("no rows of csv are %q, want the header", got.stdout)
	}
}

func sqlAnswers(t *testing.T, env map[string]string) {
	got := rows(t, env, "sql", `SELECT 1 AS a, 2 AS a, NULL AS b, 1.5::numeric AS c, ARRAY['x', 'y'] AS d, '{"k": [1]}'::jsonb AS e,
		'2026-03-01 03:12:00+01'::timestamptz AS f, interval '90 s' AS g, true AS h;`)
	want := map[string]any{
		"a": 1.0, "a_2": 2.0, "b": nil, "c": 1.5, "d": []any{"x", "y"}, "e": map[string]any{"k": []any{1.0}},
		"f": "2026-03-01T02:12:00Z", "g": "00:01:30", "h": true,
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %v, want %v", got, want)
	}
	settings := rows(t, env, "sql", `SELECT current_setting('transaction_read_only') AS read_only, current_setting('statement_timeout') AS timeout,
		current_setting('timezone') AS zone, current_setting('application_name') AS name`)[0]
	if want := map[string]any{"read_only": "on", "timeout": "30s", "zone": "UTC", "name": "roomtrail-query"}; !reflect.DeepEqual(settings, want) {
		t.Errorf("settings %v, want %v", settings, want)
	}
	for _, view := range []string{
		"room_events", "sessions", "interruptions", "kicks", "heartbeat_timeouts", "anomalies", "error_codes", "pipeline_status",
	} {
		rows(t, env, "sql", "TABLE "+view, "--limit", "1")
	}
	typed := runWith(t, env, "SELECT n FROM generate_series(1, 9) AS n -- comment\n", "sql", "-", "-o", "ndjson", "--limit", "2")
	if typed.stdout != "{\"n\":1}\n{\"n\":2}\n" || !strings.Contains(typed.stderr, "only the first 2 rows") {
		t.Errorf("from standard input: %q, %q", typed.stdout, typed.stderr)
	}
}

func sqlRefuses(t *testing.T, env map[string]string) {
	for text, want := range map[string]string{
		"SELECT 1; SELECT 2":                   "multiple commands",
		"SELECT 1; DROP VIEW sessions":         "multiple commands",
		"SELECT 1; COMMIT; DROP VIEW sessions": "multiple commands",
		"DELETE FROM sessions":                 "syntax error",
		"COMMIT":                               "syntax error",
		"SET ROLE postgres":                    "syntax error",
		"COPY sessions TO STDOUT":              "syntax error",
		"SHOW ALL":                             "syntax error",
		"EXPLAIN ANALYZE SELECT 1":             "syntax error",
		"WITH x AS (DELETE FROM sessions RETURNING 1) SELECT 1":   "data-modifying",
		"SELECT 1 INTO elsewhere":                                 "INTO",
		"SELECT * FROM roomtrail.events":                          "permission denied",
		"SELECT pg_read_file('/etc/passwd')":                      "permission denied",
		"SELECT set_config('transaction_read_only', 'off', true)": "read-write",
		"SELECT nothing FROM sessions":                            "at character 8",
	} {
		got := runWith(t, env, "", "sql", text)
		if got.code != commandline.Failed || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%s: exit %d, %q, %q; want it refused with %q", text, got.code, got.stdout, got.stderr, want)
		}
	}
}

func served(t *testing.T, env map[string]string) {
	url, stop := started(t, env)
	client := http.Client{Timeout: 20 * time.Second}
	for path, want := range map[string]int{
		"": 200, "healthz": 200, "v1/health": 200, "v1/sessions?limit=3": 200, "v1/sessions/demo/case2-web": 200, "v1/interruptions": 200,
		"v1/kicks": 200, "v1/heartbeats": 200, "v1/errors": 200, "v1/anomalies": 200, "v1/sessions/demo/none": 404, "v1/kicks?since=x": 400,
	} {
		r, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s is %d, want %d", path, r.StatusCode, want)
		}
	}
	if got := stop(); got.code != commandline.Done || got.stderr != "" {
		t.Errorf("serve ended with %d: %s", got.code, got.stderr)
	}
}
