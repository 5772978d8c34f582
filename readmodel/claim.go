package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

const insertPosition = `
INSERT INTO roomtrail.positions (version, generation, partition)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING`

// A claim raises the epoch: whoever held the one before is fenced. All times
// are the database's.
const claimPosition = `
UPDATE roomtrail.positions
SET epoch = epoch + 1, owner = $4, lease_until = now() + $5::interval, updated_at = now()
WHERE version = $1 AND generation = $2 AND partition = $3
  AND (lease_until < now() OR owner = $4)
RETURNING seq, coalesce(log_created, 'epoch'), coalesce(digest, '00000000-0000-0000-0000-000000000000'), epoch`

// Claim makes this process the one who may commit to a partition, or returns
// projections.ErrOwned while another's lease holds.
func (m *ReadModel) Claim(ctx context.Context, generation, partition int) (events.Position, error) {
	p := events.Position{Generation: generation, Partition: partition}
	m.forget() // somebody else may have written meanwhile
	if _, err := m.pool.Exec(ctx, insertPosition, projections.Version, generation, partition); err != nil {
		return p, fmt.Errorf("make position row: %w", err)
	}
	err := m.pool.QueryRow(ctx, claimPosition, projections.Version, generation, partition, m.config.Owner, m.config.Lease).
		Scan(&p.Seq, &p.LogCreated, &p.Digest, &p.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, projections.ErrOwned
	}
	if p.LogCreated.Unix() == 0 {
		p.LogCreated = time.Time{}
	}
	p.LogCreated = p.LogCreated.UTC()
	return p, err
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
		projections.Version, at.Generation, at.Partition, at.Epoch, m.config.Lease, int64(logLast))
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
		projections.Version, at.Generation, at.Partition, at.Epoch, why.Error())
	return err
}

// Behind counts the events up to the given sequences, by partition, that have
// not been applied.
func (m *ReadModel) Behind(ctx context.Context, generation int, last map[int]uint64) (behind uint64, err error) {
	rows, err := m.pool.Query(ctx, `
SELECT partition, seq FROM roomtrail.positions WHERE version = $1 AND generation = $2`, projections.Version, generation)
	if err != nil {
		return 0, err
	}
	at := map[int]uint64{}
	var partition int
	var seq int64
	if _, err = pgx.ForEachRow(rows, []any{&partition, &seq}, func() error {
		at[partition] = uint64(seq)
		return nil
	}); err != nil {
		return 0, err
	}
	for p, n := range last {
		if n > at[p] {
			behind += n - at[p]
		}
	}
	return behind, nil
}
