-- What is not decided by events, but by how long nothing has been heard: the
-- part of figures that no counter can hold. It is decided as the views sessions
-- and interruptions decide it, and rests on indexes of what is open.

-- Counters with what they can be broken down by.
CREATE OR REPLACE VIEW rm.counted AS
SELECT b.app_id, b.platform, b.family, b.sdk_version, b.network, b.carrier, b.region, b.is_import, c.*
FROM rm.counters c
LEFT JOIN rm.combinations b USING (combination);

CREATE OR REPLACE VIEW rm.counted_durations AS
SELECT b.app_id, b.platform, b.family, b.sdk_version, b.network, b.carrier, b.region, b.is_import,
       h.grain, h.at, h.what, h.bucket AS b, h.n AS finished
FROM rm.histograms h
LEFT JOIN rm.combinations b USING (combination);

-- Logins of which the client has said no end. A login is lost whose user never
-- came back to report: the server saw the heartbeat stop, or an interruption is
-- presumed lost, or all signs have ceased and the app had not said that it closes.
CREATE OR REPLACE VIEW rm.login_waits AS
SELECT l.first_at AS at,
       l.set_id,
       l.login_no,
       i.app_id,
       l.platform,
       l.family,
       l.sdk_version,
       l.network,
       l.carrier,
       l.region,
       l.is_import,
       i.room_id,
       CASE WHEN l.connected_ms + l.reconnecting_ms < 300000 THEN 'short'
            WHEN l.connected_ms + l.reconnecting_ms < 1800000 THEN 'medium'
            ELSE 'long' END AS length,
       CASE WHEN w.ended_by IS NOT NULL THEN 'witnessed' ELSE 'inferred' END AS end_provenance,
       p.last_sign_at,
       CASE WHEN r.lost THEN r.broken_at END AS broken_at,
       (a.attempts AND w.ended_by IS NOT NULL)::int AS attempts_witnessed,
       (a.attempts AND w.ended_by IS NULL AND a.overdue)::int AS presumed_failed,
       (a.attempts AND w.ended_by IS NULL AND NOT a.overdue)::int AS pending,
       (w.ended_by IS NULL AND NOT p.gone)::int AS running,
       (w.ended_by IS NULL AND p.gone)::int AS gone,
       (w.ended_by IS NOT NULL)::int AS witnessed,
       (a.known AND w.ended_by IS NULL AND NOT p.gone)::int AS running_exits,
       (a.known AND w.ended_by IS NULL AND p.gone)::int AS gone_exits,
       (a.known AND w.ended_by IS NOT NULL)::int AS witnessed_exits,
       (a.lasting AND w.ended_by IS NULL AND p.gone)::int AS gone_lasting,
       (a.lasting AND w.ended_by IS NOT NULL)::int AS witnessed_lasting,
       coalesce(w.ended_by = 'heartbeat_timeout' AND NOT l.closing_said, false)::int AS lost_witnessed,
       (w.ended_by IS NULL AND (p.gone AND NOT l.closing_said OR coalesce(r.lost, false)))::int AS lost_inferred,
       (w.ended_by IS NULL AND NOT p.gone AND NOT coalesce(r.lost, false))::int AS may_be_lost,
       coalesce(r.waited_ms, 0) AS open_reconnecting_ms,
       greatest(g.last_seq - l.last_seq, 0) AS announced_events,
       (w.ended_by IS NULL AND NOT p.gone AND p.monitored)::int AS believed,
       (w.ended_by IS NULL AND NOT p.gone AND p.monitored AND p.silent > 3 * p.every)::int AS dark
FROM rm.logins l
LEFT JOIN roomtrail.identities i ON i.id = l.set_id
LEFT JOIN rm.witnessed_ends w ON w.set_id = l.set_id AND w.login_no = l.login_no
LEFT JOIN roomtrail.signs g ON g.hash = i.hash AND g.last_at >= l.first_at
LEFT JOIN LATERAL ( -- at most one is open
    SELECT bool_or(o.age_ms >= o.retry_window_ms + 60000) AS lost,
           sum(least(greatest(o.age_ms, 0), o.retry_window_ms))::bigint AS waited_ms,
           max(o.started_at) AS broken_at
    FROM (SELECT started_at, retry_window_ms,
                 floor(extract(epoch FROM (SELECT public.roomtrail_now()) - started_at) * 1000)::bigint AS age_ms
          FROM rm.interruptions
          WHERE set_id = l.set_id AND login_no = l.login_no AND outcome IS NULL AND l.interruptions > 0) o
) r ON true
CROSS JOIN LATERAL (
    SELECT l.login_started_at IS NOT NULL AND l.logined_at IS NULL AS attempts,
           l.state <> 'Reconnected' AND l.connected_ms = 0
               AND (SELECT public.roomtrail_now()) - l.login_started_at > l.login_timeout_ms * interval '1 millisecond' AS overdue,
           coalesce(l.login_started_at, l.logined_at) IS NOT NULL AS known,
           coalesce(l.login_started_at, l.logined_at) IS NOT NULL AND l.connected_ms + l.reconnecting_ms >= 300000 AS lasting
) a
CROSS JOIN LATERAL (
    SELECT s.last_sign_at,
           s.every,
           s.last_alive_at IS NOT NULL AS monitored,
           (SELECT public.roomtrail_now()) - s.last_sign_at AS silent,
           CASE WHEN s.last_alive_at IS NULL AND (SELECT public.roomtrail_now()) - s.last_sign_at > interval '24 hours' THEN true
                WHEN l.closing_said AND (SELECT public.roomtrail_now()) - s.last_sign_at > 2 * s.every THEN true
                WHEN s.last_alive_at IS NULL THEN false
                ELSE (SELECT public.roomtrail_now()) - s.last_sign_at > (l.retry_window_ms + 60000) * interval '1 millisecond'
           END AS gone
    FROM (SELECT greatest(l.last_event_at, l.last_alive_at, g.last_at) AS last_sign_at,
                 greatest(l.last_alive_at, g.last_at) AS last_alive_at,
                 coalesce(nullif(g.every_ms, 0), l.alive_every_ms) * interval '1 millisecond' AS every) s
) p
WHERE l.ended_by IS NULL;

-- Interruptions that are open, and those too young to have passed H, whose
-- clients may already have said how they ended.
CREATE OR REPLACE VIEW rm.interruption_waits AS
SELECT r.started_at AS at, i.app_id, r.platform, r.family, r.sdk_version, r.network, r.carrier, r.region, r.is_import, i.room_id,
       r.error_code,
       CASE WHEN r.presumed_lost = 1 THEN 'inferred' ELSE 'observed' END AS provenance,
       r.presumed_lost,
       r.waiting,
       r.open_timed_out,
       r.open_ambiguous,
       r.young,
       r.young_timed_out,
       r.young_ambiguous
FROM (SELECT o.*,
             (o.age_ms >= o.retry_window_ms + 60000)::int AS presumed_lost,
             (o.age_ms < o.retry_window_ms + 60000)::int AS waiting,
             (o.age_ms >= o.heartbeat_timeout_ms)::int AS open_timed_out,
             (o.age_ms BETWEEN 85000 AND 100000)::int AS open_ambiguous,
             (o.age_ms < o.heartbeat_timeout_ms)::int AS young,
             0 AS young_timed_out,
             0 AS young_ambiguous
      FROM (SELECT *, floor(extract(epoch FROM (SELECT public.roomtrail_now()) - started_at) * 1000)::bigint AS age_ms
            FROM rm.interruptions
            WHERE outcome IS NULL) o
      UNION ALL
      SELECT c.*, 0, 0, 0, 0, 0, 1, (c.duration_ms >= c.heartbeat_timeout_ms)::int, (c.duration_ms BETWEEN 85000 AND 100000)::int
      FROM rm.interruptions c
      WHERE c.outcome IS NOT NULL
        AND c.times_out_at > (SELECT public.roomtrail_now())
        AND c.started_at > (SELECT public.roomtrail_now()) -- as the index has it
            - (SELECT greatest(max(heartbeat_timeout_ms), 90000) FROM roomtrail.profiles) * interval '1 millisecond') r
LEFT JOIN roomtrail.identities i ON i.id = r.set_id;
