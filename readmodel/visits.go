package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// settleVisits works out the stays of one user in one room.
func settleVisits(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	since, err := callbackApps(ctx, tx)
	if err != nil {
		return err
	}
	facts, err := serverFacts(ctx, tx, k)
	if err != nil {
		return err
	}
	logins, err := clientLogins(ctx, tx, k)
	if err != nil {
		return err
	}
	visits, ends, copies := projections.Visits(facts, logins, since[k.app])
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM rm.visits WHERE app_id = $1 AND room_id = $2 AND user_id = $3`, k.app, k.room, k.key)
	for i, v := range visits {
		batch.Queue(`INSERT INTO rm.visits (app_id, room_id, user_id, no, room_seq, server_session_id, platform, term_type, relogin, login_at, logout_at,
    logout_reason, set_id, session_id, login_no, interruption_no, agreement, is_import)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			k.app, k.room, k.key, i+1, text(v.RoomSeq), text(v.ServerSessionID), text(v.Platform), maybe(v.TermType),
			ifAny(v.Relogin.Known, v.Relogin.N == 1), instant(v.LoginAt), instant(v.LogoutAt), maybe(v.LogoutReason),
			ifAny(v.SetID != 0, v.SetID), text(v.SessionID), ifAny(v.LoginNo > 0, v.LoginNo), ifAny(v.InterruptionNo > 0, v.InterruptionNo), v.Agreement, v.IsImport)
	}
	queueEnds(batch, logins, ends, copies)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write visits: %w", err)
	}
	return nil
}

// queueEnds writes the ends that only the server saw, and marks the callbacks
// that are copies.
func queueEnds(batch *pgx.Batch, logins []projections.ClientLogin, ends []projections.WitnessedEnd, copies []events.Ref) {
	sets := make([]int64, 0, len(logins))
	for i := range logins {
		sets = append(sets, logins[i].SetID)
	}
	batch.Queue(`DELETE FROM rm.witnessed_ends WHERE set_id = ANY($1)`, sets)
	for _, e := range ends {
		batch.Queue(`INSERT INTO rm.witnessed_ends (set_id, login_no, ended_by, ended_at) VALUES ($1, $2, $3, $4)`, e.SetID, e.LoginNo, e.EndedBy, e.EndedAt)
	}
	for _, c := range copies {
		batch.Queue(`INSERT INTO rm.marks (generation, partition, stream_seq, is_copy) VALUES ($1, $2, $3, true)
ON CONFLICT (generation, partition, stream_seq) DO NOTHING`, c.Generation, c.Partition, int64(c.Seq))
	}
}

// serverFacts are the callbacks about one user in one room.
func serverFacts(ctx context.Context, tx pgx.Tx, k dirtyKey) ([]events.Stored, error) {
	hash := events.SetKey{AppID: k.app, RoomID: k.room, UserID: k.key}.Hash()
	rows, err := tx.Query(ctx, `
SELECT e.stored_at, e.generation, e.partition, e.stream_seq, e.kind, e.occurred_at, e.platform, e.family, e.trust, e.is_import,
       `+witnessColumns+`
FROM roomtrail.events e
JOIN roomtrail.identities i ON i.id = e.set_id
WHERE i.hash = $1 AND e.stored_at >= i.first_stored_at AND e.source = 'server'`, hash)
	if err != nil {
		return nil, fmt.Errorf("load callbacks: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (f events.Stored, err error) {
		var kind, family, trust string
		var seq int64
		var w witnessRow
		err = r.Scan(append([]any{&f.StoredAt, &f.Ref.Generation, &f.Ref.Partition, &seq, &kind, &f.OccurredAt, &f.Platform, &family, &trust, &f.Import}, w.columns()...)...)
		f.Ref.Seq, f.Kind, f.Family, f.Trust, f.Witness = uint64(seq), events.Kind(kind), events.Family(family), events.Trust(trust), w.witness()
		f.OccurredAt = f.OccurredAt.UTC()
		return f, err
	})
}

// clientLogins are the logins of one user in one room, as the first stage has
// them, with their interruptions.
func clientLogins(ctx context.Context, tx pgx.Tx, k dirtyKey) ([]projections.ClientLogin, error) {
	rows, err := tx.Query(ctx, `
SELECT l.set_id, i.session_id, l.login_no, l.platform, l.first_at, l.login_started_at, l.logined_at, l.ended_at, coalesce(l.ended_by, ''), l.state, l.last_event_at, l.last_state_at, l.is_import
FROM roomtrail.identities i
JOIN rm.logins l ON l.set_id = i.id
WHERE i.user_id = $1 AND i.app_id = $2 AND i.room_id = $3 AND i.session_id IS NOT NULL
ORDER BY l.set_id, l.login_no`, k.key, k.app, k.room)
	if err != nil {
		return nil, fmt.Errorf("load logins: %w", err)
	}
	logins, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (l projections.ClientLogin, err error) {
		var state string
		var started, logined, ended *time.Time
		if err = r.Scan(&l.SetID, &l.SessionID, &l.No, &l.Platform, &l.FirstAt, &started, &logined, &ended, &l.EndedBy, &state, &l.LastEventAt, &l.LastStateAt, &l.IsImport); err != nil {
			return l, err
		}
		l.LoginStartedAt, l.LoginedAt, l.EndedAt = orZero(started), orZero(logined), orZero(ended)
		l.State, err = events.ParseReason(state)
		return l, err
	})
	if err != nil || len(logins) == 0 {
		return logins, err
	}
	if err := addInterruptions(ctx, tx, logins); err != nil {
		return nil, err
	}
	return logins, addEntries(ctx, tx, logins)
}

// addEntries notes when the clients said that they had come in: also where the
// Reconnecting before a Reconnected was lost, so that there is no interruption.
func addEntries(ctx context.Context, tx pgx.Tx, logins []projections.ClientLogin) error {
	sets := make([]int64, 0, len(logins))
	for i := range logins {
		sets = append(sets, logins[i].SetID)
	}
	rows, err := tx.Query(ctx, `
SELECT set_id, happened_at, reason = 'Reconnected'
FROM (
    SELECT DISTINCT ON (set_id, seq) set_id, seq, happened_at, reason
    FROM roomtrail.events
    WHERE set_id = ANY($1) AND source = 'client'
      AND stored_at >= (SELECT min(first_stored_at) FROM roomtrail.identities WHERE id = ANY($1))
    ORDER BY set_id, seq, generation, stream_seq
) counted -- a later copy counts for nothing, whatever it says
WHERE reason IN ('Logined', 'Reconnected')
ORDER BY set_id, seq`, sets)
	if err != nil {
		return fmt.Errorf("load entries: %w", err)
	}
	var set int64
	var e projections.Entry
	_, err = pgx.ForEachRow(rows, []any{&set, &e.At, &e.IsReturn}, func() error {
		var of *projections.ClientLogin // the last of the session's logins that had begun
		for i := range logins {
			if l := &logins[i]; l.SetID == set && (of == nil || !l.FirstAt.After(e.At)) {
				of = l
			}
		}
		if of != nil {
			of.Entries = append(of.Entries, e)
		}
		return nil
	})
	return err
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func addInterruptions(ctx context.Context, tx pgx.Tx, logins []projections.ClientLogin) error {
	type place struct {
		set int64
		no  int
	}
	at := map[place]*projections.ClientLogin{}
	var sets []int64
	for i := range logins {
		l := &logins[i]
		at[place{l.SetID, l.No}] = l
		sets = append(sets, l.SetID)
	}
	rows, err := tx.Query(ctx, `
SELECT set_id, login_no, interruption_no, started_at, ended_at, coalesce(outcome, '')
FROM rm.interruptions WHERE set_id = ANY($1) ORDER BY set_id, login_no, interruption_no`, sets)
	if err != nil {
		return fmt.Errorf("load interruptions: %w", err)
	}
	var set int64
	var r projections.Interruption
	var ended *time.Time
	_, err = pgx.ForEachRow(rows, []any{&set, &r.LoginNo, &r.No, &r.StartedAt, &ended, &r.Outcome}, func() error {
		r.EndedAt = orZero(ended)
		if l := at[place{set, r.LoginNo}]; l != nil {
			l.Interruptions = append(l.Interruptions, r)
		}
		return nil
	})
	return err
}
