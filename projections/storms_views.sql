-- Outward views of what interruptions have in common and what they cost.

-- One row for each group of interruptions with a common cause: onsets that
-- coincide within a scope as chance does not explain. What narrows its place
-- further stands at the end.
CREATE OR REPLACE VIEW public.storms AS
SELECT app_id,
       storm_id,
       scope,
       scope_value,
       started_at,
       ended_at,
       interruptions,
       users,
       rooms,
       network,
       carrier,
       region
FROM rm.storms;

-- One row for each interruption: what it costs its own user, and the others in
-- the room (metric 22). An open one costs until now, and no longer than W. Null
-- while its room's hour waits to be worked out for the first time.
CREATE OR REPLACE VIEW public.interruption_impact AS
SELECT i.app_id,
       i.session_id,
       r.login_no,
       r.interruption_no,
       i.room_id,
       i.user_id,
       r.platform,
       r.family,
       r.sdk_version,
       r.network,
       r.carrier,
       r.region,
       r.started_at,
       m.left_at,
       m.back_at,
       r.outcome IS NULL AS is_open,
       coalesce(r.duration_ms, least(greatest(floor(extract(epoch FROM n.now - r.started_at) * 1000)::bigint, 0), r.retry_window_ms)) AS own_ms,
       m.peer_ms + CASE WHEN m.waiting > 0
           THEN greatest(m.waiting * floor(extract(epoch FROM least(n.now, m.limit_at) - m.left_at) * 1000)::bigint - m.waiting_ms, 0)
           ELSE 0 END AS peer_ms,
       r.is_import
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
LEFT JOIN rm.impacts m ON m.set_id = r.set_id AND m.login_no = r.login_no AND m.interruption_no = r.interruption_no
CROSS JOIN (SELECT roomtrail_now() AS now) n;

-- One row for each hour of a room: what the interruptions that began in it cost,
-- and how long those were connected who came in it. Sums over hours and rooms
-- are those of metric 22.
CREATE OR REPLACE VIEW public.room_impact AS
SELECT app_id,
       room_id,
       hour,
       sum(interruptions)::bigint AS interruptions,
       sum(own_ms)::bigint AS own_ms,
       sum(peer_ms)::bigint AS peer_ms,
       sum(connected_ms)::bigint AS connected_ms
FROM (
    SELECT app_id, room_id, date_trunc('hour', started_at, 'UTC') AS hour, 1 AS interruptions, own_ms, coalesce(peer_ms, 0) AS peer_ms, 0 AS connected_ms
    FROM public.interruption_impact
    UNION ALL
    SELECT i.app_id, i.room_id, date_trunc('hour', l.first_at, 'UTC'), 0, 0, 0, l.connected_ms
    FROM rm.logins l
    JOIN roomtrail.identities i ON i.id = l.set_id
) AS parts
GROUP BY app_id, room_id, hour;
