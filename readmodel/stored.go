package readmodel

import (
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
)

// storedColumns are all that a fact says, in the order in which scanStored takes
// them, and whose it is.
const storedColumns = readColumns + `,
       ` + witnessColumns + `, is_relogin IS NOT NULL AS is_witness,
       coalesce(previous, '') AS previous, coalesce(transition, '') AS transition`

const identityColumns = `i.first_stored_at, i.app_id, i.room_id, coalesce(i.user_id, '') AS user_id, coalesce(i.session_id, '') AS session_id`

// selectStored brings all facts of the given sets, set by set as selectFacts does.
const selectStored = `
SELECT e.*, ` + identityColumns + `
FROM roomtrail.identities i
CROSS JOIN LATERAL (
    SELECT ` + storedColumns + `
    FROM roomtrail.events
    WHERE set_id = i.id AND stored_at >= $2
    ORDER BY seq
) e
WHERE i.id = ANY($1)`

// selectLogged brings the next facts of one partition in the order of the log.
const selectLogged = `
SELECT e.*, ` + identityColumns + `
FROM (
    SELECT ` + storedColumns + `
    FROM roomtrail.events
    WHERE generation = $1 AND partition = $2 AND stream_seq > $3 AND stream_seq <= $4
    ORDER BY stream_seq
    LIMIT $5
) e
JOIN roomtrail.identities i ON i.id = e.set_id
ORDER BY e.stream_seq`

func scanStored(rows pgx.Rows) (s storedFact, err error) {
	var w witnessRow
	var isWitness bool
	var previous string
	owner := &set{}
	more := append(w.columns(), &isWitness, &previous, &s.found.Transition,
		&owner.firstStored, &owner.key.AppID, &owner.key.RoomID, &owner.key.UserID, &owner.key.SessionID)
	owner.id, s.f, err = scanFact(rows, more...)
	if err != nil {
		return s, err
	}
	f := &s.f
	f.AppID, f.RoomID, f.UserID, f.SessionID = owner.key.AppID, owner.key.RoomID, owner.key.UserID, owner.key.SessionID
	if isWitness {
		f.Witness = w.witness()
	}
	s.owner = owner
	s.found.Ref, s.found.Previous = f.Ref, events.NoReason
	if previous != "" {
		s.found.Previous, err = events.ParseReason(previous)
	}
	return s, err
}

const witnessColumns = `coalesce(room_seq, '') AS room_seq, coalesce(server_session_id, '') AS server_session_id, server_reason,
       coalesce(user_update_seq, 0) AS user_update_seq, term_type, coalesce(is_relogin, false) AS is_relogin, login_time`

// witnessRow takes witnessColumns.
type witnessRow struct {
	w            events.Witness
	reason, term *int64
	login        *time.Time
}

func (r *witnessRow) columns() []any {
	return []any{&r.w.RoomSeq, &r.w.SessionID, &r.reason, &r.w.UpdateSeq, &r.term, &r.w.IsRelogin, &r.login}
}

func (r *witnessRow) witness() *events.Witness {
	w := r.w
	if r.reason != nil {
		w.Reason, w.HasReason = *r.reason, true
	}
	if r.term != nil {
		w.TermType, w.HasTerm = *r.term, true
	}
	if r.login != nil {
		w.LoginAt = r.login.UTC()
	}
	return &w
}
