package readmodel

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// fill folds set after set, each once and as a whole.
func (r *rebuild) fill(ctx context.Context, _ *RebuildReport) error {
	r.progress(StepFill, r.state.facts, r.state.ofFacts)
	for r.state.phase == "bulk" {
		var known rebuildState
		err := r.inTx(ctx, func(tx pgx.Tx) (commit func(), err error) {
			known, commit, err = r.fillChunk(ctx, tx)
			return commit, err
		})
		if err != nil {
			return fmt.Errorf("fill from set %d on: %w", r.state.lastSet, err)
		}
		r.state = known
		r.progress(StepFill, r.state.facts, r.state.ofFacts)
	}
	return nil
}

// inTx runs one transaction of the read model that is filled; what has to be
// remembered is so after its commit.
func (r *rebuild) inTx(ctx context.Context, do func(pgx.Tx) (commit func(), err error)) error {
	conn, err := r.m.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	if err := r.m.stage(ctx, conn.Conn()); err != nil {
		return err
	}
	var commit func()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		commit, err = do(r.m.rm.in(tx))
		return err
	})
	if err != nil {
		r.m.forget() // states were changed that are not committed
		return err
	}
	if commit != nil {
		commit()
	}
	return nil
}

// chunkFacts is about how many facts are folded in one transaction.
const chunkFacts = 30_000

// fillChunk folds the next sets. It returns the state after it.
func (r *rebuild) fillChunk(ctx context.Context, tx pgx.Tx) (next rebuildState, commit func(), err error) {
	next = r.state
	sets, ids, first, err := r.nextSets(ctx, tx)
	if err != nil {
		return next, nil, err
	}
	if len(ids) == 0 {
		next.phase = "catch_up"
		return next, nil, r.endFill(ctx, tx)
	}
	rows, err := tx.Query(ctx, selectStored, ids, first)
	if err != nil {
		return next, nil, fmt.Errorf("load facts: %w", err)
	}
	b, err := r.collect(rows, sets, func(f *events.Stored) bool { return r.isTaken(f.Ref) })
	if err != nil {
		return next, nil, err
	}
	slices.SortFunc(b.facts, func(x, y storedFact) int { // the monitor's first word counts
		if x.f.Ref.Before(y.f.Ref) {
			return -1
		}
		return 1
	})
	commit, err = r.write(ctx, tx, b, 0)
	if err != nil {
		return next, nil, err
	}
	next.lastSet, next.sets, next.facts = ids[len(ids)-1], next.sets+int64(len(ids)), next.facts+int64(len(b.facts))
	err = exec(ctx, tx, `UPDATE roomtrail.rebuilds SET last_set = $1, sets = $2, facts = $3, updated_at = now()`, next.lastSet, next.sets, next.facts)
	if n := len(b.facts); n > 0 {
		r.chunk = min(max(r.chunk*chunkFacts/n, r.chunk/4, 1), r.chunk*4, 20_000)
	}
	return next, commit, err
}

// nextSets names the sets of the next chunk: new ones, to these tables.
func (r *rebuild) nextSets(ctx context.Context, tx pgx.Tx) (sets map[int64]*set, ids []int64, first time.Time, err error) {
	rows, err := tx.Query(ctx, `
SELECT id, first_stored_at, app_id, room_id, coalesce(user_id, ''), coalesce(session_id, '')
FROM roomtrail.identities
WHERE id > $1 AND id <= $2
ORDER BY id
LIMIT $3`, r.state.lastSet, r.state.maxSet, r.chunk)
	if err != nil {
		return nil, nil, first, fmt.Errorf("load identities: %w", err)
	}
	sets = map[int64]*set{}
	var s set
	_, err = pgx.ForEachRow(rows, []any{&s.id, &s.firstStored, &s.key.AppID, &s.key.RoomID, &s.key.UserID, &s.key.SessionID}, func() error {
		made := s
		made.isNew = true
		sets[s.id] = &made
		ids = append(ids, s.id)
		if first.IsZero() || s.firstStored.Before(first) {
			first = s.firstStored
		}
		return nil
	})
	return sets, ids, first, err
}

// endFill tidies up after the last set: a user whose sessions lay in several
// chunks is marked several times, and the planner knows nothing of the tables.
func (r *rebuild) endFill(ctx context.Context, tx pgx.Tx) error {
	if err := exec(ctx, tx, `
DELETE FROM rm.dirty d
USING (SELECT what, app_id, room_id, key, min(id) AS id FROM rm.dirty GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) first
WHERE (d.what, d.app_id, d.room_id, d.key) = (first.what, first.app_id, first.room_id, first.key) AND d.id > first.id`); err != nil {
		return fmt.Errorf("tidy marks: %w", err)
	}
	if err := analyze(ctx, tx, r.m.rm.name); err != nil {
		return err
	}
	return exec(ctx, tx, `UPDATE roomtrail.rebuilds SET phase = 'catch_up', updated_at = now()`)
}

func analyze(ctx context.Context, tx pgx.Tx, schema string) error {
	rows, err := tx.Query(ctx, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1`, schema)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := exec(ctx, tx, "ANALYZE "+t); err != nil {
			return fmt.Errorf("analyze %s: %w", t, err)
		}
	}
	return nil
}

// catchUp takes what the live read model has applied since, again and again until
// the rest is small or does not become smaller.
func (r *rebuild) catchUp(ctx context.Context, _ *RebuildReport) error {
	for left := int64(-1); ; {
		if err := r.catchUpOnce(ctx); err != nil {
			return err
		}
		if err := r.settle(ctx, r.m); err != nil {
			return err
		}
		live, err := r.livePositions(ctx)
		if err != nil {
			return err
		}
		was := left
		if left = r.behind(live); left <= closeEnough || was >= 0 && left >= was {
			return nil
		}
	}
}

func (r *rebuild) behind(live map[shard]uint64) (n int64) {
	for s, seq := range live {
		n += int64(seq - min(seq, r.at[s]))
	}
	return n
}

// catchUpOnce takes what the live read model has applied up to now.
func (r *rebuild) catchUpOnce(ctx context.Context) error {
	live, err := r.livePositions(ctx)
	if err != nil {
		return err
	}
	of, done := r.behind(live), int64(0)
	shards := make([]shard, 0, len(live))
	for s := range live {
		shards = append(shards, s)
	}
	slices.SortFunc(shards, func(a, b shard) int { // older generations first, as they were applied
		return (a.generation-b.generation)<<20 + a.partition - b.partition
	})
	for _, s := range shards {
		for r.at[s] < live[s] {
			was := r.at[s]
			if err := r.catchUpStep(ctx, s, live[s]); err != nil {
				return fmt.Errorf("catch up after %d/%d/%d: %w", s.generation, s.partition, was, err)
			}
			done += int64(r.at[s] - was)
			r.progress(StepCatchUp, done, of)
		}
	}
	return nil
}

// catchUpFacts is how many facts one step takes.
const catchUpFacts = 10_000

// catchUpStep takes the next facts of one partition, as Apply would, but that they
// are facts already.
func (r *rebuild) catchUpStep(ctx context.Context, s shard, live uint64) error {
	return r.inTx(ctx, func(tx pgx.Tx) (func(), error) {
		rows, err := tx.Query(ctx, selectLogged, s.generation, s.partition, int64(r.at[s]), int64(live), catchUpFacts)
		if err != nil {
			return nil, fmt.Errorf("load facts: %w", err)
		}
		b, err := r.collect(rows, map[int64]*set{}, func(*events.Stored) bool { return true })
		if err != nil {
			return nil, err
		}
		reached := live // what is not there went into quarantine
		if n := len(b.facts); n == catchUpFacts {
			reached = b.facts[n-1].f.Ref.Seq
		}
		written, err := r.write(ctx, tx, b, s.partition)
		if err != nil {
			return nil, err
		}
		err = exec(ctx, tx, `
INSERT INTO roomtrail.rebuild_positions (generation, partition, seq) VALUES ($1, $2, $3)
ON CONFLICT (generation, partition) DO UPDATE SET seq = EXCLUDED.seq`, s.generation, s.partition, int64(reached))
		facts := r.state.facts + int64(len(b.facts))
		if err == nil {
			err = exec(ctx, tx, `UPDATE roomtrail.rebuilds SET facts = $1, updated_at = now()`, facts)
		}
		return func() {
			written()
			r.at[s], r.state.facts = reached, facts
		}, err
	})
}

// storedFact is a fact, whose it is, and what it says of itself.
type storedFact struct {
	f     events.Stored
	owner *set
	found projections.Mark
}

// storedBatch are facts that are taken together.
type storedBatch struct {
	facts []storedFact
	sets  []*set
}

// collect reads facts that are wanted; sets holds those that are known already.
func (r *rebuild) collect(rows pgx.Rows, sets map[int64]*set, isWanted func(*events.Stored) bool) (*storedBatch, error) {
	defer rows.Close()
	b := &storedBatch{}
	for rows.Next() {
		got, err := scanStored(rows)
		if err != nil {
			return nil, fmt.Errorf("load facts: %w", err)
		}
		if !isWanted(&got.f) {
			continue
		}
		s := sets[got.owner.id]
		if s == nil {
			s = got.owner
			sets[s.id] = s
		}
		if s.count == 0 {
			b.sets = append(b.sets, s)
		}
		s.count++
		got.owner = s
		b.facts = append(b.facts, got)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load facts: %w", err)
	}
	return b, nil
}

func (r *rebuild) isTaken(ref events.Ref) bool {
	return ref.Seq <= r.at[shard{ref.Generation, ref.Partition}]
}

// write folds a batch and writes its rows: steps 4, 5 and 7 of Apply. Sessions
// that cannot be folded are noted, and leave no rows.
func (r *rebuild) write(ctx context.Context, tx pgx.Tx, b *storedBatch, partition int) (commit func(), err error) {
	facts, owners := make([]events.Stored, len(b.facts)), make([]*set, len(b.facts))
	said := make(map[events.Ref]projections.Mark, len(b.facts))
	for i := range b.facts {
		facts[i], owners[i], said[b.facts[i].f.Ref] = b.facts[i].f, b.facts[i].owner, b.facts[i].found
	}
	groupFresh(facts, owners, b.sets)
	w := newWrites(func(m projections.Mark) (isNew, isSaid bool) {
		was, isNew := said[m.Ref]
		return isNew, isNew && was == m
	})
	well, err := r.m.derive(ctx, tx, b.sets, w)
	if err != nil {
		return nil, err
	}
	bad := 0
	for _, s := range b.sets {
		if s.broken == nil {
			continue
		}
		bad += s.count
		if err := exec(ctx, tx, `
INSERT INTO roomtrail.rebuild_faults (set_id, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING`, s.id, storableText(s.broken.Error())); err != nil {
			return nil, fmt.Errorf("note a session that cannot be folded: %w", err)
		}
	}
	isGood := func(i int) bool { return owners[i].broken == nil }
	n := len(facts) - bad
	facts, owners = keep(facts, n, isGood), keep(owners, n, isGood)
	made, err := r.m.writeDerived(ctx, tx, w, partition, well, facts, owners)
	if err != nil {
		return nil, err
	}
	return func() {
		if len(well) > 0 && !well[0].isNew {
			r.m.remember(nil, well)
		}
		r.m.rememberCombinations(made)
	}, nil
}

// settle works out what is marked until nothing is left.
func (r *rebuild) settle(ctx context.Context, m *ReadModel) error {
	of, err := m.Unsettled(ctx)
	if err != nil {
		return err
	}
	for done, idle := 0, 0; ; {
		n, err := m.Settle(ctx)
		if err != nil {
			return err
		}
		if done += n; n > 0 {
			idle = 0
			r.progress(StepSettle, int64(done), int64(of))
			continue
		}
		left, err := m.Unsettled(ctx)
		if err != nil || left == 0 {
			return err
		}
		if idle++; idle > 500 { // ten seconds: somebody else has taken them and does not get on
			return fmt.Errorf("%d marks of the second stage are held by somebody else", left)
		}
		select { // whoever has taken them is at it
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
