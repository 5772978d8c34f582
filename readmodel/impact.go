package readmodel

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// impactCell is the stretch of a room that is worked out at once: a room of
// years is not worked out again for a word about today.
const impactCell = time.Hour

// impactReach is how long after a login's last word, or an onset, the two may
// concern each other.
const impactReach = 24 * time.Hour

func impactNumber(at time.Time) int64 {
	n := at.Unix() / int64(impactCell/time.Second)
	if at.Unix()%int64(impactCell/time.Second) < 0 {
		n--
	}
	return n
}

func impactStart(n int64) time.Time { return time.Unix(n*int64(impactCell/time.Second), 0).UTC() }

// markImpact marks the cells of rooms in which an interruption began, or had
// begun before, and those in which a login that has changed may matter.
func markImpact(ctx context.Context, tx pgx.Tx, sets []*set, facts []events.Stored, owners []*set, before []was) error {
	cells := map[dirtyKey]time.Time{}
	note := func(s *set, startedAt, until time.Time) {
		k := dirtyKey{dirtyImpact, s.key.AppID, s.key.RoomID, strconv.FormatInt(impactNumber(startedAt), 10)}
		if limit := startedAt.Add(impactReach); until.After(limit) {
			until = limit
		}
		if was, ok := cells[k]; !ok || until.After(was) {
			cells[k] = until
		}
	}
	for _, s := range sets {
		for i := range s.rows.Interruptions {
			r := &s.rows.Interruptions[i]
			note(s, r.StartedAt, r.StartedAt.Add(time.Duration(r.RetryWindowMS)*time.Millisecond))
		}
	}
	for _, w := range before {
		note(w.set, w.startedAt, w.until)
	}
	ranges := loginRanges(sets, facts, owners)
	batch := &pgx.Batch{}
	if len(cells) > 0 {
		queueCells(batch, cells)
	}
	if len(ranges) > 0 {
		queueRanges(batch, ranges)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("mark rooms whose impact may have changed: %w", err)
	}
	return nil
}

// queueCells notes cells and marks them, in an order that is the same for all.
func queueCells(batch *pgx.Batch, cells map[dirtyKey]time.Time) {
	keys := slices.SortedFunc(maps.Keys(cells), func(a, b dirtyKey) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.room, b.room), cmp.Compare(a.key, b.key))
	})
	var apps, rooms, numbers []string
	var untils []time.Time
	for _, k := range keys {
		apps, rooms, numbers, untils = append(apps, k.app), append(rooms, k.room), append(numbers, k.key), append(untils, cells[k])
	}
	batch.Queue(`
INSERT INTO rm.impact_cells AS c (app_id, room_id, cell, until_at)
SELECT app_id, room_id, cell::bigint, until_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY AS g (app_id, room_id, cell, until_at, n)
ORDER BY n
ON CONFLICT (app_id, room_id, cell) DO UPDATE SET until_at = EXCLUDED.until_at WHERE EXCLUDED.until_at > c.until_at`, apps, rooms, numbers, untils)
	batch.Queue(`
INSERT INTO rm.dirty (what, app_id, room_id, key)
SELECT 'impact', app_id, room_id, cell FROM unnest($1::text[], $2::text[], $3::text[]) AS g (app_id, room_id, cell)`, apps, rooms, numbers)
}

// loginRange is a time in which a login of a room may have changed.
type loginRange struct {
	app, room string
	from, to  time.Time
}

// loginRanges are those of the sessions of which the batch brings a word that
// may connect or disconnect them, or that tells of others in the room.
func loginRanges(sets []*set, facts []events.Stored, owners []*set) []loginRange {
	at := map[*set]*loginRange{}
	widen := func(s *set, times ...time.Time) {
		for _, t := range times {
			switch r := at[s]; {
			case t.IsZero():
			case r == nil:
				at[s] = &loginRange{s.key.AppID, s.key.RoomID, t, t}
			case t.Before(r.from):
				r.from = t
			case t.After(r.to):
				r.to = t
			}
		}
	}
	for i := range facts {
		f := &facts[i]
		if f.IsState() || f.Kind == events.App || f.Kind == events.Peer || f.Source == events.FromMonitor {
			widen(owners[i], f.HappenedAt())
		}
	}
	for _, s := range sets {
		if at[s] == nil {
			continue
		}
		for i := range s.rows.Logins {
			l := &s.rows.Logins[i]
			widen(s, l.FirstAt, l.LoginedAt, l.EndedAt, l.LastStateAt)
		}
		for i := range s.old { // its rows as they were rest on these
			widen(s, s.old[i].HappenedAt())
		}
	}
	out := make([]loginRange, 0, len(at))
	for _, r := range at {
		out = append(out, *r)
	}
	return out
}

// queueRanges marks the cells that have interruptions, where a login may matter
// to them.
func queueRanges(batch *pgx.Batch, ranges []loginRange) {
	var apps, rooms []string
	var froms []time.Time
	var first, last []int64
	for _, r := range ranges {
		apps, rooms, froms = append(apps, r.app), append(rooms, r.room), append(froms, r.from)
		first, last = append(first, impactNumber(r.from.Add(-impactReach))), append(last, impactNumber(r.to.Add(impactReach)))
	}
	batch.Queue(`
INSERT INTO rm.dirty (what, app_id, room_id, key)
SELECT DISTINCT 'impact', c.app_id, c.room_id, c.cell::text
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[]) AS g (app_id, room_id, from_at, first, last)
JOIN rm.impact_cells c ON c.app_id = g.app_id AND c.room_id = g.room_id AND c.cell BETWEEN g.first AND g.last AND c.until_at >= g.from_at`,
		apps, rooms, froms, first, last)
}

// settleImpact works out what the interruptions of one cell cost their room.
func settleImpact(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	cell, err := strconv.ParseInt(k.key, 10, 64)
	if err != nil {
		return fmt.Errorf("read the number of a cell: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM rm.impacts WHERE app_id = $1 AND room_id = $2 AND cell = $3`, k.app, k.room, cell); err != nil {
		return fmt.Errorf("remove impacts: %w", err)
	}
	from, to := impactStart(cell), impactStart(cell+1)
	occupants, err := occupantsOf(ctx, tx, k, from, to.Add(impactReach))
	if err != nil || len(occupants) == 0 {
		return err
	}
	words, err := peerWords(ctx, tx, occupants, from, to.Add(impactReach))
	if err != nil {
		return err
	}
	impacts := projections.Impacts(occupants, words, from, to)
	batch := &pgx.Batch{}
	for i := range impacts {
		m := &impacts[i]
		// An interruption that began in another cell may still have its row of there.
		batch.Queue(`
INSERT INTO rm.impacts AS t (set_id, login_no, interruption_no, app_id, room_id, cell, left_at, back_at, limit_at, peer_ms, waiting, waiting_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (set_id, login_no, interruption_no) DO UPDATE SET cell = EXCLUDED.cell, left_at = EXCLUDED.left_at, back_at = EXCLUDED.back_at,
    limit_at = EXCLUDED.limit_at, peer_ms = EXCLUDED.peer_ms, waiting = EXCLUDED.waiting, waiting_ms = EXCLUDED.waiting_ms`,
			m.SetID, m.LoginNo, m.No, k.app, k.room, cell, instant(m.LeftAt), instant(m.BackAt), m.LimitAt, m.PeerMS, m.Waiting, m.WaitingMS)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write impacts: %w", err)
	}
	return nil
}

// occupantsOf are the logins of a room that may have been connected in a time,
// with their interruptions.
func occupantsOf(ctx context.Context, tx pgx.Tx, k dirtyKey, from, to time.Time) ([]projections.Occupant, error) {
	rows, err := tx.Query(ctx, `
SELECT l.set_id, i.user_id, l.login_no, l.first_at, l.login_started_at, l.logined_at, l.ended_at, coalesce(l.ended_by, ''), l.closing_said,
       l.last_event_at, l.last_state_at, d.since
FROM roomtrail.identities i
JOIN rm.logins l ON l.set_id = i.id
LEFT JOIN LATERAL (
    SELECT min(m.since) AS since FROM rm.monitored m
    WHERE m.set_id = l.set_id AND m.kind = 'dark' AND m.since >= l.last_state_at
      AND NOT EXISTS (SELECT FROM rm.monitored b WHERE b.set_id = m.set_id AND b.since = m.since AND b.kind = 'back')
) d ON l.ended_by IS NULL
WHERE i.room_id = $2 AND i.app_id = $1 AND i.session_id IS NOT NULL
  AND least(l.first_at, l.logined_at, l.last_state_at) <= $4
  AND greatest(l.ended_at, l.last_event_at, l.last_state_at, CASE WHEN l.ended_by IS NULL THEN l.last_state_at + interval '24 hours' END) >= $3
ORDER BY l.set_id, l.login_no`, k.app, k.room, from, to)
	if err != nil {
		return nil, fmt.Errorf("load logins of a room: %w", err)
	}
	occupants, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (o projections.Occupant, err error) {
		var started, logined, ended, dark *time.Time
		err = r.Scan(&o.SetID, &o.UserID, &o.No, &o.FirstAt, &started, &logined, &ended, &o.EndedBy, &o.ClosingSaid, &o.LastEventAt, &o.LastStateAt, &dark)
		o.LoginStartedAt, o.LoginedAt, o.EndedAt, o.DarkSince = orZero(started), orZero(logined), orZero(ended), orZero(dark)
		return o, err
	})
	if err != nil || len(occupants) == 0 {
		return nil, err
	}
	at := map[[2]int64]*projections.Occupant{}
	for i := range occupants {
		at[[2]int64{occupants[i].SetID, int64(occupants[i].No)}] = &occupants[i]
	}
	rows, err = tx.Query(ctx, `
SELECT set_id, login_no, interruption_no, started_at, ended_at, coalesce(outcome, ''), heartbeat_timeout_ms, retry_window_ms
FROM rm.interruptions WHERE set_id = ANY($1) ORDER BY set_id, login_no, interruption_no`, setsOf(occupants))
	if err != nil {
		return nil, fmt.Errorf("load interruptions of a room: %w", err)
	}
	var set int64
	var n projections.Interruption
	var ended *time.Time
	_, err = pgx.ForEachRow(rows, []any{&set, &n.LoginNo, &n.No, &n.StartedAt, &ended, &n.Outcome, &n.HeartbeatTimeoutMS, &n.RetryWindowMS}, func() error {
		n.EndedAt = orZero(ended)
		if o := at[[2]int64{set, int64(n.LoginNo)}]; o != nil {
			o.Interruptions = append(o.Interruptions, n)
		}
		return nil
	})
	return occupants, err
}

func setsOf(occupants []projections.Occupant) []int64 {
	var sets []int64
	for i := range occupants {
		sets = append(sets, occupants[i].SetID)
	}
	return slices.Compact(sets)
}

// peerWords are what clients in the room were told of each other in a time.
func peerWords(ctx context.Context, tx pgx.Tx, occupants []projections.Occupant, from, to time.Time) ([]projections.PeerWord, error) {
	rows, err := tx.Query(ctx, `
WITH since AS (SELECT min(first_stored_at) AS at FROM roomtrail.identities WHERE id = ANY($1))
SELECT e.peer_user_id, e.happened_at, e.peer_update = 'ADD'
FROM roomtrail.events e, since
WHERE e.set_id = ANY($1) AND e.kind = 'peer' AND e.source = 'client' AND e.peer_user_id IS NOT NULL
  AND e.happened_at BETWEEN $2 AND $3 AND e.stored_at >= since.at
  AND NOT EXISTS ( -- else it is a later copy
      SELECT FROM roomtrail.events o
      WHERE o.set_id = e.set_id AND o.seq = e.seq AND o.source = 'client' AND o.stored_at >= since.at
        AND (o.generation, o.stream_seq) < (e.generation, e.stream_seq))`, setsOf(occupants), from, to)
	if err != nil {
		return nil, fmt.Errorf("load what clients were told of others: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w projections.PeerWord, err error) {
		return w, r.Scan(&w.UserID, &w.At, &w.IsBack)
	})
}
