package readmodel_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

// invariant is what holds whenever a log has been applied, whatever happened
// on the way.
type invariant struct {
	name  string
	check func(w *world, r *run) (broken string, err error)
}

var invariants = []invariant{
	{"every message of the log is a fact or in quarantine, once", (*world).keepsAll},
	{"every event counts exactly once", (*world).countsOnce},
	{"the position never moves back", (*world).movesOn},
	{"rows equal the fold of their set", (*world).equalsFold},
	{"counters equal the tally of all rows", (*world).equalsTally},
}

// invariants lists those that do not hold.
func (w *world) invariants(r *run) (broken []string) {
	for _, i := range invariants {
		what, err := i.check(w, r)
		if err != nil {
			what = err.Error()
		}
		if what != "" {
			broken = append(broken, i.name+": "+what)
		}
	}
	return broken
}

func (w *world) keepsAll(r *run) (string, error) {
	rows, err := w.side.Query(context.Background(), `SELECT event_ref FROM public.room_events UNION ALL SELECT event_ref FROM public.quarantine`)
	if err != nil {
		return "", err
	}
	refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	times := map[string]int{}
	for _, ref := range refs {
		times[ref]++
	}
	for _, f := range r.log {
		times[f.Ref.String()]--
	}
	maps.DeleteFunc(times, func(_ string, n int) bool { return n == 0 })
	if len(times) > 0 {
		return fmt.Sprint("too often, or where negative too seldom: ", times), err
	}
	return "", err
}

// identity is what an event's copies share.
func identity(f *events.Stored) string {
	switch {
	case f.Source == events.FromServer:
		return fmt.Sprint(f.Key(), f.CallbackKey())
	case f.Source == events.FromMonitor:
		return fmt.Sprint(f.Key(), f.Kind, string(f.ExtendedData))
	}
	return fmt.Sprint(f.Key(), f.Seq)
}

func (w *world) countsOnce(r *run) (string, error) {
	rows, err := w.side.Query(context.Background(), `SELECT event_ref FROM public.room_events WHERE NOT is_copy`)
	if err != nil {
		return "", err
	}
	refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	times := map[string]int{}
	of := map[string]string{}
	for i := range r.log {
		if f := &r.log[i]; f.Err == nil {
			of[f.Ref.String()] = identity(f)
			times[identity(f)] = -1
		}
	}
	for _, ref := range refs {
		times[of[ref]]++
	}
	maps.DeleteFunc(times, func(_ string, n int) bool { return n == 0 })
	if len(times) > 0 {
		return fmt.Sprint("too often, or where negative too seldom: ", times), nil
	}
	return "", nil
}

func (w *world) movesOn(r *run) (string, error) { return strings.Join(r.moves, ", "), nil }

// folded are the sessions of a log, each folded at once.
func folded(log []events.Stored) map[events.SetKey]projections.Rows {
	sets := map[events.SetKey][]events.Stored{}
	for _, f := range log {
		if f.Err == nil && f.Source == events.FromClient {
			sets[f.Key()] = append(sets[f.Key()], f)
		}
	}
	all := map[events.SetKey]projections.Rows{}
	for key, facts := range sets {
		_, all[key] = projections.Fold(projections.DefaultProfiles, facts)
	}
	return all
}

// equalsFold compares what the fold alone decides; the rest of the columns is
// held by the conformance cases.
func (w *world) equalsFold(r *run) (string, error) {
	want := map[string]string{}
	for key, rows := range folded(r.log) {
		in := func(view string, row ...any) { want[view] += fmt.Sprintln(append([]any{key.SessionID}, row...)...) }
		for _, l := range rows.Logins {
			in("sessions", l.No, l.State, l.Interruptions, l.ConnectedMS, l.ReconnectingMS, l.MissingEvents, l.LastEventAt.UnixMicro(), l.LastReceivedAt.UnixMicro())
		}
		for _, i := range rows.Interruptions {
			in("interruptions", i.LoginNo, i.No, i.StartedAt.UnixMicro(), i.DurationMS.N, i.ErrorCode, i.EndErrorCode.N, i.Region)
		}
		for _, k := range rows.Kicks {
			in("kicks", k.LoginNo, k.KickedAt.UnixMicro(), k.ErrorCode, k.Reason, k.SessionAgeMS)
		}
		for _, a := range rows.Anomalies {
			in("anomalies", a.Seq, a.Kind, a.Ref, a.HappenedAt.UnixMicro())
		}
	}
	got := map[string]string{}
	for view, columns := range map[string]string{
		"sessions":      "login_no, state, interruptions, connected_ms, reconnecting_ms, missing_events, us(last_event_at), us(last_received_at)",
		"interruptions": "login_no, interruption_no, us(started_at), coalesce(duration_ms, 0), error_code, coalesce(end_error_code, 0), coalesce(region, '')",
		"kicks":         "login_no, us(kicked_at), error_code, kick_reason, session_age_ms",
		"anomalies":     "seq, kind, event_ref, us(happened_at)",
	} {
		columns = strings.ReplaceAll(columns, "us(", "(1000000 * extract(epoch FROM ")
		columns = strings.ReplaceAll(columns, "_at)", "_at))::bigint")
		rows, err := w.side.Query(context.Background(), "SELECT session_id, "+columns+" FROM public."+view+" WHERE session_id IS NOT NULL")
		if err != nil {
			return "", err
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return "", err
			}
			got[view] += fmt.Sprintln(values...)
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return differ(got, want), nil
}

// equalsTally compares every counter, by minute, hour and day.
func (w *world) equalsTally(r *run) (string, error) {
	want := map[string]int64{}
	for _, rows := range folded(r.log) {
		for cell, tally := range rows.Counts {
			for grain, long := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
				at := fmt.Sprint(grain+1, " ", cell.At.Truncate(long).Unix(), " ")
				for m, n := range tally.N {
					want[at+projections.MeasureColumns[m]] += n
				}
				for b, n := range tally.Spans {
					want[at+fmt.Sprint(b.What, " ", b.No)] += n
				}
			}
		}
	}
	var named []string
	for _, c := range projections.MeasureColumns {
		named = append(named, fmt.Sprintf("('%[1]s', c.%[1]s)", c))
	}
	rows, err := w.side.Query(context.Background(), projections.InSchema(projections.Schema(), `
SELECT c.grain || ' ' || extract(epoch FROM c.at)::bigint || ' ' || v.name, sum(v.n)::bigint
FROM rm.counters c
CROSS JOIN LATERAL (VALUES `+strings.Join(named, ", ")+`) v(name, n)
GROUP BY c.grain, c.at, v.name
UNION ALL
SELECT grain || ' ' || extract(epoch FROM at)::bigint || ' ' || what || ' ' || bucket, sum(n)::bigint FROM rm.histograms GROUP BY grain, at, what, bucket`))
	if err != nil {
		return "", err
	}
	var name string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		want[name] -= n
		return nil
	}); err != nil {
		return "", err
	}
	maps.DeleteFunc(want, func(_ string, n int64) bool { return n == 0 })
	if len(want) > 0 {
		return fmt.Sprint("the tally is more by ", want), nil
	}
	return "", nil
}

// faultyStore is the read model with something done after its n-th Apply, or
// instead of it.
type faultyStore struct {
	*readmodel.ReadModel
	n       int
	instead func(ctx context.Context, from events.Position, batch events.Batch) (events.Position, error)
	after   func(ctx context.Context, next events.Position, batch events.Batch) error
}

func (s *faultyStore) Apply(ctx context.Context, from events.Position, batch events.Batch) (events.Position, error) {
	if s.n--; s.n == 0 && s.instead != nil {
		return s.instead(ctx, from, batch)
	}
	next, err := s.ReadModel.Apply(ctx, from, batch)
	if err == nil && s.n == 0 {
		err = s.after(ctx, next, batch)
	}
	return next, err
}

// Each invariant bites: of each there is a store or a fold that breaks it, and
// it is found.
func TestInvariantsBite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec := func(ctx context.Context, sql string, args ...any) error {
		_, err := w.side.Exec(ctx, projections.InSchema(projections.Schema(), sql), args...)
		return err
	}
	once := false
	broken := map[string]*run{
		"every message of the log is a fact or in quarantine, once": {store: func(m *readmodel.ReadModel) projections.Store {
			return &faultyStore{ReadModel: m, n: 2, instead: func(ctx context.Context, from events.Position, batch events.Batch) (events.Position, error) {
				from.Seq += uint64(len(batch.Facts)) // it skips a batch
				return from, exec(ctx, "UPDATE roomtrail.positions SET seq = $1", int64(from.Seq))
			}}
		}},
		"every event counts exactly once": {store: func(m *readmodel.ReadModel) projections.Store {
			return &faultyStore{ReadModel: m, n: 2, after: func(ctx context.Context, _ events.Position, _ events.Batch) error {
				return exec(ctx, "UPDATE rm.marks SET is_copy = false") // it applies what it had applied
			}}
		}},
		"the position never moves back": {store: func(m *readmodel.ReadModel) projections.Store {
			return &faultyStore{ReadModel: m, n: 2, after: func(ctx context.Context, next events.Position, _ events.Batch) error {
				return exec(ctx, "UPDATE roomtrail.positions SET seq = $1", int64(next.Seq-100))
			}}
		}},
		"rows equal the fold of their set": {bend: func(found *projections.Rows, _ []events.Stored) {
			found.Interruptions = slices.DeleteFunc(found.Interruptions, func(i projections.Interruption) bool { return i.No == 2 })
		}},
		"counters equal the tally of all rows": {bend: func(found *projections.Rows, _ []events.Stored) {
			if !once { // it counts a batch twice
				twice := projections.Counts{}
				twice.Add(found.Counts, 2)
				found.Counts, once = twice, true
			}
		}},
	}
	for _, i := range invariants {
		r, ok := broken[i.name]
		if !ok {
			t.Errorf("nothing shows that it is found when this does not hold: %s", i.name)
			continue
		}
		if err := w.empty(); err != nil {
			t.Fatal(err)
		}
		r.log = script()
		_ = w.apply(r) // some cannot come to an end
		if what, err := i.check(w, r); what == "" || err != nil {
			t.Errorf("%s: the broken variant is not found (%v)", i.name, err)
		}
	}
	if len(broken) != len(invariants) {
		t.Errorf("%d variants for %d invariants", len(broken), len(invariants))
	}
}
