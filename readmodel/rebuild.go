package readmodel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomtrail/projections"
)

// RebuildConfig is how a read model is rebuilt. The zero value works.
type RebuildConfig struct {
	DryRun   bool                  // compare, and change nothing
	KeepOld  bool                  // leave the old tables where they are put aside
	Progress func(RebuildProgress) // may be nil; called often

	tracer  pgx.QueryTracer // of tests
	advance advance
}

// RebuildProgress is how far one step of a rebuild is. Of is about how much
// there is to do, 0 where that is not known.
type RebuildProgress struct {
	Step     RebuildStep
	Done, Of int64
}

// RebuildStep is what a rebuild is doing.
type RebuildStep string

// The steps, in their order. Facts are counted, but for the last two.
const (
	StepFill    RebuildStep = "fill"     // set by set, up to where the live one was at the start
	StepCatchUp RebuildStep = "catch up" // what the live one has applied since
	StepSettle  RebuildStep = "settle"   // the second stage; marks
	StepCompare RebuildStep = "compare"  // views
)

// RebuildReport is what a rebuild found and did.
type RebuildReport struct {
	From, To    int // versions of the read model
	Resumed     bool
	Views       []ViewDifference
	Switched    bool
	KeptSchema  string // where the old tables still lie; "" where they are gone
	Sets, Facts int64  // that were folded
	Took        time.Duration
}

// Differs says whether any view would show something else.
func (r *RebuildReport) Differs() bool {
	return slices.ContainsFunc(r.Views, func(v ViewDifference) bool { return v.OnlyLive+v.OnlyRebuilt > 0 })
}

// rebuildLock is held as long as one runs.
const rebuildLock = schemaLock + 1

// closeEnough is how many facts may be left when the live read model is held
// still for the rest: about a second's work.
const closeEnough = 20_000

// rebuild is one that runs.
//
// A second read model is filled in a schema of its own from the facts that the
// live one has written, up to where its positions are: those are exactly what its
// rows rest on. First each set is folded once, as a whole; then comes what the
// live one has applied since, in the order of the log, by the steps of Apply.
// Both write how far they are in the transaction that writes the rows.
//
//	live:     ... Apply ──── Apply ──── Apply ── | ─ Apply ── | ─ fenced, claims again
//	rebuild:  P ── fill up to P ──── catch up ── | compare ── | rest, switch
//	                                     positions locked for a moment
type rebuild struct {
	config  RebuildConfig
	conn    *pgx.Conn  // holds the lock, and the live one still
	m       *ReadModel // that is filled
	live    *schema
	url     string
	chunk   int // sets that are folded at once
	resumed bool
	state   rebuildState
	at      map[shard]uint64 // what of each partition has been taken
}

// shard is one partition of one generation.
type shard struct{ generation, partition int }

// rebuildState is the row of roomtrail.rebuilds.
type rebuildState struct {
	phase           string
	lastSet, maxSet int64
	sets, facts     int64
	ofFacts         int64
	profiles        string
}

// Rebuild fills the read model of this program's version anew from the facts
// while the live one goes on, compares the two, and lets the views show the new
// one. Where it is stopped, the next one goes on.
func Rebuild(ctx context.Context, url string, config RebuildConfig) (report RebuildReport, err error) {
	started := time.Now()
	r, err := openRebuild(ctx, url, config)
	if err != nil {
		return report, fmt.Errorf("rebuild: %w", err)
	}
	defer r.close(ctx)
	report.From, report.To = r.live.version, r.m.rm.version
	defer func() { report.Took = time.Since(started) }()
	for _, step := range []func(context.Context, *RebuildReport) error{r.begin, r.fill, r.catchUp, r.compare, r.refuse, r.finish} {
		if err := step(ctx, &report); err != nil {
			return report, fmt.Errorf("rebuild: %w", err)
		}
		report.Sets, report.Facts, report.Resumed = r.state.sets, r.state.facts, r.resumed
	}
	return report, nil
}

// AbandonRebuild drops what a rebuild that was stopped has left, and what an
// earlier one has put aside. It says which schemas it dropped.
func AbandonRebuild(ctx context.Context, url string) (dropped []string, err error) {
	r, err := openRebuild(ctx, url, RebuildConfig{})
	if err != nil {
		return nil, fmt.Errorf("abandon rebuild: %w", err)
	}
	defer r.close(ctx)
	dropped, err = r.abandon(ctx)
	if err != nil {
		return dropped, fmt.Errorf("abandon rebuild: %w", err)
	}
	return dropped, nil
}

func openRebuild(ctx context.Context, url string, config RebuildConfig) (_ *rebuild, err error) {
	r := &rebuild{config: config, url: url, chunk: 2000, at: map[shard]uint64{}}
	if r.conn, err = schemaConn(ctx, url, config.tracer); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close(ctx)
		}
	}()
	if err := r.underSchemaLock(ctx, func() error { return migrateFacts(ctx, r.conn, url, "") }); err != nil { // a newer program's facts may have more columns
		return nil, err
	}
	var isOurs bool
	if err := r.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", rebuildLock).Scan(&isOurs); err != nil {
		return nil, err
	}
	if !isOurs {
		return nil, errors.New("another one runs")
	}
	live, err := liveVersion(ctx, r.conn)
	switch {
	case err != nil:
		return nil, err
	case live == 0:
		return nil, errors.New("there is no read model yet; run: ingest migrate up")
	case live > projections.Version:
		return nil, newerError(live)
	}
	r.live = ofVersion(live)
	filled := ofVersion(projections.Version)
	if live == projections.Version {
		filled.name += "_next"
	}
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pc.ConnConfig.Tracer = config.tracer
	if r.m, err = open(ctx, pc, Config{Owner: "rebuild"}, filled); err != nil {
		return nil, err
	}
	r.m.taken = func(s shard) uint64 { return r.at[s] }
	if config.advance != nil {
		r.m.advance = config.advance
	}
	return r, nil
}

func (r *rebuild) close(ctx context.Context) {
	_ = r.conn.Close(context.WithoutCancel(ctx))
	if r.m != nil {
		r.m.Close()
	}
}

// begin goes on with the one that was stopped, or begins anew.
func (r *rebuild) begin(ctx context.Context, _ *RebuildReport) error {
	profiles, err := profilesDigest(ctx, r.conn)
	if err != nil {
		return err
	}
	fits, err := r.load(ctx, profiles)
	if err != nil {
		return err
	}
	if r.resumed = fits; fits {
		return nil
	}
	if _, err := r.abandon(ctx); err != nil {
		return err
	}
	r.state = rebuildState{phase: "bulk", profiles: profiles}
	err = pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		// One statement, one snapshot: all facts up to these positions are there.
		if err := exec(ctx, tx, `
INSERT INTO roomtrail.rebuild_positions (generation, partition, seq)
SELECT generation, partition, seq FROM roomtrail.positions WHERE version = $1`, r.live.version); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `
INSERT INTO roomtrail.rebuilds (version, beside, schema, phase, last_set, max_set, of_facts, profiles)
SELECT $1, $2, $3, 'bulk', -1, (SELECT coalesce(max(id), -1) FROM roomtrail.identities), (SELECT coalesce(sum(seq), 0) FROM roomtrail.rebuild_positions), $4
RETURNING last_set, max_set, of_facts`, r.m.rm.version, r.live.version, r.m.rm.name, profiles).
			Scan(&r.state.lastSet, &r.state.maxSet, &r.state.ofFacts); err != nil {
			return err
		}
		if err := makeSchema(ctx, tx, r.m.rm.name); err != nil {
			return err
		}
		// Apps that have callbacks are known before any set of theirs is folded:
		// which comes first must not matter.
		return exec(ctx, r.m.rm.in(tx), `
INSERT INTO rm.callback_apps (app_id, since)
SELECT i.app_id, min(e.occurred_at)
FROM roomtrail.events e
JOIN roomtrail.identities i ON i.id = e.set_id
WHERE e.source = 'server' AND e.is_relogin IS NOT NULL
GROUP BY i.app_id`)
	})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return r.loadPositions(ctx)
}

// load reads how far the one is that was stopped, and says whether it fits this
// program: filled beside the same version, with the same profiles, without faults.
func (r *rebuild) load(ctx context.Context, profiles string) (fits bool, err error) {
	s := &r.state
	var version, beside, faults int
	var name string
	err = r.conn.QueryRow(ctx, `
SELECT version, beside, schema, phase, last_set, max_set, sets, facts, of_facts, profiles, (SELECT count(*) FROM roomtrail.rebuild_faults)
FROM roomtrail.rebuilds`).
		Scan(&version, &beside, &name, &s.phase, &s.lastSet, &s.maxSet, &s.sets, &s.facts, &s.ofFacts, &s.profiles, &faults)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("load how far it was: %w", err)
	}
	if version != r.m.rm.version || beside != r.live.version || name != r.m.rm.name || s.profiles != profiles || faults > 0 {
		return false, nil
	}
	return true, r.loadPositions(ctx)
}

func (r *rebuild) loadPositions(ctx context.Context) (err error) {
	r.at, err = positions(ctx, r.conn, `SELECT generation, partition, seq FROM roomtrail.rebuild_positions`)
	return err
}

func positions(ctx context.Context, q querier, sql string, args ...any) (map[shard]uint64, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("load positions: %w", err)
	}
	at := map[shard]uint64{}
	var s shard
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&s.generation, &s.partition, &seq}, func() error {
		at[s] = uint64(seq)
		return nil
	})
	return at, err
}

// livePositions are how far the live read model is.
func (r *rebuild) livePositions(ctx context.Context) (map[shard]uint64, error) {
	return positions(ctx, r.m.pool, `SELECT generation, partition, seq FROM roomtrail.positions WHERE version = $1`, r.live.version)
}

// abandon drops what this and earlier ones have left.
func (r *rebuild) abandon(ctx context.Context) (dropped []string, err error) {
	rows, err := r.conn.Query(ctx, `
SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^rm_[0-9]+(_old|_next)?$' AND nspname <> $1 ORDER BY 1`, r.live.name)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := dropSchema(ctx, r.conn, name); err != nil {
			return dropped, err
		}
		dropped = append(dropped, name)
	}
	return dropped, pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error { return forgetRebuild(ctx, tx) })
}

func forgetRebuild(ctx context.Context, tx pgx.Tx) error {
	return exec(ctx, tx, `DELETE FROM roomtrail.rebuilds; DELETE FROM roomtrail.rebuild_positions; DELETE FROM roomtrail.rebuild_faults`)
}

// refuse ends a rebuild that met sessions which cannot be folded.
func (r *rebuild) refuse(ctx context.Context, _ *RebuildReport) error {
	rows, err := r.conn.Query(ctx, `
SELECT format('session %s of user %s in room %s of app %s: %s', i.session_id, i.user_id, i.room_id, i.app_id, f.reason)
FROM roomtrail.rebuild_faults f
JOIN roomtrail.identities i ON i.id = f.set_id
ORDER BY f.set_id`)
	if err != nil {
		return err
	}
	faults, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(faults) == 0 {
		return err
	}
	if r.config.DryRun {
		if _, err := r.abandon(ctx); err != nil {
			return err
		}
	}
	const shown = 20
	n := len(faults)
	if n > shown {
		faults = append(faults[:shown], "…")
	}
	return fmt.Errorf("%d sessions cannot be folded; the live read model stays, and the next rebuild begins anew:\n  %s", n, strings.Join(faults, "\n  "))
}

// finish makes the new one live, or drops it after a dry run.
func (r *rebuild) finish(ctx context.Context, report *RebuildReport) error {
	if r.config.DryRun {
		_, err := r.abandon(ctx)
		return err
	}
	return r.switchOver(ctx, report)
}

func (r *rebuild) progress(step RebuildStep, done, of int64) {
	if r.config.Progress != nil {
		r.config.Progress(RebuildProgress{Step: step, Done: done, Of: of})
	}
}

// profilesDigest tells one set of profiles from another.
func profilesDigest(ctx context.Context, q rower) (digest string, err error) {
	err = q.QueryRow(ctx, `SELECT md5(coalesce(string_agg(p::text, E'\n' ORDER BY p::text), '')) FROM roomtrail.profiles p`).Scan(&digest)
	return digest, err
}

// underSchemaLock keeps programs that start from changing the schema meanwhile.
func (r *rebuild) underSchemaLock(ctx context.Context, do func() error) error {
	if err := takeSchemaLock(ctx, r.conn); err != nil {
		return err
	}
	err := do()
	_, unlockErr := r.conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", schemaLock)
	return errors.Join(err, unlockErr)
}

// rower asks for one row.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// executor runs a statement.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func exec(ctx context.Context, e executor, sql string, args ...any) error {
	_, err := e.Exec(ctx, sql, args...)
	return err
}
