package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
)

// Lease makes this process the one that does what the name says, or keeps it
// so; false while another holds it. It only spares double work: what is done
// under it must be harmless when done twice.
func (m *ReadModel) Lease(ctx context.Context, name string) (bool, error) {
	var owner string
	err := m.pool.QueryRow(ctx, `
INSERT INTO roomtrail.leases AS l (name, owner, lease_until) VALUES ($1, $2, now() + $3::interval)
ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until
WHERE l.lease_until < now() OR l.owner = EXCLUDED.owner
RETURNING owner`, name, m.config.Owner, m.config.Lease).Scan(&owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// changes are sessions that went dark or came back and of which the log does not
// say so yet. What goes dark does it three beats after its last sign; that
// instant names the change, so that a second finding is known for the same.
const changes = `
WITH last AS (
    SELECT DISTINCT ON (set_id) set_id, since, kind FROM rm.monitored ORDER BY set_id, since DESC, kind -- back before dark
)
SELECT i.app_id, i.room_id, i.user_id, i.session_id, l.platform, l.family, coalesce(l.device_id, ''), coalesce(l.network, ''), coalesce(l.carrier, ''), coalesce(l.region, ''),
       'dark', d.last_sign_at + (d.silent_ms - d.late_ms) * interval '1 millisecond', d.last_sign_at + (d.silent_ms - d.late_ms) * interval '1 millisecond'
FROM (
    SELECT v.*, v.silent_ms - 3 * coalesce(nullif(g.every_ms, 0), lg.alive_every_ms) AS late_ms, i.id AS set_id
    FROM public.dark_sessions v
    JOIN roomtrail.identities i USING (app_id, room_id, user_id, session_id)
    JOIN roomtrail.signs g ON g.hash = i.hash
    JOIN rm.logins lg ON lg.set_id = i.id AND lg.login_no = v.login_no
    WHERE NOT lg.is_import
) d
JOIN roomtrail.identities i ON i.id = d.set_id
JOIN rm.logins l ON l.set_id = d.set_id AND l.login_no = d.login_no
LEFT JOIN last m ON m.set_id = d.set_id
WHERE m.since IS NULL OR m.since < d.last_sign_at
UNION ALL
SELECT i.app_id, i.room_id, i.user_id, i.session_id, l.platform, l.family, coalesce(l.device_id, ''), coalesce(l.network, ''), coalesce(l.carrier, ''), coalesce(l.region, ''),
       'back', greatest(g.last_at, l.last_event_at), m.since
FROM last m
JOIN roomtrail.identities i ON i.id = m.set_id
JOIN rm.logins l ON l.set_id = m.set_id
JOIN roomtrail.signs g ON g.hash = i.hash
WHERE m.kind = 'dark' AND greatest(g.last_at, l.last_event_at) > m.since
  AND l.login_no = (SELECT max(login_no) FROM rm.logins o WHERE o.set_id = m.set_id)
LIMIT 5000`

// Changes returns what the monitor has to say, as events for the log. At is the
// intake's clock.
func (m *ReadModel) Changes(ctx context.Context, at time.Time) ([]events.Event, error) {
	rows, err := m.pool.Query(ctx, m.rm.sql(changes))
	if err != nil {
		return nil, fmt.Errorf("look for dark sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (e events.Event, err error) {
		var kind, family string
		var since time.Time
		err = r.Scan(&e.AppID, &e.RoomID, &e.UserID, &e.SessionID, &e.Platform, &family, &e.DeviceID, &e.Network, &e.Carrier, &e.Region,
			&kind, &e.OccurredAt, &since)
		e.Kind, e.Family, e.Reason, e.Source, e.Trust = events.Kind(kind), events.Family(family), events.NoReason, events.FromMonitor, events.TrustServer
		e.OccurredAt, e.ReceivedAt = e.OccurredAt.UTC(), at.UTC().Truncate(time.Microsecond)
		e.ExtendedData, _ = json.Marshal(map[string]time.Time{"since": since.UTC()}) // a time always encodes
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for dark sessions: %w", err)
	}
	return list, nil
}

// noteMonitored keeps what the monitor has said; what it said twice is a copy.
func noteMonitored(ctx context.Context, tx pgx.Tx, facts []events.Stored, owners []*set) error {
	for i := range facts {
		f := &facts[i]
		if f.Source != events.FromMonitor {
			continue
		}
		var said struct{ Since time.Time }
		if err := json.Unmarshal(f.ExtendedData, &said); err != nil || said.Since.IsZero() {
			continue // not from this program: it stays a fact
		}
		tag, err := tx.Exec(ctx, `INSERT INTO rm.monitored (set_id, since, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			owners[i].id, said.Since, string(f.Kind))
		if err == nil && tag.RowsAffected() == 0 {
			_, err = tx.Exec(ctx, `INSERT INTO rm.marks (generation, partition, stream_seq, is_copy) VALUES ($1, $2, $3, true)`,
				f.Ref.Generation, f.Ref.Partition, int64(f.Ref.Seq))
		}
		if err != nil {
			return fmt.Errorf("note what the monitor said: %w", err)
		}
	}
	return nil
}
