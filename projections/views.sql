-- The outward views and functions: what SQL users, dashboards and the CLI may
-- rely on. "rm." stands for the schema of the read model's version. Columns are
-- only ever appended. Time is asked here: open things are judged against
-- roomtrail_now().

-- now(), unless the setting roomtrail.now says otherwise (tests, reports).
CREATE OR REPLACE FUNCTION public.roomtrail_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('roomtrail.now', true), '')::timestamptz, now())
$$;

CREATE OR REPLACE VIEW public.error_codes AS
SELECT family, error_code, category, meaning, advice
FROM roomtrail.error_codes;

CREATE OR REPLACE VIEW public.profiles AS
SELECT app_id, family, platform, heartbeat_timeout_ms, retry_window_ms, login_timeout_ms,
       onset_delay_ms, alive_every_ms, valid_from
FROM roomtrail.profiles;

CREATE OR REPLACE VIEW public.room_events AS
SELECT i.app_id,
       e.generation || '/' || e.partition || '/' || e.stream_seq AS event_ref,
       e.partition,
       e.stream_seq,
       coalesce(m.is_copy, false) AS is_copy,
       e.source,
       e.trust,
       e.kind,
       i.room_id,
       i.user_id,
       i.session_id,
       e.seq,
       e.reason,
       CASE WHEN m.stream_seq IS NULL THEN e.previous ELSE m.previous END AS previous_reason,
       e.error_code,
       c.category AS error_category,
       c.meaning AS error_meaning,
       CASE WHEN m.stream_seq IS NULL THEN e.transition ELSE m.transition END AS transition,
       e.extended_data,
       e.via,
       e.platform,
       e.family,
       e.sdk_version,
       e.app_version,
       e.device_id,
       e.boot_id,
       e.monotonic_ms,
       e.os,
       e.network,
       e.carrier,
       e.region,
       e.attributes,
       e.room_seq,
       e.server_session_id,
       e.server_reason,
       e.user_update_seq,
       e.occurred_at,
       e.happened_at,
       e.received_at,
       e.clock_offset_ms,
       e.is_import
FROM roomtrail.events e
JOIN roomtrail.identities i ON i.id = e.set_id
LEFT JOIN rm.marks m USING (generation, partition, stream_seq)
LEFT JOIN roomtrail.error_codes c ON c.family = e.family AND c.error_code = e.error_code;

-- One row for each login (contract 4). The last sign of a login is its latest
-- event or sign of life; presence is judged by how long it has been silent.
CREATE OR REPLACE VIEW public.sessions AS
SELECT i.app_id,
       i.session_id,
       l.login_no,
       i.room_id,
       l.room_session_id,
       i.user_id,
       l.device_id,
       l.platform,
       l.family,
       l.sdk_version,
       l.app_version,
       l.os,
       l.network,
       l.carrier,
       l.region,
       l.via,
       l.login_started_at,
       l.logined_at,
       l.time_to_login_ms,
       CASE
           WHEN l.login_started_at IS NULL THEN 'unknown'
           WHEN l.logined_at IS NOT NULL THEN 'logged_in'
           WHEN l.ended_by = 'LoginFailed' THEN 'failed'
           WHEN l.ended_by IS NOT NULL OR w.ended_by IS NOT NULL THEN 'cancelled'
           WHEN l.state <> 'Reconnected' AND l.connected_ms = 0 -- it never got in, by any word of it
               AND n.now - l.login_started_at > l.login_timeout_ms * interval '1 millisecond' THEN 'presumed_failed'
           ELSE 'pending'
       END AS login_outcome,
       l.login_error_code,
       l.caller_fault,
       coalesce(l.ended_at, w.ended_at) AS ended_at, -- the client's word stands over the server's (contract 4.12)
       coalesce(l.ended_by, w.ended_by) AS ended_by,
       l.end_error_code,
       CASE WHEN l.ended_by IS NOT NULL THEN 'observed' WHEN w.ended_by IS NOT NULL THEN 'witnessed' END AS end_provenance,
       l.state,
       p.presence,
       CASE WHEN p.presence = 'gone' THEN p.last_sign_at END AS gone_at,
       l.interruptions,
       l.connected_ms,
       l.reconnecting_ms,
       l.last_event_at,
       p.last_alive_at,
       l.first_received_at,
       l.last_received_at,
       l.missing_events,
       l.is_import
FROM rm.logins l
JOIN roomtrail.identities i ON i.id = l.set_id
LEFT JOIN rm.witnessed_ends w USING (set_id, login_no)
LEFT JOIN roomtrail.signs g ON g.hash = i.hash AND g.last_at >= l.first_at AND l.ended_by IS NULL
CROSS JOIN (SELECT roomtrail_now() AS now) n
CROSS JOIN LATERAL (
    SELECT s.last_sign_at,
           s.last_alive_at,
           CASE
               WHEN l.ended_by IS NOT NULL OR w.ended_by IS NOT NULL THEN 'ended'
               WHEN s.last_alive_at IS NULL AND n.now - s.last_sign_at > interval '24 hours' THEN 'gone'
               WHEN l.closing_said AND n.now - s.last_sign_at > 2 * s.every THEN 'gone'
               WHEN s.last_alive_at IS NULL THEN 'unmonitored'
               WHEN n.now - s.last_sign_at > (l.retry_window_ms + 60000) * interval '1 millisecond' THEN 'gone'
               WHEN n.now - s.last_sign_at > 3 * s.every THEN 'dark'
               WHEN n.now - s.last_sign_at > 2 * s.every THEN 'silent'
               ELSE 'live'
           END AS presence
    FROM (SELECT greatest(l.last_event_at, l.last_alive_at, g.last_at) AS last_sign_at,
                 greatest(l.last_alive_at, g.last_at) AS last_alive_at,
                 coalesce(nullif(g.every_ms, 0), l.alive_every_ms) * interval '1 millisecond' AS every) s
) p;

-- Logins that should be speaking and are not: silent for more than three beats,
-- and not so long that their SDK has given up (contract 4.11). The countdowns
-- say when the server judges the user gone, and when the SDK gives up.
CREATE OR REPLACE VIEW public.dark_sessions AS
SELECT i.app_id,
       i.session_id,
       l.login_no,
       i.room_id,
       i.user_id,
       l.platform,
       l.network,
       l.carrier,
       l.region,
       s.last_sign_at,
       s.silent_ms,
       greatest(l.heartbeat_timeout_ms - s.silent_ms, 0) AS until_h_ms,
       greatest(l.retry_window_ms - s.silent_ms, 0) AS until_w_ms,
       l.state = 'Reconnecting' AS reporting_interruption
FROM roomtrail.signs g
JOIN roomtrail.identities i ON i.hash = g.hash
JOIN rm.logins l ON l.set_id = i.id AND l.ended_by IS NULL AND l.first_at <= g.last_at AND NOT l.closing_said
LEFT JOIN rm.witnessed_ends w USING (set_id, login_no)
CROSS JOIN LATERAL (
    SELECT greatest(g.last_at, l.last_event_at) AS last_sign_at,
           floor(extract(epoch FROM roomtrail_now() - greatest(g.last_at, l.last_event_at)) * 1000)::bigint AS silent_ms
) s
WHERE w.ended_by IS NULL
  AND s.silent_ms > 3 * coalesce(nullif(g.every_ms, 0), l.alive_every_ms)
  AND s.silent_ms <= l.retry_window_ms + 60000;

-- One row for each interruption. An open one is judged by its age: timed out
-- from H on, presumed lost from W and a minute on (contract 4.9, 4.10). Its
-- cause is null while its cell of six minutes waits to be worked out.
CREATE OR REPLACE VIEW public.interruptions AS
SELECT i.app_id,
       i.session_id,
       r.login_no,
       r.interruption_no,
       i.room_id,
       i.user_id,
       r.device_id,
       r.platform,
       r.family,
       r.sdk_version,
       r.app_version,
       r.network,
       r.carrier,
       r.region,
       r.started_at,
       r.ended_at,
       r.start_received_at,
       r.end_received_at,
       r.outcome IS NULL AS is_open,
       a.age_ms,
       coalesce(r.outcome, CASE WHEN a.lost THEN 'presumed_lost' END) AS outcome,
       r.duration_ms,
       r.error_code,
       r.end_error_code,
       coalesce(r.duration_ms, a.age_ms) >= r.heartbeat_timeout_ms AS heartbeat_timed_out,
       coalesce(r.duration_ms, a.age_ms) BETWEEN 85000 AND 100000 AS heartbeat_ambiguous,
       CASE
           WHEN r.outcome = 'reconnected' AND r.duration_ms < r.heartbeat_timeout_ms THEN 1
           WHEN r.outcome = 'reconnected' THEN 2
           WHEN r.outcome = 'reconnect_failed' OR a.lost THEN 3
       END AS recovery_case,
       CASE WHEN a.lost THEN 'inferred' ELSE 'observed' END AS provenance,
       CASE WHEN s.storm_id IS NOT NULL THEN 'common_cause' WHEN u.key IS NULL THEN 'alone' END AS cause,
       s.storm_id,
       r.is_import,
       r.heartbeat_timeout_ms,
       r.retry_window_ms
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
LEFT JOIN rm.storm_members s ON s.set_id = r.set_id AND s.login_no = r.login_no AND s.interruption_no = r.interruption_no
LEFT JOIN (SELECT DISTINCT app_id, key FROM rm.dirty WHERE what = 'storms') u
    ON u.app_id = i.app_id AND u.key = floor(extract(epoch FROM r.started_at) / 360)::bigint::text
CROSS JOIN (SELECT roomtrail_now() AS now) n
CROSS JOIN LATERAL (
    SELECT g.age_ms, r.outcome IS NULL AND g.age_ms >= r.retry_window_ms + 60000 AS lost
    FROM (SELECT CASE WHEN r.outcome IS NULL THEN floor(extract(epoch FROM n.now - r.started_at) * 1000)::bigint END AS age_ms) g
) a;

-- One row for each login that ended by a KickOut. Who displaced it is said by the
-- second stage: until it has, a duplicate login reads unknown.
CREATE OR REPLACE VIEW public.kicks AS
SELECT i.app_id,
       i.session_id,
       k.login_no,
       i.room_id,
       i.user_id,
       l.device_id,
       l.platform,
       l.family,
       l.sdk_version,
       l.app_version,
       l.network,
       l.carrier,
       l.region,
       k.kicked_at,
       k.received_at,
       k.error_code,
       k.kick_reason,
       CASE WHEN k.kick_reason = 'duplicate_login' THEN coalesce(b.attribution, 'unknown') END AS attribution,
       di.session_id AS displaced_by_session_id,
       d.login_no AS displaced_by_login_no,
       di.room_id AS displaced_by_room_id,
       d.device_id AS displaced_by_device_id,
       d.platform AS displaced_by_platform,
       k.session_age_ms,
       k.while_reconnecting,
       b.relogin_after_ms,
       k.message,
       k.is_import
FROM rm.kicks k
JOIN rm.logins l USING (set_id, login_no)
JOIN roomtrail.identities i ON i.id = k.set_id
LEFT JOIN rm.returns b USING (set_id, login_no)
LEFT JOIN rm.logins d ON d.set_id = b.displaced_by_set_id AND d.login_no = b.displaced_by_login_no
LEFT JOIN roomtrail.identities di ON di.id = d.set_id;

-- One row for each stay that the server saw, or that only a client tells of.
CREATE OR REPLACE VIEW public.server_visits AS
SELECT app_id,
       room_id,
       room_seq,
       user_id,
       server_session_id,
       platform,
       term_type,
       relogin,
       login_at,
       logout_at,
       logout_reason,
       session_id,
       login_no,
       agreement,
       is_import
FROM rm.visits;

-- Users whom the server judged gone, as its callbacks witness; and interruptions
-- that passed H, where no callback says so. Those are inferred from the client's
-- own words: H counts from the last heartbeat that reached the server, so the
-- instant may be early by one beat.
CREATE OR REPLACE VIEW public.heartbeat_timeouts AS
SELECT i.app_id,
       i.room_id,
       i.user_id,
       i.session_id,
       r.login_no,
       r.interruption_no,
       NULL::text AS server_session_id,
       r.platform,
       r.family,
       r.network,
       r.carrier,
       r.region,
       NULL::integer AS server_reason,
       r.times_out_at AS timed_out_at,
       'inferred'::text AS provenance,
       r.is_import
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
WHERE (r.outcome IS NULL OR r.duration_ms >= r.heartbeat_timeout_ms) -- as the index has it
  AND (r.outcome IS NOT NULL OR r.times_out_at <= roomtrail_now())
  AND NOT EXISTS (
      SELECT FROM rm.visits v
      WHERE v.set_id = r.set_id AND v.login_no = r.login_no AND v.interruption_no = r.interruption_no AND v.logout_reason IN (1, 2))
UNION ALL
SELECT v.app_id,
       v.room_id,
       v.user_id,
       v.session_id,
       v.login_no,
       v.interruption_no,
       v.server_session_id,
       coalesce(l.platform, v.platform),
       l.family,
       l.network,
       l.carrier,
       l.region,
       v.logout_reason,
       v.logout_at,
       'witnessed',
       v.is_import
FROM rm.visits v
LEFT JOIN rm.logins l USING (set_id, login_no)
WHERE v.logout_reason IN (1, 2);

CREATE OR REPLACE VIEW public.anomalies AS
SELECT i.app_id,
       a.generation || '/' || a.partition || '/' || a.stream_seq AS event_ref,
       i.session_id,
       i.room_id,
       i.user_id,
       a.platform,
       a.sdk_version,
       a.seq,
       a.kind,
       a.detail,
       a.happened_at,
       a.stream_seq
FROM rm.anomalies a
JOIN roomtrail.identities i ON i.id = a.set_id
UNION ALL
SELECT g.app_id,
       g.generation || '/' || g.partition || '/' || g.stream_seq,
       NULL,
       g.room_id,
       g.user_id,
       NULL,
       NULL,
       NULL,
       'missing_callback',
       g.missing || ' missing before user_update_seq ' || g.update_seq || ' of room_seq ' || g.room_seq,
       g.happened_at,
       g.stream_seq
FROM rm.callback_gaps g;
