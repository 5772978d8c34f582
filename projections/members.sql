-- Members of figures that no counter holds: what the server saw, what users left
-- behind, who came back, what happens now, and how fresh all this is.

-- Stays that the server saw end, by their beginning.
CREATE OR REPLACE VIEW rm.visit_rows AS
SELECT coalesce(v.login_at, v.logout_at) AS at, v.app_id, coalesce(l.platform, v.platform) AS platform, l.family, l.sdk_version, l.network, l.carrier, l.region,
       v.is_import, v.room_id,
       1 AS server_ends,
       (v.logout_reason IN (1, 2))::int AS witnessed_timeouts
FROM rm.visits v
LEFT JOIN rm.logins l ON l.set_id = v.set_id AND l.login_no = v.login_no
WHERE v.logout_reason IS NOT NULL;

-- Heartbeat timeouts in apps with callbacks, by either way of knowing them:
-- interruptions that passed H, and stays that the server ended for it.
CREATE OR REPLACE VIEW rm.timeout_rows AS
SELECT r.started_at AS at, i.app_id, r.platform, r.family, r.sdk_version, r.network, r.carrier, r.region, r.is_import, i.room_id,
       1 AS either_timeout,
       (EXISTS (SELECT FROM rm.visits v
                WHERE v.set_id = r.set_id AND v.login_no = r.login_no AND v.interruption_no = r.interruption_no AND v.logout_reason IN (1, 2)))::int AS both_timeout
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
JOIN rm.callback_apps c ON c.app_id = i.app_id AND c.since <= r.started_at
WHERE r.outcome IS NULL AND r.times_out_at <= (SELECT public.roomtrail_now()) OR r.duration_ms >= r.heartbeat_timeout_ms
UNION ALL
SELECT v.logout_at, v.app_id, coalesce(l.platform, v.platform), l.family, l.sdk_version, l.network, l.carrier, l.region, v.is_import, v.room_id, 1, 0
FROM rm.visits v
LEFT JOIN rm.logins l ON l.set_id = v.set_id AND l.login_no = v.login_no
LEFT JOIN rm.interruptions r ON r.set_id = v.set_id AND r.login_no = v.login_no AND r.interruption_no = v.interruption_no
WHERE v.logout_reason IN (1, 2)
  AND NOT coalesce(r.outcome IS NULL AND r.times_out_at <= (SELECT public.roomtrail_now()) OR r.duration_ms >= r.heartbeat_timeout_ms, false);

-- How long the room still showed who had left: from LogoutFailed, or the last
-- proof of life of a lost login (where its interruption began, else its last
-- sign), to what the server saw, else to the user's next login there and to H at
-- most.
CREATE OR REPLACE VIEW rm.ghost_rows AS
SELECT g.at, i.app_id, g.platform, g.family, g.sdk_version, g.network, g.carrier, g.region, g.is_import, i.room_id,
       e.ghost_ms,
       CASE WHEN v.left_at IS NULL THEN e.ghost_ms ELSE 0 END AS unwitnessed_ms
FROM (
    SELECT l.first_at AS at, l.*,
           coalesce((SELECT max(r.started_at) FROM rm.interruptions r
                     WHERE r.set_id = l.set_id AND r.login_no = l.login_no AND r.outcome = 'reconnect_failed'), l.last_state_at) AS ghost_since
    FROM (SELECT * FROM rm.logins WHERE ended_by = 'ReconnectFailed' AND login_started_at IS NOT NULL
          UNION ALL
          SELECT * FROM rm.logins WHERE ended_by = 'ReconnectFailed' AND login_started_at IS NULL) l
    UNION ALL
    SELECT l.first_at, l.*, CASE WHEN l.state = 'LogoutFailed' THEN l.last_state_at ELSE coalesce(w.broken_at, w.last_sign_at) END
    FROM rm.logins l
    JOIN rm.login_waits w ON w.set_id = l.set_id AND w.login_no = l.login_no AND w.at = l.first_at
    WHERE l.ended_by IS NULL AND (l.state = 'LogoutFailed' OR w.lost_witnessed + w.lost_inferred > 0)
) g
JOIN roomtrail.identities i ON i.id = g.set_id
LEFT JOIN LATERAL (
    SELECT max(v.logout_at) AS left_at FROM rm.visits v WHERE v.set_id = g.set_id AND v.login_no = g.login_no AND v.logout_at >= g.ghost_since
) v ON true
LEFT JOIN LATERAL (
    SELECT min(n.first_at) AS next_at
    FROM roomtrail.identities j
    JOIN rm.logins n ON n.set_id = j.id
    WHERE j.user_id = i.user_id AND j.app_id = i.app_id AND j.room_id = i.room_id AND n.first_at > g.ghost_since
) n ON true
CROSS JOIN LATERAL (
    SELECT floor(extract(epoch FROM coalesce(v.left_at, least(n.next_at, g.ghost_since + g.heartbeat_timeout_ms * interval '1 millisecond')) - g.ghost_since) * 1000)::bigint AS ghost_ms
) e;

-- Logins that ended against the user's will, by when.
CREATE OR REPLACE VIEW rm.return_rows AS
SELECT r.ended_at AS at, r.app_id, l.platform, l.family, l.sdk_version, l.network, l.carrier, l.region, l.is_import, i.room_id,
       1 AS lost_users,
       coalesce(r.relogin_after_ms <= 60000, false)::int AS returned_users,
       (r.relogin_after_ms IS NULL AND r.ended_at + interval '60 seconds' > (SELECT public.roomtrail_now()))::int AS may_return
FROM rm.returns r
JOIN rm.logins l ON l.set_id = r.set_id AND l.login_no = r.login_no
JOIN roomtrail.identities i ON i.id = r.set_id;

-- Logins that are believed to be connected now.
CREATE OR REPLACE VIEW rm.presence_rows AS
SELECT at, app_id, platform, family, sdk_version, network, carrier, region, is_import, room_id, believed, dark
FROM rm.login_waits;

-- How long events took to be received, by the buckets of the histograms.
CREATE OR REPLACE VIEW rm.receipt_rows AS
SELECT e.happened_at AS at, i.app_id, e.platform, e.family, e.sdk_version, e.network, e.carrier, e.region, e.is_import, i.room_id,
       (width_bucket(greatest(floor(extract(epoch FROM e.received_at - e.happened_at) * 1000)::bigint, 0),
                     (SELECT array_agg(from_ms ORDER BY bucket) FROM roomtrail.histogram_edges)) - 1)::smallint AS b,
       1 AS finished
FROM rm.folded_facts e
LEFT JOIN roomtrail.identities i ON i.id = e.set_id
WHERE NOT e.is_copy;

-- How long they took from there to be seen, by the minute of their commit.
CREATE OR REPLACE VIEW rm.freshness_rows AS
SELECT at, bucket AS b, n AS finished
FROM roomtrail.freshness;

-- How far the projections are behind: the largest lag in time, where it is known
-- of all partitions, and the events of all.
CREATE OR REPLACE VIEW rm.lag_rows AS
SELECT public.roomtrail_now() AS at,
       max(lag_seconds) AS lag_seconds,
       sum(lag_events) AS lag_events,
       (count(*) = count(lag_seconds) AND count(*) > 0)::int AS lags_known,
       count(*) AS all_partitions,
       count(*) FILTER (WHERE state <> 'running') AS stalled_partitions
FROM public.pipeline_status
WHERE live;

-- Interruptions in a storm, and those whose cell waits to be worked out.
CREATE OR REPLACE VIEW rm.storm_rows AS
SELECT r.started_at AS at, i.app_id, r.platform, r.family, r.sdk_version, r.network, r.carrier, r.region, r.is_import, i.room_id, 1 AS common_cause, 0 AS undecided
FROM rm.interruptions r
JOIN rm.storm_members s ON s.set_id = r.set_id AND s.login_no = r.login_no AND s.interruption_no = r.interruption_no
JOIN roomtrail.identities i ON i.id = r.set_id
UNION ALL
SELECT r.started_at, i.app_id, r.platform, r.family, r.sdk_version, r.network, r.carrier, r.region, r.is_import, i.room_id, 0, 1
FROM (SELECT DISTINCT app_id, key::bigint AS cell FROM rm.dirty WHERE what = 'storms') d
JOIN rm.interruptions r ON r.started_at >= to_timestamp(d.cell * 360) AND r.started_at < to_timestamp((d.cell + 1) * 360)
JOIN roomtrail.identities i ON i.id = r.set_id AND i.app_id = d.app_id
WHERE NOT EXISTS (SELECT FROM rm.storm_members s WHERE s.set_id = r.set_id AND s.login_no = r.login_no AND s.interruption_no = r.interruption_no);

-- What interruptions cost their own users and the others in the room.
CREATE OR REPLACE VIEW rm.impact_rows AS
SELECT started_at AS at, app_id, platform, family, sdk_version, network, carrier, region, is_import, room_id, own_ms, coalesce(peer_ms, 0) AS peer_ms
FROM public.interruption_impact;
