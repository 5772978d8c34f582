package readmodel

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// The second stage works out rows that rest on several sets. The first marks
// what it has changed; Settle takes marks, works their keys out again from what
// is stored, writes the rows and deletes the marks it took, in one transaction.

// dirtyKey is one thing to work out again.
type dirtyKey struct{ what, app, room, key string }

const (
	dirtyCallbacks = "callbacks" // an app has some from an earlier time on; key is until when, empty for ever
	dirtyVisits    = "visits"    // key is a user
	dirtyUpdates   = "updates"   // key is a room_seq
	dirtyReturns   = "returns"   // key is a user; in all rooms
	dirtyStorms    = "storms"    // key is a cell's number; no room
	dirtyImpact    = "impact"    // key is a cell's number
)

// settlers work a key out again from what is stored, by what is dirty. They
// read whatever is committed, and write only rows of their key.
var settlers = map[string]func(context.Context, pgx.Tx, dirtyKey) error{
	dirtyCallbacks: settleCallbacks,
	dirtyVisits:    settleVisits,
	dirtyUpdates:   settleUpdates,
	dirtyReturns:   settleReturns,
	dirtyStorms:    settleStorms,
	dirtyImpact:    settleImpact,
}

// markDirty marks what the batch changes: visits of users whom the server spoke
// of, or whose clients did in an app that has callbacks; numbers of rooms; users
// who have lost a login; cells in which interruptions began, or had begun before.
func markDirty(ctx context.Context, tx pgx.Tx, sets []*set, facts []events.Stored, before []was) error {
	marks := map[dirtyKey]bool{}
	updates := map[[4]string][]any{}
	since := map[string]time.Time{}
	for i := range facts {
		f := &facts[i]
		if f.Source != events.FromServer || f.Witness == nil {
			continue
		}
		if at, ok := since[f.AppID]; !ok || f.OccurredAt.Before(at) {
			since[f.AppID] = f.OccurredAt
		}
		// Of no user where it is about the room alone: then there are no visits,
		// but copies all the same.
		marks[dirtyKey{dirtyVisits, f.AppID, f.RoomID, f.UserID}] = true
		if w := f.Witness; f.Trust != events.TrustUnproven && w.RoomSeq != "" && (w.UpdateSeq > 0 || f.Kind == events.RoomCreate) {
			marks[dirtyKey{dirtyUpdates, f.AppID, f.RoomID, w.RoomSeq}] = true
			key := [4]string{f.AppID, f.RoomID, w.RoomSeq, fmt.Sprint(w.UpdateSeq)}
			if updates[key] == nil {
				updates[key] = []any{f.AppID, f.RoomID, w.RoomSeq, w.UpdateSeq, f.Ref.Generation, f.Ref.Partition, int64(f.Ref.Seq), text(f.UserID), f.OccurredAt}
			}
		}
	}
	expected, err := callbackApps(ctx, tx)
	if err != nil {
		return err
	}
	if err := expectCallbacks(ctx, tx, since, expected, marks); err != nil {
		return err
	}
	for _, s := range sets {
		if _, ok := expected[s.key.AppID]; ok && s.folds {
			marks[dirtyKey{dirtyVisits, s.key.AppID, s.key.RoomID, s.key.UserID}] = true
		}
	}
	if err := markReturns(ctx, tx, sets, facts, marks); err != nil {
		return err
	}
	markStorms(marks, sets, before)
	return writeMarks(ctx, tx, marks, updates)
}

func writeMarks(ctx context.Context, tx pgx.Tx, marks map[dirtyKey]bool, updates map[[4]string][]any) error {
	batch := &pgx.Batch{}
	for _, row := range updates {
		batch.Queue(`INSERT INTO rm.updates (app_id, room_id, room_seq, update_seq, generation, partition, stream_seq, user_id, happened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`, row...)
	}
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("note callback numbers: %w", err)
		}
	}
	if len(marks) == 0 {
		return nil
	}
	rows := make([][]any, 0, len(marks))
	for k := range marks {
		rows = append(rows, []any{k.what, k.app, k.room, k.key})
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"rm", "dirty"}, []string{"what", "app_id", "room_id", "key"}, pgx.CopyFromRows(rows))
	if err != nil {
		return fmt.Errorf("mark what changed: %w", err)
	}
	return nil
}

// expectCallbacks notes from when on the apps have callbacks, where that is news:
// a row that is written is locked until the commit, and all partitions have
// callbacks of the same apps.
func expectCallbacks(ctx context.Context, tx pgx.Tx, since, expected map[string]time.Time, marks map[dirtyKey]bool) error {
	for _, app := range slices.Sorted(maps.Keys(since)) {
		at := since[app]
		was, ok := expected[app]
		if ok && !at.Before(was) {
			continue
		}
		until := ""
		if ok {
			until = was.UTC().Format(time.RFC3339Nano)
		}
		_, err := tx.Exec(ctx, `INSERT INTO rm.callback_apps AS c (app_id, since) VALUES ($1, $2)
ON CONFLICT (app_id) DO UPDATE SET since = EXCLUDED.since WHERE EXCLUDED.since < c.since`, app, at)
		if err != nil {
			return fmt.Errorf("note callbacks of app %s: %w", app, err)
		}
		expected[app] = at
		marks[dirtyKey{what: dirtyCallbacks, app: app, key: until}] = true
	}
	return nil
}

// settleCallbacks marks the users whose clients came in when callbacks could be
// expected already, which was not known then; a minute more on both sides spares
// the exact rule.
func settleCallbacks(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	_, err := tx.Exec(ctx, `
INSERT INTO rm.dirty (what, app_id, room_id, key)
SELECT DISTINCT 'visits', i.app_id, i.room_id, i.user_id
FROM rm.callback_apps c
JOIN roomtrail.identities i ON i.app_id = c.app_id
JOIN rm.logins l ON l.set_id = i.id
WHERE c.app_id = $1 AND i.session_id IS NOT NULL AND l.last_event_at >= c.since - interval '1 minute'
  AND ($2 = '' OR l.first_at <= nullif($2, '')::timestamptz + interval '1 minute')`, k.app, k.key)
	return err
}

func callbackApps(ctx context.Context, q querier) (map[string]time.Time, error) {
	rows, err := q.Query(ctx, `SELECT app_id, since FROM rm.callback_apps`)
	if err != nil {
		return nil, fmt.Errorf("load apps with callbacks: %w", err)
	}
	apps := map[string]time.Time{}
	var app string
	var since time.Time
	_, err = pgx.ForEachRow(rows, []any{&app, &since}, func() error {
		apps[app] = since
		return nil
	})
	return apps, err
}

// settleBatch is how many marks one transaction takes.
const settleBatch = 500

// Settle works out what up to a batch of marks name, and returns how many marks
// it took. Several may run at once: a key is worked out by one at a time, and
// by whoever comes last after everything that was committed before.
func (m *ReadModel) Settle(ctx context.Context) (n int, err error) {
	err = pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
		tx = m.rm.in(tx)
		ids, keys, err := takeMarks(ctx, tx)
		if err != nil || len(ids) == 0 {
			return err
		}
		if slices.ContainsFunc(keys, func(k dirtyKey) bool { return k.what == dirtyImpact || k.what == dirtyCallbacks }) {
			if err := awaitBatches(ctx, tx); err != nil {
				return err
			}
		}
		if err := m.lockKeys(ctx, tx, keys); err != nil {
			return err
		}
		for _, k := range keys {
			settle, ok := settlers[k.what]
			if !ok {
				return fmt.Errorf("settle %s: this program does not know it; run the newer one", k.what)
			}
			if err := settle(ctx, tx, k); err != nil {
				return fmt.Errorf("settle %s of %s in room %q: %w", k.what, k.key, k.room, err)
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM rm.dirty WHERE id = ANY($1)`, ids); err != nil {
			return fmt.Errorf("delete marks: %w", err)
		}
		n = len(ids)
		return nil
	})
	return n, err
}

// lockKeys takes what the keys are locked by, in their order.
func (m *ReadModel) lockKeys(ctx context.Context, tx pgx.Tx, keys []dirtyKey) error {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = strings.Join([]string{m.rm.name, k.what, k.app, k.room, k.key}, "\x01")
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest($1::text[]) AS name", names)
	if err != nil {
		return fmt.Errorf("lock keys: %w", err)
	}
	return nil
}

// batchLock is held, shared, from before a batch looks at what others have told
// until it commits: two batches that concern each other may not see each other,
// and then the second stage, which waits for both before it reads, sees all.
const batchLock = `hashtextextended('roomtrail batch', 0)`

func enterBatch(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(`+batchLock+`)`)
	return err
}

// awaitBatches waits until no batch is between looking and its commit.
func awaitBatches(ctx context.Context, tx pgx.Tx) error {
	barrier, err := tx.Begin(ctx) // a savepoint: what it locks is free again when it is undone
	if err != nil {
		return err
	}
	if _, err := barrier.Exec(ctx, `SELECT pg_advisory_xact_lock(`+batchLock+`)`); err != nil {
		return fmt.Errorf("wait for batches that commit: %w", err)
	}
	return barrier.Rollback(ctx)
}

// takeMarks locks the oldest marks that nobody else has, and returns their keys
// in an order that is the same for all, so that locks are taken in it.
func takeMarks(ctx context.Context, tx pgx.Tx) (ids []int64, keys []dirtyKey, err error) {
	rows, err := tx.Query(ctx, `SELECT id, what, app_id, room_id, key FROM rm.dirty ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, settleBatch)
	if err != nil {
		return nil, nil, fmt.Errorf("take marks: %w", err)
	}
	var id int64
	var k dirtyKey
	_, err = pgx.ForEachRow(rows, []any{&id, &k.what, &k.app, &k.room, &k.key}, func() error {
		ids, keys = append(ids, id), append(keys, k)
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, nil, err
	}
	slices.SortFunc(keys, func(a, b dirtyKey) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.app, b.app), cmp.Compare(a.room, b.room), cmp.Compare(a.key, b.key))
	})
	keys = slices.Compact(keys)
	more, err := takeMore(ctx, tx, ids[len(ids)-1], keys)
	return append(ids, more...), keys, err
}

// takeMore locks what marks the same keys again: where many wait, a key is
// worked out once for all of them.
func takeMore(ctx context.Context, tx pgx.Tx, after int64, keys []dirtyKey) ([]int64, error) {
	var whats, apps, rooms, names []string
	for _, k := range keys {
		whats, apps, rooms, names = append(whats, k.what), append(apps, k.app), append(rooms, k.room), append(names, k.key)
	}
	rows, err := tx.Query(ctx, `
SELECT d.id
FROM rm.dirty d
JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS k (what, app_id, room_id, key) USING (what, app_id, room_id, key)
WHERE d.id > $1
FOR UPDATE OF d SKIP LOCKED`, after, whats, apps, rooms, names)
	if err != nil {
		return nil, fmt.Errorf("take more marks: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Unsettled counts the marks that wait for the second stage.
func (m *ReadModel) Unsettled(ctx context.Context) (n int, err error) {
	err = m.pool.QueryRow(ctx, m.rm.sql(`SELECT count(*) FROM rm.dirty`)).Scan(&n)
	return n, err
}

// settleUpdates finds the gaps in the numbers of one life of a room.
func settleUpdates(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	rows, err := tx.Query(ctx, `SELECT update_seq, generation, partition, stream_seq, coalesce(user_id, ''), happened_at FROM rm.updates
WHERE app_id = $1 AND room_id = $2 AND room_seq = $3 ORDER BY update_seq`, k.app, k.room, k.key)
	if err != nil {
		return err
	}
	updates, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (u projections.Update, err error) {
		var seq int64
		err = r.Scan(&u.Seq, &u.Ref.Generation, &u.Ref.Partition, &seq, &u.UserID, &u.HappenedAt)
		u.Ref.Seq = uint64(seq)
		return u, err
	})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM rm.callback_gaps WHERE app_id = $1 AND room_id = $2 AND room_seq = $3`, k.app, k.room, k.key); err != nil {
		return err
	}
	for _, g := range projections.Gaps(updates) {
		_, err := tx.Exec(ctx, `INSERT INTO rm.callback_gaps (app_id, room_id, room_seq, update_seq, missing, generation, partition, stream_seq, user_id, happened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			k.app, k.room, k.key, g.Seq, g.Missing, g.Ref.Generation, g.Ref.Partition, int64(g.Ref.Seq), text(g.UserID), g.HappenedAt)
		if err != nil {
			return err
		}
	}
	return nil
}
