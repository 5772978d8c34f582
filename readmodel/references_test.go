package readmodel_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

// A second, slow telling of the figures, over the outward views, by the words
// of their definitions.

type row map[string]any

func (r row) is(column string, values ...any) bool { return slices.Contains(values, r[column]) }
func (r row) has(column string) bool               { return r[column] != nil }
func (r row) n(column string) float64 {
	switch v := r[column].(type) {
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	}
	return 0
}

// told is what one member of a figure counts.
type told struct{ numerator, denominator, all, open, inferred float64 }

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// reference tells of one member; members are rows of a query below.
type reference struct {
	of   string
	tell func(r row) told
}

const unsettled = "pending"

func attempt(numerator, leftOut func(r row) bool) reference {
	return reference{"session", func(r row) told {
		settled := r.is("login_outcome", "logged_in", "failed", "presumed_failed")
		return told{one(numerator(r)), one(settled && !leftOut(r)), one(settled || r.is("login_outcome", unsettled)), one(r.is("login_outcome", unsettled)), one(r.is("login_outcome", "presumed_failed"))}
	}}
}

func session(numerator, denominator, all, open func(r row) bool) reference {
	return reference{"session", func(r row) told {
		return told{one(numerator(r)), one(denominator(r)), one(all(r)), one(all(r) && open(r)), one(denominator(r) && r.is("presence", "gone"))}
	}}
}

func back(numerator func(r row) bool) reference {
	return reference{"interruption", func(r row) told {
		settled := r.is("outcome", "reconnected", "reconnect_failed", "presumed_lost")
		return told{one(numerator(r)), one(settled), one(settled || !r.has("outcome")), one(!r.has("outcome")), one(r.is("outcome", "presumed_lost"))}
	}}
}

func event(numerator, denominator func(r row) bool) reference {
	return reference{"event", func(r row) told {
		return told{numerator: one(numerator(r)), denominator: one(denominator(r)), all: one(denominator(r))}
	}}
}

func always(row) bool { return true }
func never(row) bool  { return false }
func running(r row) bool {
	return !r.has("ended_by") && !r.is("presence", "gone")
}
func over(r row) bool    { return !running(r) }
func known(r row) bool   { return r.has("login_started_at") || r.has("logined_at") }
func lasting(r row) bool { return known(r) && r.n("connected_ms")+r.n("reconnecting_ms") >= 300_000 }
func lost(r row) bool {
	return r.is("ended_by", "ReconnectFailed") ||
		r.is("ended_by", "heartbeat_timeout") && !r.is("closing_said", true) ||
		!r.has("ended_by") && (r.n("lost_interruptions") > 0 || r.is("presence", "gone") && !r.is("closing_said", true))
}
func original(r row) bool { return !r.is("is_copy", true) }
func both(a, b func(r row) bool) func(row) bool {
	return func(r row) bool { return a(r) && b(r) }
}
func column(name string, values ...any) func(row) bool {
	return func(r row) bool { return r.is(name, values...) }
}

var references = map[string]reference{
	"login_success":         attempt(column("login_outcome", "logged_in"), never),
	"service_login_success": attempt(column("login_outcome", "logged_in"), both(column("login_outcome", "failed"), column("caller_fault", true))),
	"login_within_5s": attempt(func(r row) bool {
		return r.is("login_outcome", "logged_in") && r.has("time_to_login_ms") && r.n("time_to_login_ms") <= 5000
	}, never),
	"login_failure_codes": {"session", func(r row) told {
		return told{one(r.is("login_outcome", "failed")), one(r.is("login_outcome", "failed")), one(r.is("login_outcome", "logged_in", "failed", "presumed_failed", unsettled)), one(r.is("login_outcome", unsettled)), 0}
	}},
	"login_failures_per_1000": attempt(column("login_outcome", "failed"), never),
	"interrupted_sessions":    session(func(r row) bool { return r.n("interruptions") > 0 }, always, always, running),
	"kick_rate":               session(column("ended_by", "KickOut"), always, always, running),
	"flap_share":              session(column("is_flapping", true), always, always, running),
	"lost_sessions": session(lost, always, always, func(r row) bool {
		return !r.has("ended_by") && !lost(r) && !r.is("presence", "gone")
	}),
	"clean_sessions": session(func(r row) bool { return lasting(r) && r.is("ended_by", "Logout") && r.n("interruptions") == 0 },
		both(lasting, over), func(r row) bool { return lasting(r) && over(r) || known(r) && running(r) }, running),
	"clean_exits":      session(func(r row) bool { return known(r) && r.is("ended_by", "Logout") }, both(known, over), known, running),
	"inferred_endings": session(column("presence", "gone"), over, always, running),
	"login_cancelled": {"session", func(r row) told {
		return told{one(r.is("login_outcome", "cancelled")), one(!r.is("login_outcome", "unknown", unsettled)), one(!r.is("login_outcome", "unknown")), one(r.is("login_outcome", unsettled)), one(r.is("login_outcome", "presumed_failed"))}
	}},
	"interruption_rate": {"session", func(r row) told {
		return told{r.n("interruptions"), r.n("connected_ms") / 3_600_000, 1, one(running(r)), 0}
	}},
	"kicks_per_1000_hours": {"session", func(r row) told {
		return told{one(r.is("ended_by", "KickOut")), r.n("connected_ms") / 3_600_000, 1, one(running(r)), 0}
	}},
	"session_availability": {"session", func(r row) told {
		return told{r.n("connected_ms"), r.n("connected_ms") + r.n("waited_ms"), 1, one(running(r)), r.n("still_waiting_ms")}
	}},

	"reconnect_success":  back(column("outcome", "reconnected")),
	"fast_recovery":      back(func(r row) bool { return r.is("outcome", "reconnected") && r.n("duration_ms") <= 10_000 }),
	"invisible_recovery": back(column("recovery_case", int32(1))),
	"give_up_rate": {"interruption", func(r row) told {
		return told{one(r.is("recovery_case", int32(3))), one(r.has("outcome")), 1, one(!r.has("outcome")), one(r.is("outcome", "presumed_lost"))}
	}},
	"interruption_other_ends": {"interruption", func(r row) told {
		return told{one(r.is("outcome", "kicked", "logged_out", "login_failed", "superseded")), one(r.has("outcome")), 1, one(!r.has("outcome")), one(r.is("outcome", "presumed_lost"))}
	}},
	"heartbeat_timeout_rate": {"interruption", func(r row) told {
		old := r.is("is_old", true)
		return told{one(old && r.is("heartbeat_timed_out", true)), one(old), 1, one(!old), one(r.is("is_open", true) && r.is("heartbeat_timed_out", true))}
	}},
	"heartbeat_timeout_ambiguous": {"interruption", func(r row) told {
		old := r.is("is_old", true)
		return told{one(old && r.is("heartbeat_ambiguous", true)), one(old), 1, one(!old), one(r.is("is_open", true) && r.is("heartbeat_ambiguous", true))}
	}},

	"logout_failure_rate": event(both(original, column("reason", "LogoutFailed")), both(original, func(r row) bool { return r.is("reason", "LogoutFailed") || r.is("ended_login", true) })),
	"logout_unknown_room": event(both(original, func(r row) bool { return r.is("reason", "LogoutFailed") && r.is("error_code", int64(1002002)) }),
		both(original, func(r row) bool { return r.is("reason", "LogoutFailed") || r.is("ended_login", true) })),
	"duplicates":        event(column("is_copy", true), always),
	"late_events":       event(both(original, column("is_late", true)), original),
	"skewed_events":     event(both(original, column("is_skewed", true)), original),
	"impossible_events": event(both(original, column("transition", "impossible")), both(original, func(r row) bool { return r.has("reason") })),
}

// memberQueries load the members: the outward views, beside them what they do not show.
var memberQueries = map[string]string{
	"session": `
SELECT s.*, l.first_at AS at, l.is_flapping, l.closing_said, k.kick_reason, k.attribution,
       CASE WHEN s.end_provenance = 'observed' OR s.ended_by IS NOT NULL THEN s.end_provenance ELSE 'inferred' END AS said_by,
       CASE WHEN s.connected_ms + s.reconnecting_ms < 300000 THEN 'short' WHEN s.connected_ms + s.reconnecting_ms < 1800000 THEN 'medium' ELSE 'long' END AS length,
       w.waited_ms, w.still_waiting_ms, w.lost_interruptions
FROM sessions s
JOIN roomtrail.identities i ON (i.app_id, i.room_id, i.user_id, i.session_id) = (s.app_id, s.room_id, s.user_id, s.session_id)
JOIN rm.logins l ON l.set_id = i.id AND l.login_no = s.login_no
LEFT JOIN kicks k ON (k.app_id, k.room_id, k.user_id, k.session_id, k.login_no) = (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no)
LEFT JOIN LATERAL (
    SELECT sum(least(greatest(coalesce(x.duration_ms, x.age_ms), 0), x.retry_window_ms))::bigint AS waited_ms,
           sum(least(greatest(x.age_ms, 0), x.retry_window_ms)) FILTER (WHERE x.is_open)::bigint AS still_waiting_ms,
           count(*) FILTER (WHERE x.outcome = 'presumed_lost') AS lost_interruptions
    FROM interruptions x
    WHERE (x.app_id, x.room_id, x.user_id, x.session_id, x.login_no) = (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no)) w ON true`,
	"interruption": `SELECT *, started_at AS at, started_at + heartbeat_timeout_ms * interval '1 millisecond' <= roomtrail_now() AS is_old FROM interruptions`,
	"event": `
SELECT e.*, happened_at AS at, received_at - happened_at > interval '60 s' AS is_late, abs(clock_offset_ms) > 5000 AS is_skewed,
       e.reason = 'Logout' AND NOT EXISTS (SELECT FROM anomalies a WHERE (a.app_id, a.room_id, a.user_id, a.session_id, a.seq) = (e.app_id, e.room_id, e.user_id, e.session_id, e.seq) AND a.kind = 'event_after_end')
           AND coalesce(e.previous_reason NOT IN ('LoginFailed', 'ReconnectFailed', 'KickOut', 'Logout'), true) AS ended_login
FROM room_events e WHERE source = 'client'`,
}

// loaded are all members, as of a time.
func loaded(t testing.TB, url string, now time.Time) map[string][]row {
	t.Helper()
	conn := at(t, url, now)
	out := map[string][]row{}
	for of, sql := range memberQueries {
		rows, err := conn.Query(context.Background(), projections.InSchema(projections.Schema(), sql))
		if err != nil {
			t.Fatal(err)
		}
		maps, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			t.Fatalf("%s: %v", of, err)
		}
		for _, m := range maps {
			out[of] = append(out[of], m)
		}
	}
	return out
}

// at connects as of a time.
func at(t testing.TB, url string, now time.Time) *pgx.Conn {
	t.Helper()
	conn := reader(t, url)
	if _, err := conn.Exec(context.Background(), "SELECT set_config('roomtrail.now', $1, false)", now.Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	return conn
}
