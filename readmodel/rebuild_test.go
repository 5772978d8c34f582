package readmodel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// shown is what all views of rows show, in an order of its own.
func shown(t testing.TB, readerURL string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for view, rows := range views(t, readerURL, lifeBegins.Add(48*time.Hour)) {
		if view == "pipeline_status" {
			continue
		}
		all[view] = nil
		for _, r := range rows {
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			all[view] = append(all[view], string(b))
		}
		slices.Sort(all[view])
	}
	return all
}

func same(t testing.TB, what string, got, want map[string][]string) {
	t.Helper()
	for view := range want {
		if !slices.Equal(got[view], want[view]) {
			t.Errorf("%s: %s has %d rows, want %d; %s", what, view, len(got[view]), len(want[view]), firstDifference(got[view], want[view]))
		}
	}
}

func firstDifference(got, want []string) string {
	only := func(a, b []string) string {
		for _, s := range a {
			if !slices.Contains(b, s) {
				return s
			}
		}
		return ""
	}
	return fmt.Sprintf("got\n%s\nwant\n%s", only(got, want), only(want, got))
}

func rebuilt(t testing.TB, url string, config readmodel.RebuildConfig) readmodel.RebuildReport {
	t.Helper()
	r, err := readmodel.Rebuild(context.Background(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func noDifference(t testing.TB, r readmodel.RebuildReport) {
	t.Helper()
	if len(r.Views) < 8 {
		t.Errorf("only %d views were compared", len(r.Views))
	}
	for _, v := range r.Views {
		if v.OnlyLive+v.OnlyRebuilt > 0 {
			t.Errorf("view %s: %d rows only live, %d only rebuilt, in %v\n%s", v.View, v.OnlyLive, v.OnlyRebuilt, v.Columns, strings.Join(v.Samples, "\n"))
		}
	}
}

// allCompared asks Postgres which views rest on derived tables.
func allCompared(t testing.TB, url string, r readmodel.RebuildReport) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
SELECT DISTINCT v.relname::text
FROM pg_depend d
JOIN pg_rewrite w ON w.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = w.ev_class
JOIN pg_class c ON c.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
WHERE v.relnamespace = 'public'::regnamespace AND c.relnamespace = $1::text::regnamespace AND v.relname <> 'pipeline_status'`, projections.Schema())
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 8 {
		t.Fatalf("views over derived tables: %v, %v", names, err)
	}
	for _, name := range names {
		if !slices.ContainsFunc(r.Views, func(v readmodel.ViewDifference) bool { return v.View == name }) {
			t.Errorf("view %s was not compared", name)
		}
	}
}

// A rebuild folds each set once and finds what Apply found batch by batch; and
// Apply goes on with what it has left.
func TestRebuildEqualsLive(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{7, 60, 1000} {
		t.Run(fmt.Sprint("batches of ", limit), func(t *testing.T) {
			t.Parallel()
			owner, reader := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			facts := randomLife(int64(limit), 1500)
			readmodeltest.Apply(t, m, facts[:1000], limit)
			settle(t, m)
			before := shown(t, reader)
			r := rebuilt(t, owner, readmodel.RebuildConfig{})
			noDifference(t, r)
			allCompared(t, owner, r)
			if !r.Switched || r.KeptSchema != "" || r.Facts != 1000 || r.Sets == 0 {
				t.Errorf("the report is %+v", r)
			}
			same(t, "rebuilt", shown(t, reader), before)
			readmodeltest.Apply(t, m, facts[1000:], limit)
			settle(t, m)

			other, otherReader := readmodeltest.Database(t)
			n := readmodeltest.Open(t, other)
			readmodeltest.Apply(t, n, facts, limit)
			settle(t, n)
			same(t, "gone on after the switch", shown(t, reader), shown(t, otherReader))
		})
	}
}

// traffic applies facts as a runner would, whoever fences it, until all are
// applied or the test is over.
type traffic struct {
	done, stop chan struct{}
	once       sync.Once
}

func startTraffic(t testing.TB, m *readmodel.ReadModel, facts []events.Stored, limit int) *traffic {
	t.Helper()
	tr := &traffic{done: make(chan struct{}), stop: make(chan struct{})}
	ctx := context.Background()
	go func() {
		defer close(tr.done)
		at, err := m.Claim(ctx, 1, 0)
		begun := at.Seq
		for err == nil && int(at.Seq-begun) < len(facts) {
			select {
			case <-tr.stop:
				return
			default:
			}
			rest := facts[at.Seq-begun:]
			batch := readmodeltest.Place(rest[:min(limit, len(rest))], at.Seq)
			at, err = m.Apply(ctx, at, batch)
			for errors.Is(err, projections.ErrFenced) || errors.Is(err, projections.ErrOwned) { // held still
				at, err = m.Claim(ctx, 1, 0)
			}
			if _, settleErr := m.Settle(ctx); err == nil {
				err = settleErr
			}
		}
		if err != nil {
			t.Errorf("traffic: %v", err)
		}
	}()
	t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) end() {
	tr.once.Do(func() { close(tr.stop) })
	<-tr.done
}

// While traffic is applied and readers read, nothing differs, no reader fails,
// and none ever sees fewer rows.
func TestRebuildWhileTrafficRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	facts := randomLife(5, 4000)
	readmodeltest.Apply(t, m, facts[:800], 100)
	tr := startTraffic(t, m, facts[800:], 20)

	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() { readOn(reading, t, reader) })
	}
	for range 3 {
		noDifference(t, rebuilt(t, owner, readmodel.RebuildConfig{}))
	}
	<-tr.done
	stop()
	readers.Wait()
	settle(t, m)

	other, otherReader := readmodeltest.Database(t)
	n := readmodeltest.Open(t, other)
	readmodeltest.Apply(t, n, facts, 500)
	settle(t, n)
	same(t, "after three rebuilds", shown(t, reader), shown(t, otherReader))
}

// readOn counts the rows of several views at once, again and again.
func readOn(ctx context.Context, t testing.TB, url string) {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	var events, sessions int
	for ctx.Err() == nil {
		var e, s int
		err := conn.QueryRow(context.Background(), `
SELECT (SELECT count(*) FROM room_events), (SELECT count(*) FROM sessions s LEFT JOIN kicks k USING (app_id, session_id, login_no))`).Scan(&e, &s)
		if err != nil {
			t.Errorf("a reader fails: %v", err)
			return
		}
		if e < events || s < sessions {
			t.Errorf("a reader sees %d events and %d sessions after %d and %d", e, s, events, sessions)
		}
		events, sessions = e, s
	}
}

// Callbacks that come after the clients' words are expected of those all the
// same: a rebuild, which sees them all at once, finds nothing else.
func TestRebuildFindsLateCallbacksAsLiveDid(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	facts := randomLife(31, 400)
	first := facts[0]
	slices.SortStableFunc(facts, func(a, b events.Stored) int { // all callbacks last, and the first of them at the very end
		rank := func(f events.Stored) int {
			switch {
			case f.OccurredAt.Equal(first.OccurredAt) && f.Source == events.FromServer:
				return 2
			case f.Source == events.FromServer:
				return 1
			}
			return 0
		}
		return rank(a) - rank(b)
	})
	for start := 0; start < len(facts); start += 100 {
		readmodeltest.Apply(t, m, facts[start:min(start+100, len(facts))], 20)
		settle(t, m)
	}
	noDifference(t, rebuilt(t, owner, readmodel.RebuildConfig{DryRun: true}))
}
