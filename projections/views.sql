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
       m.previous AS previous_reason,
       e.error_code,
       c.category AS error_category,
       c.meaning AS error_meaning,
       m.transition,
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
       NULL::text AS room_seq,
       NULL::text AS server_session_id,
       NULL::integer AS server_reason,
       NULL::bigint AS user_update_seq,
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
           WHEN l.ended_by IS NOT NULL THEN 'cancelled'
           WHEN l.state <> 'Reconnected' AND l.connected_ms = 0 -- it never got in, by any word of it
               AND n.now - l.login_started_at > l.login_timeout_ms * interval '1 millisecond' THEN 'presumed_failed'
           ELSE 'pending'
       END AS login_outcome,
       l.login_error_code,
       l.caller_fault,
       l.ended_at,
       l.ended_by,
       l.end_error_code,
       CASE WHEN l.ended_by IS NOT NULL THEN 'observed' END AS end_provenance,
       l.state,
       p.presence,
       CASE WHEN p.presence = 'gone' THEN p.last_sign_at END AS gone_at,
       l.interruptions,
       l.connected_ms,
       l.reconnecting_ms,
       l.last_event_at,
       l.last_alive_at,
       l.first_received_at,
       l.last_received_at,
       l.missing_events,
       l.is_import
FROM rm.logins l
JOIN roomtrail.identities i ON i.id = l.set_id
CROSS JOIN (SELECT roomtrail_now() AS now) n
CROSS JOIN LATERAL (
    SELECT s.last_sign_at,
           CASE
               WHEN l.ended_by IS NOT NULL THEN 'ended'
               WHEN l.last_alive_at IS NULL AND n.now - s.last_sign_at > interval '24 hours' THEN 'gone'
               WHEN l.closing_said AND n.now - s.last_sign_at > 2 * l.alive_every_ms * interval '1 millisecond' THEN 'gone'
               WHEN l.last_alive_at IS NULL THEN 'unmonitored'
               WHEN n.now - s.last_sign_at > (l.retry_window_ms + 60000) * interval '1 millisecond' THEN 'gone'
               WHEN n.now - s.last_sign_at > 3 * l.alive_every_ms * interval '1 millisecond' THEN 'dark'
               WHEN n.now - s.last_sign_at > 2 * l.alive_every_ms * interval '1 millisecond' THEN 'silent'
               ELSE 'live'
           END AS presence
    FROM (SELECT greatest(l.last_event_at, l.last_alive_at) AS last_sign_at) s
) p;

-- One row for each interruption. An open one is judged by its age: timed out
-- from H on, presumed lost from W and a minute on (contract 4.9, 4.10).
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
       NULL::text AS cause,
       NULL::text AS storm_id,
       r.is_import,
       r.heartbeat_timeout_ms,
       r.retry_window_ms
FROM rm.interruptions r
JOIN roomtrail.identities i ON i.id = r.set_id
CROSS JOIN (SELECT roomtrail_now() AS now) n
CROSS JOIN LATERAL (
    SELECT g.age_ms, r.outcome IS NULL AND g.age_ms >= r.retry_window_ms + 60000 AS lost
    FROM (SELECT CASE WHEN r.outcome IS NULL THEN floor(extract(epoch FROM n.now - r.started_at) * 1000)::bigint END AS age_ms) g
) a;

-- One row for each login that ended by a KickOut.
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
       k.attribution,
       NULL::text AS displaced_by_session_id,
       NULL::integer AS displaced_by_login_no,
       NULL::text AS displaced_by_room_id,
       NULL::text AS displaced_by_device_id,
       NULL::text AS displaced_by_platform,
       k.session_age_ms,
       k.while_reconnecting,
       NULL::bigint AS relogin_after_ms,
       k.message,
       k.is_import
FROM rm.kicks k
JOIN rm.logins l USING (set_id, login_no)
JOIN roomtrail.identities i ON i.id = k.set_id;

-- Interruptions that passed H: the server will have judged the user gone. It
-- is inferred from the client's own words; H counts from the last heartbeat
-- that reached the server, so the instant may be early by one beat.
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
  AND (r.outcome IS NOT NULL OR r.times_out_at <= roomtrail_now());

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
JOIN roomtrail.identities i ON i.id = a.set_id;

CREATE OR REPLACE VIEW public.quarantine AS
SELECT generation || '/' || partition || '/' || stream_seq AS event_ref, reason, bytes, set_at
FROM roomtrail.quarantine;

-- One row for each administrative act.
CREATE OR REPLACE VIEW public.audit_ledger AS
SELECT at AS acted_at, actor, act, subject, why
FROM roomtrail.audit_ledger;

-- How far the projections are behind the log. Zero is a value; where nobody
-- applies a partition, how far the log has gone meanwhile is not known, and the
-- lag is null.
CREATE OR REPLACE VIEW public.pipeline_status AS
SELECT p.version,
       p.generation,
       p.partition,
       p.seq AS position,
       p.log_last AS stream_last_seq,
       CASE WHEN s.state = 'running' THEN greatest(p.log_last - p.seq, 0) END AS lag_events,
       CASE WHEN s.state <> 'running' THEN NULL
            WHEN p.log_last > p.seq
            THEN extract(epoch FROM roomtrail_now() - coalesce(p.applied_at, p.updated_at))::double precision
            ELSE 0 END AS lag_seconds,
       s.state,
       coalesce(r.live, false) AS live,
       p.updated_at
FROM roomtrail.positions p
LEFT JOIN roomtrail.read_models r USING (version)
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.halted IS NOT NULL THEN 'halted'
                WHEN p.lease_until < now() THEN 'stopped'
                ELSE 'running' END AS state
) s;
