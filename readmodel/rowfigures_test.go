package readmodel_test

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"testing"
	"time"

	"roomtrail/projections"
)

// What is read from rows alone, told again over the outward views: numerator
// and denominator of what began in [$1, $2).
var rowReferences = map[string]string{
	"witnessed_timeout_rate": `SELECT count(*) FILTER (WHERE logout_reason IN (1, 2)), count(*) FROM server_visits
WHERE logout_reason IS NOT NULL AND coalesce(login_at, logout_at) >= $1 AND coalesce(login_at, logout_at) < $2`,
	"timeout_agreement": `
SELECT count(*) FILTER (WHERE both_say), count(*)
FROM (SELECT s.started_at AS at, EXISTS (SELECT FROM heartbeat_timeouts h WHERE (h.app_id, h.room_id, h.user_id, h.session_id, h.login_no, h.interruption_no, h.provenance) =
                 (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no, s.interruption_no, 'witnessed')) AS both_say
      FROM interruptions s JOIN rm.callback_apps c ON c.app_id = s.app_id AND c.since <= s.started_at WHERE heartbeat_timed_out
      UNION ALL
      SELECT timed_out_at, false FROM heartbeat_timeouts h WHERE provenance = 'witnessed' AND NOT EXISTS (
          SELECT FROM interruptions s WHERE (h.app_id, h.room_id, h.user_id, h.session_id, h.login_no, h.interruption_no) =
              (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no, s.interruption_no) AND heartbeat_timed_out)) x
WHERE at >= $1 AND at < $2`,
	"storm_share": `SELECT count(*) FILTER (WHERE cause = 'common_cause'), count(*) FROM interruptions WHERE started_at >= $1 AND started_at < $2`,
	"room_impact": `
SELECT (SELECT sum(own_ms + coalesce(peer_ms, 0)) / 60000.0 FROM interruption_impact WHERE started_at >= $1 AND started_at < $2),
       (SELECT sum(connected_ms) / 60000.0 FROM rm.logins WHERE first_at >= $1 AND first_at < $2)`,
	"return_after_loss": `
SELECT count(*) FILTER (WHERE back_at <= ended_at + interval '60 seconds'), count(*) FILTER (WHERE back_at IS NOT NULL OR ended_at + interval '60 seconds' <= roomtrail_now())
FROM rm.returns WHERE ended_at >= $1 AND ended_at < $2`,
	"dark_share": `SELECT count(*) FILTER (WHERE presence = 'dark'), count(*) FROM sessions WHERE presence IN ('live', 'silent', 'dark') AND $1::timestamptz < $2`,
	"sequence_completeness": `
SELECT sum(l.seen_events), sum(l.seen_events + l.missing_events + CASE WHEN l.ended_by IS NULL THEN greatest(g.last_seq - l.last_seq, 0) ELSE 0 END)
FROM rm.logins l JOIN roomtrail.identities i ON i.id = l.set_id LEFT JOIN roomtrail.signs g ON g.hash = i.hash AND g.last_at >= l.first_at
WHERE l.first_at >= $1 AND l.first_at < $2`,
	"ghost_time": `
SELECT (SELECT sum(ms) / 1000.0 FROM (
            SELECT CASE WHEN seen IS NOT NULL THEN extract(epoch FROM seen - since) ELSE extract(epoch FROM least(next, since + h) - since) END * 1000 AS ms
            FROM (SELECT *,
                         (SELECT max(v.logout_at) FROM server_visits v WHERE (v.app_id, v.room_id, v.user_id, v.session_id, v.login_no) = (t.app_id, t.room_id, t.user_id, t.session_id, t.login_no) AND v.logout_at >= t.since) AS seen,
                         (SELECT min(n.first_at) FROM rm.logins n JOIN roomtrail.identities j ON j.id = n.set_id WHERE (j.app_id, j.room_id, j.user_id) = (t.app_id, t.room_id, t.user_id) AND n.first_at > t.since) AS next
                  FROM (SELECT i.app_id, i.room_id, i.user_id, i.session_id, l.login_no, l.heartbeat_timeout_ms * interval '1 ms' AS h,
                               CASE WHEN s.ended_by = 'ReconnectFailed' THEN coalesce((SELECT max(r.started_at) FROM interruptions r WHERE (r.app_id, r.room_id, r.user_id, r.session_id, r.login_no) = (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no) AND r.outcome = 'reconnect_failed'), l.last_state_at)
                                    WHEN l.ended_by IS NULL AND s.state = 'LogoutFailed' THEN l.last_state_at
                                    WHEN l.ended_by IS NULL THEN coalesce((SELECT r.started_at FROM interruptions r WHERE (r.app_id, r.room_id, r.user_id, r.session_id, r.login_no) = (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no) AND r.outcome = 'presumed_lost'),
                                        s.gone_at, (SELECT greatest(l.last_event_at, l.last_alive_at, max(g.last_at) FILTER (WHERE g.last_at >= l.first_at)) FROM roomtrail.signs g WHERE g.hash = i.hash)) END AS since
                        FROM rm.logins l JOIN roomtrail.identities i ON i.id = l.set_id
                        JOIN sessions s ON (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no) = (i.app_id, i.room_id, i.user_id, i.session_id, l.login_no)
                        WHERE l.first_at >= $1 AND l.first_at < $2
                          AND (s.ended_by = 'ReconnectFailed' OR l.ended_by IS NULL AND (s.state = 'LogoutFailed'
                               OR s.ended_by = 'heartbeat_timeout' AND NOT l.closing_said
                               OR s.ended_by IS NULL AND (s.presence = 'gone' AND NOT l.closing_said
                                   OR EXISTS (SELECT FROM interruptions r WHERE (r.app_id, r.room_id, r.user_id, r.session_id, r.login_no) = (s.app_id, s.room_id, s.user_id, s.session_id, s.login_no) AND r.outcome = 'presumed_lost'))))) t) u) g),
       (SELECT count(*) FROM sessions s JOIN roomtrail.identities i ON (s.app_id, s.room_id, s.user_id, s.session_id) = (i.app_id, i.room_id, i.user_id, i.session_id)
        JOIN rm.logins l ON l.set_id = i.id AND l.login_no = s.login_no WHERE l.first_at >= $1 AND l.first_at < $2 AND (s.ended_by IS NOT NULL OR s.presence = 'gone'))`,
}

func TestFiguresOfRowsEqualTheirDefinitions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := randomWorld(t, 77, 150)
	random := rand.New(rand.NewSource(5))
	seen := map[string]bool{}
	for range 6 {
		now := midday.Add(time.Duration(random.Int63n(int64(8*time.Hour))) - 2*time.Hour).Truncate(time.Microsecond)
		mine, theirs := at(t, owner, now), at(t, url, now)
		since := midday.Add(-time.Duration(random.Int63n(int64(4 * time.Hour)))).Truncate(time.Microsecond)
		until := since.Add(time.Duration(random.Int63n(int64(6 * time.Hour)))).Truncate(time.Microsecond)
		for name, sql := range rowReferences {
			var numerator, denominator float64
			if err := mine.QueryRow(ctx, projections.InSchema(projections.Schema(), "SELECT coalesce(n, 0)::float8, coalesce(d, 0)::float8 FROM ("+sql+") x(n, d)"), since, until).Scan(&numerator, &denominator); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range ask(t, theirs, question{name: name, since: since, until: until, by: []string{}}) {
				if got := r["numerator"].(float64); math.Abs(got-numerator) > 0.02*math.Max(1, numerator/100) {
					t.Errorf("%s as of %s from %s to %s: numerator %v; want %v", name, now, since, until, got, numerator)
				}
				if got := r["denominator"].(float64); math.Abs(got-denominator) > 1e-6*math.Max(1, denominator) {
					t.Errorf("%s as of %s from %s to %s: denominator %v; want %v", name, now, since, until, got, denominator)
				}
			}
			seen[name] = seen[name] || numerator > 0
		}
	}
	for name := range rowReferences {
		if !seen[name] {
			t.Errorf("%s was never more than 0: the world lacks something", name)
		}
	}
}

// Percentiles are within 2 % of the exact ones, of any range and by any step.
func TestPercentilesAreNearTheExactOnes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := randomWorld(t, 78, 250)
	mine, theirs := at(t, owner, midday.Add(24*time.Hour)), at(t, url, midday.Add(24*time.Hour))
	random := rand.New(rand.NewSource(6))
	checked := 0
	for range 12 {
		since := midday.Add(-time.Duration(random.Int63n(int64(4 * time.Hour)))).Truncate(time.Microsecond)
		until := since.Add(time.Hour + time.Duration(random.Int63n(int64(6*time.Hour)))).Truncate(time.Microsecond)
		for name, sql := range map[string]string{
			"time_to_login":      `SELECT time_to_login_ms AS ms, login_started_at AS at FROM sessions WHERE login_outcome = 'logged_in' AND via IS DISTINCT FROM 'switch'`,
			"time_to_switch":     `SELECT time_to_login_ms AS ms, login_started_at AS at FROM sessions WHERE login_outcome = 'logged_in' AND via = 'switch'`,
			"time_to_login_all":  `SELECT coalesce(time_to_login_ms, 'Infinity'::float8) AS ms, login_started_at AS at FROM sessions WHERE login_outcome IN ('logged_in', 'failed', 'presumed_failed')`,
			"reconnect_duration": `SELECT duration_ms AS ms, started_at AS at FROM interruptions WHERE outcome = 'reconnected'`,
			"received_after":     `SELECT greatest(extract(epoch FROM received_at - happened_at) * 1000, 0) AS ms, happened_at AS at FROM room_events WHERE source = 'client' AND NOT is_copy`,
		} {
			for _, p := range []int{50, 95, 99} {
				var want *float64
				var n int
				if err := mine.QueryRow(ctx, fmt.Sprintf("SELECT percentile_disc(0.%d) WITHIN GROUP (ORDER BY ms)::float8, count(*) FROM (%s) x WHERE at >= $1 AND at < $2", p, sql), since, until).Scan(&want, &n); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, r := range ask(t, theirs, question{name: fmt.Sprintf("%s_p%d", name, p), since: since, until: until, by: []string{}}) {
					if r["denominator"] != float64(n) {
						t.Errorf("%s p%d of %v; want %d", name, p, r["denominator"], n)
					}
					got, is := r["value"].(float64)
					if never := want == nil || math.IsInf(*want, 1); never != !is || is && math.Abs(got-*want) > 0.02**want+1 {
						t.Errorf("%s p%d from %s to %s is %v; want %v", name, p, since, until, r["value"], want)
					}
					if is {
						checked++
					}
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d percentiles were checked", checked)
	}
}
