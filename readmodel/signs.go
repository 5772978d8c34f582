package readmodel

import (
	"context"
	"fmt"
	"time"

	"roomtrail/events"
)

// Of two signs of a session the later one counts, in whatever order they come.
const mergeSigns = `
INSERT INTO roomtrail.signs AS s (hash, last_at, last_seq, every_ms)
SELECT DISTINCT ON (hash) hash, last_at, last_seq, every_ms
FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[]) AS g(hash, last_at, last_seq, every_ms)
ORDER BY hash, last_at DESC
ON CONFLICT (hash) DO UPDATE
SET last_at = EXCLUDED.last_at, last_seq = greatest(s.last_seq, EXCLUDED.last_seq), every_ms = EXCLUDED.every_ms
WHERE EXCLUDED.last_at > s.last_at`

// MergeSigns writes signs of life, many in one statement.
func (m *ReadModel) MergeSigns(ctx context.Context, signs []events.Sign) error {
	if len(signs) == 0 {
		return nil
	}
	n := len(signs)
	hashes, at := make([][16]byte, 0, n), make([]time.Time, 0, n)
	seqs, every := make([]int64, 0, n), make([]int64, 0, n)
	for _, s := range signs {
		hashes, at, seqs, every = append(hashes, s.Session), append(at, s.At), append(seqs, s.LastSeq), append(every, s.EveryMS)
	}
	if _, err := m.pool.Exec(ctx, mergeSigns, hashes, at, seqs, every); err != nil {
		return fmt.Errorf("write %d signs of life: %w", n, err)
	}
	return nil
}
