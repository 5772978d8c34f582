package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// userKey is a user of an app.
type userKey struct{ app, user string }

func (u userKey) hash() [16]byte { return events.SetKey{AppID: u.app, UserID: u.user}.Hash() }

// span is a stretch of time in which a batch tells something of a user.
type span struct{ from, to time.Time }

// Facts that may change a loss of any age are between these.
var (
	longAgo   = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	inLong    = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	displaces = 10 * time.Second // more than both sides of the window of contract 5
)

// userLosses are what a batch changes in the table losses.
type userLosses struct {
	put, drop [][]any // rows; keys
	spans     map[userKey]span
}

// markReturns keeps the table losses and marks the users of whom the batch tells
// what may change a row of returns: a loss that is new, changed or gone; somebody
// coming in between a loss and the return; a late or doubled event, which may
// change anything. Losses are few and most users have none, so one look for the
// whole batch finds them. A user's events stand in one partition, whose batches
// follow each other, so no loss is on its way unseen.
func markReturns(ctx context.Context, tx pgx.Tx, sets []*set, facts []events.Stored, marks map[dirtyKey]bool) error {
	l := lossesOf(sets, facts)
	for _, row := range l.put {
		key := row[0].(userKey)
		marks[dirtyKey{dirtyReturns, key.app, "", key.user}] = true
	}
	if err := l.look(ctx, tx, marks); err != nil {
		return fmt.Errorf("look for losses: %w", err)
	}
	if err := l.write(ctx, tx); err != nil {
		return fmt.Errorf("note losses: %w", err)
	}
	return nil
}

// lossesOf is what the sets of a batch tell of losses.
func lossesOf(sets []*set, facts []events.Stored) *userLosses {
	l := &userLosses{spans: map[userKey]span{}}
	for _, s := range sets {
		if !s.folds {
			continue
		}
		u := userKey{s.key.AppID, s.key.UserID}
		for i := range s.rows.Logins {
			row := &s.rows.Logins[i]
			if row.EndedBy == "KickOut" || row.EndedBy == "ReconnectFailed" {
				since := row.FirstAt
				if row.EndedAt.Before(since) {
					since = row.EndedAt
				}
				l.put = append(l.put, []any{u, s.id, row.No, since.Add(-displaces), row.EndedAt})
			} else if s.isLate {
				l.drop = append(l.drop, []any{u, s.id, row.No})
			}
		}
		for _, no := range s.gone.Logins {
			l.drop = append(l.drop, []any{u, s.id, no})
		}
		if s.isLate {
			l.spans[u] = span{longAgo, inLong}
		}
	}
	for i := range facts {
		f := &facts[i]
		u := userKey{f.AppID, f.UserID}
		switch {
		case f.Source == events.FromMonitor:
			l.spans[u] = span{longAgo, inLong}
		case f.Source == events.FromClient && (f.Reason == events.Logined || f.Reason == events.Reconnected):
			at := f.HappenedAt()
			was, ok := l.spans[u]
			if !ok {
				was = span{at, at}
			}
			if at.Before(was.from) {
				was.from = at
			}
			if at.After(was.to) {
				was.to = at
			}
			l.spans[u] = was
		}
	}
	return l
}

// A loss that is not worked out as it stands now is always marked again. One
// that is has a return that later facts cannot move: facts are never taken
// away, so the next Logined can only become an earlier one. Each user is
// looked up by itself, whatever the planner thinks of a table that has grown.
const touchedLosses = `
SELECT u.no
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS u(who, from_at, to_at, no)
CROSS JOIN LATERAL (
    SELECT
    FROM rm.losses l
    LEFT JOIN rm.returns r ON r.set_id = l.set_id AND r.login_no = l.login_no AND r.ended_at = l.ended_at
    WHERE l.who = u.who AND l.since <= u.to_at
      AND (r.back_at IS NULL OR u.from_at <= r.back_at OR u.from_at <= l.ended_at + $4::interval)
    LIMIT 1
) l`

// look marks the users of whom something is told between a loss and the return.
func (l *userLosses) look(ctx context.Context, tx pgx.Tx, marks map[dirtyKey]bool) error {
	var users []userKey
	var hashes [][16]byte
	var from, to []time.Time
	for u, s := range l.spans {
		if marks[dirtyKey{dirtyReturns, u.app, "", u.user}] {
			continue
		}
		users, hashes = append(users, u), append(hashes, u.hash())
		from, to = append(from, s.from), append(to, s.to)
	}
	if len(users) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, touchedLosses, hashes, from, to, displaces)
	if err != nil {
		return err
	}
	var no int
	_, err = pgx.ForEachRow(rows, []any{&no}, func() error {
		marks[dirtyKey{dirtyReturns, users[no-1].app, "", users[no-1].user}] = true
		return nil
	})
	return err
}

func (l *userLosses) write(ctx context.Context, tx pgx.Tx) error {
	if len(l.drop) > 0 {
		hashes, sets, nos, _, _ := lossColumns(l.drop)
		_, err := tx.Exec(ctx, `
DELETE FROM rm.losses l
USING unnest($1::uuid[], $2::bigint[], $3::int[]) AS g(who, set_id, login_no)
WHERE l.who = g.who AND l.set_id = g.set_id AND l.login_no = g.login_no`, hashes, sets, nos)
		if err != nil {
			return err
		}
	}
	if len(l.put) == 0 {
		return nil
	}
	hashes, sets, nos, since, ended := lossColumns(l.put)
	_, err := tx.Exec(ctx, `
INSERT INTO rm.losses (who, set_id, login_no, since, ended_at)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (who, set_id, login_no) DO UPDATE SET since = EXCLUDED.since, ended_at = EXCLUDED.ended_at`, hashes, sets, nos, since, ended)
	return err
}

// lossColumns turns rows into columns; keys have no times.
func lossColumns(rows [][]any) (hashes [][16]byte, sets []int64, nos []int, since, ended []time.Time) {
	for _, r := range rows {
		hashes, sets, nos = append(hashes, r[0].(userKey).hash()), append(sets, r[1].(int64)), append(nos, r[2].(int))
		if len(r) > 3 {
			since, ended = append(since, r[3].(time.Time)), append(ended, r[4].(time.Time))
		}
	}
	return hashes, sets, nos, since, ended
}

// settleReturns works out what became of one user after each loss, from the
// facts of all their sessions.
func settleReturns(ctx context.Context, tx pgx.Tx, k dirtyKey) error {
	logins, err := userLogins(ctx, tx, k)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM rm.returns WHERE user_id = $1 AND app_id = $2`, k.key, k.app)
	for _, r := range projections.Returns(logins) {
		batch.Queue(`
INSERT INTO rm.returns (set_id, login_no, app_id, user_id, ended_at, ended_by, back_at, relogin_after_ms, attribution, displaced_by_set_id, displaced_by_login_no)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			r.SetID, r.LoginNo, k.app, k.key, r.EndedAt, r.EndedBy, instant(r.BackAt), maybe(r.ReloginAfterMS), text(r.Attribution),
			ifAny(r.DisplacedBySet != 0, r.DisplacedBySet), ifAny(r.DisplacedBySet != 0, r.DisplacedByNo))
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write returns: %w", err)
	}
	return nil
}

// userLogins are the logins of one user in one app, from the facts.
func userLogins(ctx context.Context, tx pgx.Tx, k dirtyKey) ([]projections.UserLogin, error) {
	profiles, err := loadProfiles(ctx, tx)
	if err != nil {
		return nil, err
	}
	facts, err := userFacts(ctx, tx, k)
	if err != nil {
		return nil, fmt.Errorf("load facts: %w", err)
	}
	var logins []projections.UserLogin
	for id, of := range facts {
		logins = append(logins, projections.UserLogins(profiles, id, of)...)
	}
	return logins, nil
}

// userFacts are what clients of one user and the monitor said, by set.
func userFacts(ctx context.Context, tx pgx.Tx, k dirtyKey) (map[int64][]events.Stored, error) {
	rows, err := tx.Query(ctx, `
SELECT `+readColumns+`
FROM roomtrail.identities i
JOIN roomtrail.events e ON e.set_id = i.id AND e.stored_at >= i.first_stored_at
WHERE i.user_id = $1 AND i.app_id = $2 AND i.session_id IS NOT NULL AND e.source IN ('client', 'monitor')`, k.key, k.app)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	facts := map[int64][]events.Stored{}
	for rows.Next() {
		id, f, err := scanFact(rows)
		if err != nil {
			return nil, err
		}
		f.AppID, f.UserID = k.app, k.key
		facts[id] = append(facts[id], f)
	}
	return facts, rows.Err()
}
