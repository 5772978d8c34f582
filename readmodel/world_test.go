package readmodel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// world is a database in which a log is applied again and again, each time
// from nothing.
type world struct {
	url  string
	side *pgx.Conn // looks on
	made []string  // tables that runs fill

	emptied int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	side, err := pgx.Connect(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close(ctx) })
	w := &world{url: owner, side: side}
	rows, err := side.Query(ctx, `SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('roomtrail', $1)`, projections.Schema())
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range all { // what is filled from the beginning is no run's work
		var isFilled bool
		if err := side.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+table+")").Scan(&isFilled); err != nil {
			t.Fatal(err)
		}
		if !isFilled {
			w.made = append(w.made, table)
		}
	}
	return w
}

// empty makes the database as it was before the first run.
func (w *world) empty() error {
	ctx := context.Background()
	rows, err := w.side.Query(ctx, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'roomtrail.events'::regclass`)
	if err != nil {
		return err
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	var sql strings.Builder
	for _, month := range months {
		fmt.Fprintf(&sql, "DROP TABLE %s;", month)
	}
	for _, table := range w.made {
		fmt.Fprintf(&sql, "DELETE FROM %s;", table)
	}
	if _, err = w.side.Exec(ctx, sql.String()); err != nil {
		return err
	}
	// What was deleted slows every scan until it is swept.
	if w.emptied++; w.emptied%20 == 0 {
		_, err = w.side.Exec(ctx, "VACUUM")
	}
	return err
}

// run is one application of a log.
type run struct {
	log     []events.Stored
	limit   int // facts in a batch; 0 is 120
	faults  faults
	crashes bool                                         // with the chosen call the process ends
	store   func(*readmodel.ReadModel) projections.Store // nil is the read model itself
	bend    func(*projections.Rows, []events.Stored)     // nil leaves the fold whole

	errors int
	moves  []string // of the position, where it went back
}

// apply is both stages, turn by turn, until nothing is left to do. What fails
// is tried again, as the runners do; a process that ended is started again.
func (w *world) apply(r *run) error {
	ctx := context.Background()
	if r.limit == 0 {
		r.limit = 120
	}
	var model *readmodel.ReadModel
	var runner *projections.Runner
	defer func() {
		if model != nil {
			r.faults.cutAll()
			model.Close()
		}
	}()
	var at uint64
	for turn := 0; ; turn++ {
		if turn > 100+len(r.log) {
			return fmt.Errorf("after %d turns and %d errors the position is %d of %d", turn, r.errors, at, len(r.log))
		}
		isDone, err := func() (bool, error) {
			if model == nil {
				opened, err := readmodel.OpenThrough(ctx, w.url, "test", r.faults.dial)
				if err != nil {
					return false, err
				}
				if model = opened; r.bend != nil {
					model.Bend(r.bend)
				}
				runner = &projections.Runner{Log: &memoryLog{r.log, &r.faults}, Store: model, Generation: 1, Limit: r.limit}
				if r.store != nil {
					runner.Store = r.store(model)
				}
			}
			n, err := runner.Step(ctx)
			if err != nil {
				return false, err
			}
			if _, err := model.Settle(ctx); err != nil || n > 0 {
				return false, err
			}
			// Marks may still be held by a transaction that is being given up.
			if left, err := model.Unsettled(ctx); err != nil || left > 0 {
				return false, err
			}
			return true, model.MergeSigns(ctx, signs(r.log))
		}()
		if err := w.watch(r, &at); err != nil {
			return err
		}
		if err != nil {
			if r.errors++; !r.faults.met {
				return fmt.Errorf("nothing was made to fail, and yet: %w", err)
			}
			if r.crashes && model != nil {
				r.faults.cutAll()
				model.Close()
				model, r.crashes = nil, false
			}
		}
		if isDone && err == nil {
			return nil
		}
	}
}

// watch notes where the position went back.
func (w *world) watch(r *run, at *uint64) error {
	var now uint64
	err := w.side.QueryRow(context.Background(), "SELECT coalesce(max(seq), 0) FROM roomtrail.positions").Scan(&now)
	if err == nil && now < *at {
		r.moves = append(r.moves, fmt.Sprintf("from %d to %d", *at, now))
	}
	*at = now
	return err
}

// unequal are the columns that tell when something was written.
var unequal = map[string][]string{
	"pipeline_status": {"updated_at", "lag_seconds"},
	"quarantine":      {"set_at"},
	"audit_ledger":    {"acted_at"},
}

// tell is every public view, row by row, at one instant, without the columns
// that tell when something was written and those that are named.
func (w *world) tell(now time.Time, without ...string) (map[string]string, error) {
	ctx := context.Background()
	if _, err := w.side.Exec(ctx, "SELECT set_config('roomtrail.now', $1, false)", now.Format(time.RFC3339Nano)); err != nil {
		return nil, err
	}
	told := map[string]string{}
	batch := &pgx.Batch{}
	for _, view := range projections.PublicViews {
		without := append(without, unequal[view]...)
		batch.Queue(`SELECT coalesce(string_agg(r, E'\n' ORDER BY r), '') FROM (SELECT (to_jsonb(v) - $1::text[])::text AS r FROM public.`+view+` v) x`, append([]string{""}, without...)).
			QueryRow(func(row pgx.Row) error {
				var text string
				err := row.Scan(&text)
				told[view] = text
				return err
			})
	}
	return told, w.side.SendBatch(ctx, batch).Close()
}

// differ names the rows that only one of two tellings has.
func differ(got, want map[string]string) string {
	var b strings.Builder
	for view := range want {
		only := func(what, in, notIn string) {
			there := map[string]int{}
			for _, r := range strings.Split(notIn, "\n") {
				there[r]++
			}
			for _, r := range strings.Split(in, "\n") {
				if there[r]--; there[r] < 0 {
					fmt.Fprintf(&b, "%s %s: %s\n", view, what, r)
				}
			}
		}
		only("has", got[view], want[view])
		only("lacks", want[view], got[view])
	}
	return b.String()
}
