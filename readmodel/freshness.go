package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// keepFreshness is how long it is kept: it tells of us, not of rooms.
const keepFreshness = "40 days"

// noteFreshness counts how long the facts took from their receipt until now,
// right before their commit (metric 27). Imports were received long ago. It is
// no derived row: a rebuild cannot tell it again.
func (m *ReadModel) noteFreshness(ctx context.Context, tx pgx.Tx, facts []events.Stored, partition int) error {
	now := time.Now()
	counts := map[int16]int64{}
	for i := range facts {
		if f := &facts[i]; !f.Import {
			counts[projections.HistogramBucket(now.Sub(f.ReceivedAt).Milliseconds())]++
		}
	}
	var buckets []int16
	var ns []int64
	for b, n := range counts {
		buckets, ns = append(buckets, b), append(ns, n)
	}
	if len(buckets) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO roomtrail.freshness AS f (at, partition, bucket, n)
SELECT $1, $2, bucket, n FROM unnest($3::smallint[], $4::bigint[]) AS g(bucket, n)
ON CONFLICT (at, partition, bucket) DO UPDATE SET n = f.n + EXCLUDED.n`, now.UTC().Truncate(time.Minute), partition, buckets, ns)
	if err == nil && m.isTimeToPrune(now) {
		_, err = tx.Exec(ctx, `DELETE FROM roomtrail.freshness WHERE at < now() - $1::interval`, keepFreshness)
	}
	if err != nil {
		return fmt.Errorf("note freshness: %w", err)
	}
	return nil
}

// isTimeToPrune is true once an hour.
func (m *ReadModel) isTimeToPrune(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.pruned) < time.Hour {
		return false
	}
	m.pruned = now
	return true
}
