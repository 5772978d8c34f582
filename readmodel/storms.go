package readmodel

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// cellNumber names the cell of a time, as storms.sql and views.sql do.
func cellNumber(at time.Time) int64 {
	cell := int64(projections.StormCell / time.Second)
	n := at.Unix() / cell
	if at.Unix()%cell < 0 {
		n--
	}
	return n
}

// cellStart is when a cell begins.
func cellStart(n int64) time.Time {
	return time.Unix(n*int64(projections.StormCell/time.Second), 0).UTC()
}

// was is a row of an interruption before a batch changed it or took it away.
type was struct {
	set              *set
	startedAt, until time.Time // until its W at the latest
}

// interruptionsBefore loads what the batch is about to change or remove of
// interruptions that may have begun at another time: those of sets that were
// folded anew. What a state is carried on with begins and ends interruptions
// and moves none.
func interruptionsBefore(ctx context.Context, tx pgx.Tx, sets []*set) ([]was, error) {
	byID := map[int64]*set{}
	var ids []int64
	for _, s := range sets {
		if len(s.old) > 0 && len(s.rows.Interruptions)+len(s.gone.Interruptions) > 0 {
			byID[s.id] = s
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT set_id, started_at, started_at + retry_window_ms * interval '1 millisecond'
FROM rm.interruptions WHERE set_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("load interruptions as they were: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w was, err error) {
		var id int64
		err = r.Scan(&id, &w.startedAt, &w.until)
		w.set = byID[id]
		return w, err
	})
}

// markStorms marks the cells in which something may group otherwise: those of
// the onsets that are new, have changed or are gone, and their neighbours.
func markStorms(marks map[dirtyKey]bool, sets []*set, before []was) {
	mark := func(s *set, startedAt time.Time) {
		n := cellNumber(startedAt)
		for cell := n - 1; cell <= n+1; cell++ {
			marks[dirtyKey{dirtyStorms, s.key.AppID, "", strconv.FormatInt(cell, 10)}] = true
		}
	}
	for _, s := range sets {
		for i := range s.rows.Interruptions {
			if r := &s.rows.Interruptions[i]; len(s.old) > 0 || s.begins(r.StartedAt) {
				mark(s, r.StartedAt)
			}
		}
	}
	for _, w := range before {
		mark(w.set, w.startedAt)
	}
}

// begins says whether a Reconnecting of that time is among the batch's facts;
// an interruption that only ends groups as before.
func (s *set) begins(at time.Time) bool {
	for i := range s.fresh {
		if f := &s.fresh[i]; f.Reason == events.Reconnecting && f.HappenedAt().Equal(at) {
			return true
		}
	}
	return false
}

// settleStorms works out the storms of one cell of an app, and who of the cell
// is in one.
func settleStorms(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	cell, err := strconv.ParseInt(k.key, 10, 64)
	if err != nil {
		return fmt.Errorf("read the number of a cell: %w", err)
	}
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM rm.storms WHERE app_id = $1 AND cell = $2`, k.app, cell)
	batch.Queue(`DELETE FROM rm.storm_members WHERE app_id = $1 AND cell = $2`, k.app, cell)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("remove storms: %w", err)
	}
	onsets, err := onsetsAround(ctx, tx, k.app, cell)
	if err != nil || len(onsets) == 0 {
		return err
	}
	var storms [][]any
	var ids []string
	var sets []int64
	var logins, numbers []int32
	for _, s := range projections.Storms(k.app, onsets) {
		if cellNumber(s.Members[0].StartedAt) == cell {
			storms = append(storms, []any{
				k.app, s.ID, cell, s.Scope, s.ScopeValue, text(s.Network), text(s.Carrier), text(s.Region), s.StartedAt, s.EndedAt,
				len(s.Members), s.Users, s.Rooms,
			})
		}
		for i := range s.Members {
			if m := &s.Members[i]; cellNumber(m.StartedAt) == cell {
				ids, sets = append(ids, s.ID), append(sets, m.SetID)
				logins, numbers = append(logins, int32(m.LoginNo)), append(numbers, int32(m.No))
			}
		}
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"rm", "storms"}, columns(`app_id storm_id cell scope scope_value network carrier region
		started_at ended_at interruptions users rooms`), pgx.CopyFromRows(storms))
	if err != nil {
		return fmt.Errorf("write storms: %w", err)
	}
	// An onset that was in another cell may still have its row of there.
	_, err = tx.Exec(ctx, `
INSERT INTO rm.storm_members (set_id, login_no, interruption_no, app_id, cell, storm_id)
SELECT set_id, login_no, interruption_no, $5, $6, storm_id
FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[]) AS m (set_id, login_no, interruption_no, storm_id)
ON CONFLICT (set_id, login_no, interruption_no) DO UPDATE SET cell = EXCLUDED.cell, storm_id = EXCLUDED.storm_id`,
		sets, logins, numbers, ids, k.app, cell)
	if err != nil {
		return fmt.Errorf("write members of storms: %w", err)
	}
	return nil
}

// onsetsAround are the onsets of a cell and its neighbours, none where the cell
// itself is empty.
func onsetsAround(ctx context.Context, tx pgx.Tx, app string, cell int64) ([]projections.Onset, error) {
	var isAny bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rm.interruptions WHERE started_at >= $1 AND started_at < $2)`,
		cellStart(cell), cellStart(cell+1)).Scan(&isAny)
	if err != nil || !isAny {
		return nil, err
	}
	profiles, err := loadProfiles(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
SELECT i.room_id, i.user_id, i.session_id, r.set_id, r.login_no, r.interruption_no, r.started_at, r.platform, r.family,
       coalesce(r.network, ''), coalesce(r.carrier, ''), coalesce(r.region, ''), coalesce(r.sdk_version, '')
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
WHERE r.started_at >= $1 AND r.started_at < $2 AND i.app_id = $3`, cellStart(cell-1), cellStart(cell+2), app)
	if err != nil {
		return nil, fmt.Errorf("load onsets: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (o projections.Onset, err error) {
		var platform, family string
		err = r.Scan(&o.RoomID, &o.UserID, &o.SessionID, &o.SetID, &o.LoginNo, &o.No, &o.StartedAt, &platform, &family,
			&o.Network, &o.Carrier, &o.Region, &o.SDKVersion)
		o.DelayMS = profiles.At(app, events.Family(family), platform, o.StartedAt).OnsetDelayMS
		return o, err
	})
}
