package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/events"
	"roomtrail/projections"
)

const insertPosition = `
INSERT INTO roomtrail.positions (version, generation, partition)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING`

// Claims wait for each other, so that none overlooks another; not for long,
// since an owner that froze within a transaction may hold the row that is wanted.
// What another generation has committed must not be lost with a crash once this
// one goes on from it, so this commit waits for the disk.
const (
	beginClaim = `SELECT set_config('lock_timeout', '1s', true), set_config('synchronous_commit', 'on', true), pg_advisory_xact_lock(hashtextextended('roomtrail claim', $1))`

	errLockNotAvailable = "55P03"
)

// A session lies in one partition of each generation: while another process
// applies another generation, this one waits for it as for its own partition.
const otherGenerationOwned = `
SELECT EXISTS (
    SELECT FROM roomtrail.positions
    WHERE version = $1 AND generation <> $2 AND owner <> $3 AND lease_until >= now())`

// Whoever has applied another generation is fenced, should it only be frozen.
const fenceOtherGenerations = `
UPDATE roomtrail.positions
SET epoch = epoch + 1, owner = '', lease_until = '-infinity'
WHERE version = $1 AND generation <> $2 AND owner <> ''`

// A claim raises the epoch: whoever held the one before is fenced. All times
// are the database's.
const claimPosition = `
UPDATE roomtrail.positions
SET epoch = epoch + 1, owner = $4, lease_until = now() + $5::interval, updated_at = now()
WHERE version = $1 AND generation = $2 AND partition = $3
  AND (lease_until < now() OR owner = $4)
RETURNING seq, coalesce(log_created, 'epoch'), coalesce(digest, '00000000-0000-0000-0000-000000000000'), epoch`

// Claim makes this process the one who may commit to a partition, or returns
// projections.ErrOwned while another's lease holds, on it or on a partition of
// another generation.
func (m *ReadModel) Claim(ctx context.Context, generation, partition int) (events.Position, error) {
	p := events.Position{Generation: generation, Partition: partition}
	m.forget() // somebody else may have written meanwhile
	err := pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error { return m.claim(ctx, tx, &p) })
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == errLockNotAvailable {
		return p, projections.ErrOwned
	}
	return p, err
}

func (m *ReadModel) claim(ctx context.Context, tx pgx.Tx, p *events.Position) error {
	if _, err := tx.Exec(ctx, beginClaim, m.rm.version); err != nil {
		return err
	}
	live, err := liveVersion(ctx, tx)
	switch {
	case err != nil:
		return err
	case live > m.rm.version:
		return newerError(live)
	case live < m.rm.version:
		return olderError(live)
	}
	if _, err := tx.Exec(ctx, insertPosition, m.rm.version, p.Generation, p.Partition); err != nil {
		return fmt.Errorf("make position row: %w", err)
	}
	var isOwned bool
	if err := tx.QueryRow(ctx, otherGenerationOwned, m.rm.version, p.Generation, m.config.Owner).Scan(&isOwned); err != nil {
		return fmt.Errorf("ask for other generations: %w", err)
	}
	if isOwned {
		return projections.ErrOwned
	}
	if _, err := tx.Exec(ctx, fenceOtherGenerations, m.rm.version, p.Generation); err != nil {
		return fmt.Errorf("fence other generations: %w", err)
	}
	err = tx.QueryRow(ctx, claimPosition, m.rm.version, p.Generation, p.Partition, m.config.Owner, m.config.Lease).
		Scan(&p.Seq, &p.LogCreated, &p.Digest, &p.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return projections.ErrOwned
	}
	if p.LogCreated.Unix() == 0 {
		p.LogCreated = time.Time{}
	}
	p.LogCreated = p.LogCreated.UTC()
	return err
}

// Release gives up what this process has claimed, so that another need not
// wait for the lease to run out.
func (m *ReadModel) Release(ctx context.Context) error {
	_, err := m.pool.Exec(ctx, `UPDATE roomtrail.positions SET lease_until = '-infinity' WHERE owner = $1`, m.config.Owner)
	return err
}

// Idle renews the claim when there is nothing to apply.
func (m *ReadModel) Idle(ctx context.Context, at events.Position, logLast uint64) error {
	tag, err := m.pool.Exec(ctx, `
UPDATE roomtrail.positions
SET lease_until = now() + $5::interval, log_last = $6, halted = NULL, updated_at = now()
WHERE version = $1 AND generation = $2 AND partition = $3 AND epoch = $4`,
		m.rm.version, at.Generation, at.Partition, at.Epoch, m.config.Lease, int64(logLast))
	if err == nil && tag.RowsAffected() == 0 {
		return projections.ErrFenced
	}
	return err
}

// Halt writes down why a partition stands still.
func (m *ReadModel) Halt(ctx context.Context, at events.Position, why error) error {
	_, err := m.pool.Exec(ctx, `
UPDATE roomtrail.positions SET halted = $5, updated_at = now()
WHERE version = $1 AND generation = $2 AND partition = $3 AND epoch = $4`,
		m.rm.version, at.Generation, at.Partition, at.Epoch, why.Error())
	return err
}

// Applied is the last message of each partition that has been applied, of all
// generations.
func (m *ReadModel) Applied(ctx context.Context) ([]events.Ref, error) {
	rows, err := m.pool.Query(ctx, `
SELECT generation, partition, seq FROM roomtrail.positions WHERE version = $1 ORDER BY 1, 2`, m.rm.version)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ref events.Ref, err error) {
		var seq int64
		err = row.Scan(&ref.Generation, &ref.Partition, &seq)
		ref.Seq = uint64(seq)
		return ref, err
	})
}

// Behind counts the events up to the given ones, each the last of its
// partition, that have not been applied.
func (m *ReadModel) Behind(ctx context.Context, ends []events.Ref) (behind uint64, err error) {
	type partition struct{ generation, partition int }
	applied, err := m.Applied(ctx)
	if err != nil {
		return 0, err
	}
	at := make(map[partition]uint64, len(applied))
	for _, ref := range applied {
		at[partition{ref.Generation, ref.Partition}] = ref.Seq
	}
	for _, end := range ends {
		if n := at[partition{end.Generation, end.Partition}]; end.Seq > n {
			behind += end.Seq - n
		}
	}
	return behind, nil
}

// Await notes what waits in partitions whose turn has not come, so that their
// lag can be seen. A partition that was ever claimed is left alone.
func (m *ReadModel) Await(ctx context.Context, ends []events.Ref) error {
	var batch pgx.Batch
	for _, end := range ends {
		batch.Queue(`
INSERT INTO roomtrail.positions AS p (version, generation, partition, log_last)
VALUES ($1, $2, $3, $4)
ON CONFLICT (version, generation, partition) DO UPDATE
SET log_last = excluded.log_last, updated_at = now()
WHERE p.epoch = 0`, m.rm.version, end.Generation, end.Partition, int64(end.Seq))
	}
	return m.pool.SendBatch(ctx, &batch).Close()
}
