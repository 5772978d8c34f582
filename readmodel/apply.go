package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// Apply commits one batch. It is the only writer of facts and derived rows:
//
//  1. lock the position; another epoch means fenced, another place means that
//     an earlier commit's reply was lost, and nothing is applied
//  2. put what could not be read into quarantine
//  3. name the sets that the batch touches
//  4. load kept states, and the earlier facts of sets that must be folded anew
//  5. fold; what a fold panics over goes into quarantine too
//  6. write the facts
//  7. write the rows that changed, remove those that are gone, keep states, add
//     to the counters, and mark what the second stage must work out again
//  8. move the position
//  9. commit: before this line nothing has happened, after it all has
func (m *ReadModel) Apply(ctx context.Context, from events.Position, batch events.Batch) (events.Position, error) {
	if err := contiguous(from, batch.Facts); err != nil {
		return from, err
	}
	if err := m.makePartitions(ctx, batch.Facts); err != nil {
		return from, err
	}
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return from, fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	if err := m.stage(ctx, conn.Conn()); err != nil {
		return from, err
	}
	var next events.Position
	var named map[events.SetKey]identity
	var sets []*set
	var newCombinations []combination
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		tx = m.rm.in(tx)
		moved, err := m.lock(ctx, tx, from) // 1
		if err != nil || moved != nil {
			if moved != nil {
				next = *moved
			}
			return err
		}
		facts, err := quarantine(ctx, tx, batch.Facts) // 2
		if err != nil {
			return err
		}
		var owners []*set
		var made map[events.SetKey]identity
		sets, owners, made, err = m.name(ctx, tx, facts) // 3
		if err != nil {
			return err
		}
		if err := m.lower(ctx, tx, sets); err != nil {
			return err
		}
		found := newJudged(from, len(batch.Facts))
		w := newWrites(found.note)
		if sets, err = m.derive(ctx, tx, sets, w); err != nil { // 4, 5
			return err
		}
		if facts, owners, err = quarantineUnfolded(ctx, tx, facts, owners); err != nil {
			return err
		}
		if err := copyFacts(ctx, tx, facts, owners, found); err != nil { // 6
			return err
		}
		if newCombinations, err = m.writeDerived(ctx, tx, w, from.Partition, sets, facts, owners); err != nil { // 7
			return err
		}
		if err := m.noteFreshness(ctx, tx, facts, from.Partition); err != nil { // 7
			return err
		}
		next, err = m.move(ctx, tx, from, batch) // 8
		named = made
		return err
	}) // 9
	if err != nil || next.Seq < from.Seq {
		m.forget() // a commit may have been lost
	}
	if err != nil {
		return from, err
	}
	m.remember(named, sets)
	m.rememberCombinations(newCombinations)
	return next, nil
}

// derive folds what is fresh of the sets into w and returns the sets that went
// well: steps 4 and 5.
func (m *ReadModel) derive(ctx context.Context, tx pgx.Tx, sets []*set, w *writes) ([]*set, error) {
	if err := m.load(ctx, tx, sets); err != nil {
		return nil, err
	}
	profiles, err := loadProfiles(ctx, tx)
	if err != nil {
		return nil, err
	}
	return m.fold(profiles, sets, w), nil
}

// writeDerived writes what rests on the facts: step 7. It returns combinations
// to be remembered after the commit.
func (m *ReadModel) writeDerived(ctx context.Context, tx pgx.Tx, w *writes, partition int, sets []*set, facts []events.Stored, owners []*set) ([]combination, error) {
	if err := enterBatch(ctx, tx); err != nil {
		return nil, err
	}
	before, err := interruptionsBefore(ctx, tx, sets)
	if err != nil {
		return nil, err
	}
	if err := w.write(ctx, tx); err != nil {
		return nil, err
	}
	made, err := m.count(ctx, tx, w.counts, partition)
	if err != nil {
		return nil, err
	}
	if err := markDirty(ctx, tx, sets, facts, before); err != nil {
		return nil, err
	}
	if err := markImpact(ctx, tx, sets, facts, owners, before); err != nil {
		return nil, err
	}
	return made, noteMonitored(ctx, tx, facts, owners)
}

// contiguous guards against a reader that skips: a hole halts.
func contiguous(from events.Position, facts []events.Stored) error {
	want := from.Seq + 1
	for i := range facts {
		if got := facts[i].Ref.Seq; got != want {
			return &events.HaltError{Why: fmt.Sprintf("stream sequence %d follows %d in partition %d/%d; messages %d to %d are missing",
				got, want-1, from.Generation, from.Partition, want, got-1)}
		}
		want++
	}
	return nil
}

// lock takes the position row. It returns the stored position where that is
// another than from under the same epoch.
func (m *ReadModel) lock(ctx context.Context, tx pgx.Tx, from events.Position) (*events.Position, error) {
	p := from
	err := tx.QueryRow(ctx, `
SELECT seq, coalesce(log_created, 'epoch'), coalesce(digest, '00000000-0000-0000-0000-000000000000'), epoch
FROM roomtrail.positions
WHERE version = $1 AND generation = $2 AND partition = $3
FOR UPDATE`, m.rm.version, from.Generation, from.Partition).Scan(&p.Seq, &p.LogCreated, &p.Digest, &p.Epoch)
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock position: %w", err)
	case p.Epoch != from.Epoch:
		return nil, projections.ErrFenced
	case p.Seq != from.Seq:
		p.LogCreated = p.LogCreated.UTC()
		return &p, nil
	}
	return nil, nil
}

// move writes the position after the batch.
func (m *ReadModel) move(ctx context.Context, tx pgx.Tx, from events.Position, batch events.Batch) (events.Position, error) {
	last := &batch.Facts[len(batch.Facts)-1]
	next := from
	next.Seq, next.LogCreated, next.Digest = last.Ref.Seq, batch.LogCreated, last.Digest
	tag, err := tx.Exec(ctx, `
UPDATE roomtrail.positions
SET seq = $6, log_created = $7, digest = $8, log_last = $9, applied_at = $10,
    lease_until = now() + $11::interval, halted = NULL, updated_at = now()
WHERE version = $1 AND generation = $2 AND partition = $3 AND epoch = $4 AND seq = $5`,
		m.rm.version, from.Generation, from.Partition, from.Epoch, int64(from.Seq),
		int64(next.Seq), next.LogCreated, next.Digest, int64(max(batch.LogLast, next.Seq)), last.StoredAt, m.config.Lease)
	if err != nil {
		return from, fmt.Errorf("move position: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return from, projections.ErrFenced
	}
	return next, nil
}

// monthOf is the start of a time's month, by which facts are partitioned.
func monthOf(t time.Time) time.Time {
	y, m, _ := t.UTC().Date()
	return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
}

func partitionName(month time.Time) string { return month.Format("events_y2006m01") }

// makePartitions makes the months of the facts that the batch needs, outside
// the transaction, since making one locks the parent for a moment.
func (m *ReadModel) makePartitions(ctx context.Context, facts []events.Stored) error {
	var last time.Time
	for i := range facts {
		start := monthOf(facts[i].StoredAt)
		if start.Equal(last) {
			continue
		}
		last = start
		name := partitionName(start)
		m.mu.Lock()
		known := m.months[name]
		m.mu.Unlock()
		if known {
			continue
		}
		sql := fmt.Sprintf(`CREATE TABLE IF NOT EXISTS roomtrail.%s
PARTITION OF roomtrail.events FOR VALUES FROM ('%s') TO ('%s')`,
			name, start.Format(time.RFC3339), start.AddDate(0, 1, 0).Format(time.RFC3339))
		err := pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
			// It is remembered below, so a crash of the server must not lose it.
			if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sql)
			return err
		})
		if err != nil && !isDuplicate(err) {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
		m.mu.Lock()
		m.months[name] = true
		m.mu.Unlock()
	}
	return nil
}
