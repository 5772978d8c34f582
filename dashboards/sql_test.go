package dashboards_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"roomtrail/dashboards"
	"roomtrail/readmodel/readmodeltest"
)

// answer is what Postgres said to one statement.
type answer struct {
	names []string
	types []uint32
	rows  [][]any
}

func ask(ctx context.Context, conn *pgx.Conn, sql string) (answer, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, field := range rows.FieldDescriptions() {
		a.names = append(a.names, field.Name)
		a.types = append(a.types, field.DataTypeOID)
	}
	a.rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	return a, err
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// Every query of every panel, variable and alert runs as the reader's role on
// the real views: without any data, with an hour of data, of which every panel
// shows something, and with hostile filters.
func TestEveryQueryRuns(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	conn := connect(t, reader)
	everybody := everything(t, time.Now())
	runAll(t, conn, "empty", everybody)

	readmodeltest.Seed(t, owner)
	everybody = everything(t, time.Now())
	everybody.values["room"] = []string{recentRoom(t, conn, everybody)}
	filled := runAll(t, conn, "seeded", everybody)
	for where, rows := range filled {
		if rows == 0 && where != "panel Time to login B" { // nobody switches rooms in that hour
			t.Errorf("seeded: %s answers nothing", where)
		}
	}

	hostile := everything(t, time.Now())
	for _, name := range []string{"app", "platform", "room"} {
		hostile.values[name] = []string{`'; DROP TABLE x; --`}
	}
	hostile.values["app"] = []string{"1", "o'clock", `\`, "%s"}
	runAll(t, conn, "hostile", hostile)
}

// runAll answers how many rows each statement had.
func runAll(t *testing.T, conn *pgx.Conn, with string, m macros) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, s := range statements(t) {
		sql, err := m.expand(s.sql)
		if err != nil {
			t.Errorf("%s: %s: %v", with, s.where, err)
			continue
		}
		a, err := ask(t.Context(), conn, sql)
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", with, s.where, err, sql)
			continue
		}
		counts[s.where] = len(a.rows)
		if s.one && len(a.rows) != 1 {
			t.Errorf("%s: %s has %d rows, must always have one", with, s.where, len(a.rows))
		}
		if s.alert {
			checkNumber(t, with+": "+s.where, a)
		}
		if s.format == string(dashboards.FormatTimeSeries) {
			checkTimeSeries(t, with+": "+s.where, a)
		}
	}
	return counts
}

func recentRoom(t *testing.T, conn *pgx.Conn, m macros) string {
	t.Helper()
	for _, s := range statements(t) {
		if s.where != "variable room" {
			continue
		}
		sql, err := m.expand(s.sql)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ask(t.Context(), conn, sql)
		if err != nil || len(a.rows) == 0 {
			t.Fatalf("no recent room: %v", err)
		}
		return a.rows[0][0].(string)
	}
	t.Fatal("no variable room")
	return ""
}

// checkNumber wants what Grafana takes as the value of an alert without labels.
func checkNumber(t *testing.T, where string, a answer) {
	t.Helper()
	if len(a.names) != 1 || !numeric(a.types[0]) {
		t.Errorf("%s answers %q, want one number", where, a.names)
		return
	}
	for _, row := range a.rows {
		if row[0] == nil {
			t.Errorf("%s answers null, which Grafana takes for no data", where)
		}
	}
}

// checkTimeSeries wants a leading time that rises, at most one text column
// "metric", and numbers.
func checkTimeSeries(t *testing.T, where string, a answer) {
	t.Helper()
	if a.names[0] != "time" || a.types[0] != pgtype.TimestamptzOID && !numeric(a.types[0]) {
		t.Errorf("%s: the first column is %q of type %d, want time", where, a.names[0], a.types[0])
		return
	}
	values := 0
	for i, name := range a.names[1:] {
		switch {
		case numeric(a.types[i+1]):
			values++
		case name != "metric" || a.types[i+1] != pgtype.TextOID:
			t.Errorf("%s: column %q is neither a number nor the text metric", where, name)
		}
	}
	if values == 0 {
		t.Errorf("%s has no numbers", where)
	}
	var last float64
	for _, row := range a.rows {
		at, ok := seconds(row[0])
		if !ok || at < last {
			t.Errorf("%s: time %v is out of order or no time", where, row[0])
			return
		}
		last = at
	}
}

func numeric(oid uint32) bool {
	switch oid {
	case pgtype.NumericOID, pgtype.Float8OID, pgtype.Int8OID, pgtype.Int4OID:
		return true
	}
	return false
}

func seconds(value any) (float64, bool) {
	switch v := value.(type) {
	case time.Time:
		return float64(v.UnixMicro()) / 1e6, true
	case float64:
		return v, true
	case pgtype.Numeric:
		f, err := v.Float64Value()
		return f.Float64, err == nil && f.Valid
	}
	return 0, false
}

// A temporary table hides the view of its name, so that the limits of a query
// can be tried on exactly the rows a test wants.
func TestSpikeNeedsEveryMinimum(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	conn := connect(t, owner)
	exec(t, conn, `CREATE TEMP TABLE interruptions (
		app_id text, user_id text, outcome text, end_received_at timestamptz, is_import boolean)`)
	now := time.Now()
	m := macros{from: now.Add(-5 * time.Minute), to: now}
	for _, c := range []struct {
		name                 string
		reconnected, gaveUp  int
		users                int
		age                  time.Duration
		imported, lostInView bool
		want                 float64
	}{
		{name: "nothing ended"},
		{name: "all minimums reached", reconnected: 15, gaveUp: 5, users: 3, want: 0.25},
		{name: "exactly the share", reconnected: 20, gaveUp: 5, users: 5, want: 0.2},
		{name: "everyone gave up", gaveUp: 20, users: 20, want: 1},
		{name: "a share just too small", reconnected: 21, gaveUp: 5, users: 5},
		{name: "too few ended", reconnected: 14, gaveUp: 5, users: 5},
		{name: "too few gave up", reconnected: 16, gaveUp: 4, users: 4},
		{name: "too few people", reconnected: 15, gaveUp: 10, users: 2},
		{name: "known too long ago", gaveUp: 20, users: 20, age: 6 * time.Minute},
		{name: "imported", gaveUp: 20, users: 20, imported: true},
		{name: "presumed lost only", gaveUp: 20, users: 20, lostInView: true},
	} {
		exec(t, conn, `TRUNCATE interruptions`)
		at := now.Add(-time.Minute - c.age)
		insert := func(outcome string, n, users int) {
			exec(t, conn, `INSERT INTO interruptions
				SELECT 'a', 'u' || (i % $3), $1, $4, $5 FROM generate_series(1, $2) AS i`,
				outcome, n, max(users, 1), at, c.imported)
		}
		gaveUp := "reconnect_failed"
		if c.lostInView {
			gaveUp = "presumed_lost"
		}
		insert("reconnected", c.reconnected, c.reconnected)
		insert(gaveUp, c.gaveUp, c.users)
		if got := number(t, conn, m, "alert ReconnectFailed spike A"); got != c.want {
			t.Errorf("%s: the rule answers %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStaleFiguresAreNoticed(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	conn := connect(t, owner)
	exec(t, conn, `CREATE TEMP TABLE pipeline_status (lag_seconds float8, live boolean, state text)`)
	for _, c := range []struct {
		name, rows string
		want       float64
	}{
		{"no partition at all", "", 86400},
		{"all applied", "(0, true, 'running'), (3, true, 'running')", 0},
		{"one partition waits", "(0, true, 'running'), (121, true, 'running')", 121},
		{"only a rebuild is behind", "(1, true, 'running'), (5000, false, 'running')", 0},
		{"an old generation is done, a new one waits", "(0, true, 'done'), (0, true, 'running'), (NULL, true, 'waiting')", 0},
		{"a partition without a runner", "(0, true, 'running'), (0, true, 'stopped')", 1},
	} {
		exec(t, conn, `TRUNCATE pipeline_status`)
		if c.rows != "" {
			exec(t, conn, `INSERT INTO pipeline_status VALUES `+c.rows)
		}
		if got := number(t, conn, macros{}, "alert Figures are stale A"); got != c.want {
			t.Errorf("%s: the rule answers %v, want %v", c.name, got, c.want)
		}
	}
}

// A share of a handful of logins would be drawn in alarming colours.
func TestSmallSamplesShowCountsOnly(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	conn := connect(t, owner)
	exec(t, conn, `CREATE TEMP TABLE sessions (
		app_id text, platform text, login_started_at timestamptz, login_outcome text)`)
	m := everything(t, time.Now())
	for _, c := range []struct {
		decided int
		shown   bool
		counts  string
	}{
		{29, false, "28 of 29, 1 open"},
		{30, true, "29 of 30, 1 open"},
	} {
		exec(t, conn, `TRUNCATE sessions`)
		exec(t, conn, `INSERT INTO sessions
			SELECT 'a', 'web', now(), CASE i WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' ELSE 'logged_in' END
			FROM generate_series(0, $1) AS i`, c.decided)
		exec(t, conn, `INSERT INTO sessions VALUES ('a', 'web', now(), 'cancelled')`)
		row := onlyRow(t, conn, m, "panel Login success A")
		if (row[0] != nil) != c.shown || row[1] != c.counts {
			t.Errorf("%d decided logins: %v, want a share: %v, counts %q", c.decided, row, c.shown, c.counts)
		}
	}
}

func onlyRow(t *testing.T, conn *pgx.Conn, m macros, where string) []any {
	t.Helper()
	for _, s := range statements(t) {
		if s.where != where {
			continue
		}
		sql, err := m.expand(s.sql)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ask(t.Context(), conn, sql)
		if err != nil || len(a.rows) != 1 {
			t.Fatalf("%s: %d rows, %v", where, len(a.rows), err)
		}
		return a.rows[0]
	}
	t.Fatalf("no statement %s", where)
	return nil
}

func number(t *testing.T, conn *pgx.Conn, m macros, where string) float64 {
	t.Helper()
	value, ok := seconds(onlyRow(t, conn, m, where)[0])
	if !ok {
		t.Fatalf("%s answers no number", where)
	}
	return value
}

func exec(t *testing.T, conn *pgx.Conn, sql string, arguments ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), strings.TrimSpace(sql), arguments...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
