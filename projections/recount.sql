-- Members of figures, one row each, as the counters count them: for ranges that
-- are finer than a minute, for what counters are not broken down by, and as the
-- audit of the counters themselves. Columns are 1 or 0, or sums in ms; "at" is
-- where a member counts. What is decided against now stands in the waits.

-- Logins as the fold left them (measures.go).
CREATE OR REPLACE VIEW rm.login_rows AS
SELECT l.at,
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
       s.length,
       l.login_error_code AS error_code,
       k.kick_reason,
       CASE WHEN k.kick_reason = 'duplicate_login' THEN coalesce(b.attribution, 'unknown') END AS attribution,
       'observed'::text AS end_provenance,
       1 AS logins,
       s.is_attempt::int AS attempts,
       (s.is_attempt AND s.is_in)::int AS logged_in,
       (s.is_attempt AND s.is_in AND l.time_to_login_ms <= 5000)::int AS logged_in_5s,
       s.failed::int AS login_failed,
       (s.failed AND l.caller_fault)::int AS caller_fault,
       (s.is_attempt AND NOT s.is_in AND s.is_over AND NOT s.failed)::int AS login_cancelled,
       (s.length = 'short')::int AS short_logins,
       (s.length = 'short' AND l.interruptions > 0)::int AS short_interrupted,
       (s.length = 'medium')::int AS medium_logins,
       (s.length = 'medium' AND l.interruptions > 0)::int AS medium_interrupted,
       (s.length = 'long')::int AS long_logins,
       (s.length = 'long' AND l.interruptions > 0)::int AS long_interrupted,
       l.interruptions AS login_interruptions,
       l.connected_ms,
       l.capped_reconnecting_ms AS reconnecting_ms,
       l.is_flapping::int AS flapping,
       (s.ended_by = 'Logout')::int AS ended_logout,
       (s.ended_by = 'LoginFailed')::int AS ended_login_failed,
       (s.ended_by = 'ReconnectFailed')::int AS ended_reconnect_failed,
       (s.ended_by = 'KickOut')::int AS ended_kick_out,
       (s.ended_by = 'superseded')::int AS ended_superseded,
       s.is_exit::int AS exits,
       (s.is_exit AND s.ended_by = 'Logout')::int AS clean_exits,
       (s.is_exit AND s.length <> 'short')::int AS lasting,
       (s.is_exit AND s.length <> 'short' AND l.interruptions = 0 AND s.ended_by = 'Logout')::int AS clean_lasting,
       coalesce(k.kick_reason = 'duplicate_login', false)::int AS kicked_duplicate_login,
       coalesce(k.kick_reason = 'backend', false)::int AS kicked_backend,
       coalesce(k.kick_reason = 'token_expired', false)::int AS kicked_token_expired,
       coalesce(k.kick_reason = 'session_exception', false)::int AS kicked_session_exception,
       coalesce(k.kick_reason = 'unknown', false)::int AS kicked_unknown,
       l.seen_events,
       l.missing_events
FROM (SELECT login_started_at AS at, * FROM rm.logins WHERE login_started_at IS NOT NULL -- first_at is the same
      UNION ALL
      SELECT first_at, * FROM rm.logins WHERE login_started_at IS NULL) l
LEFT JOIN roomtrail.identities i ON i.id = l.set_id
LEFT JOIN rm.kicks k ON k.set_id = l.set_id AND k.login_no = l.login_no
LEFT JOIN rm.returns b ON b.set_id = l.set_id AND b.login_no = l.login_no
CROSS JOIN LATERAL (
    SELECT coalesce(l.ended_by, '') AS ended_by,
           l.ended_by IS NOT NULL AS is_over,
           l.login_started_at IS NOT NULL AS is_attempt,
           l.logined_at IS NOT NULL AS is_in,
           l.login_started_at IS NOT NULL AND l.logined_at IS NULL AND coalesce(l.ended_by, '') = 'LoginFailed' AS failed,
           l.ended_by IS NOT NULL AND coalesce(l.login_started_at, l.logined_at) IS NOT NULL AS is_exit,
           CASE WHEN l.connected_ms + l.reconnecting_ms < 300000 THEN 'short'
                WHEN l.connected_ms + l.reconnecting_ms < 1800000 THEN 'medium'
                ELSE 'long' END AS length
) s;

-- Interruptions as the fold left them.
CREATE OR REPLACE VIEW rm.interruption_rows AS
SELECT r.started_at AS at,
       i.app_id,
       r.platform,
       r.family,
       r.sdk_version,
       r.network,
       r.carrier,
       r.region,
       r.is_import,
       i.room_id,
       r.error_code,
       'observed'::text AS provenance,
       1 AS interruptions,
       (s.outcome = 'reconnected')::int AS reconnected,
       (s.outcome = 'reconnect_failed')::int AS reconnect_failed,
       (s.outcome = 'kicked')::int AS interruption_kicked,
       (s.outcome = 'logged_out')::int AS interruption_logged_out,
       (s.outcome = 'login_failed')::int AS interruption_login_failed,
       (s.outcome = 'superseded')::int AS interruption_superseded,
       (s.outcome = 'reconnected' AND s.ms <= 10000)::int AS recovered_fast,
       (s.outcome = 'reconnected' AND s.ms < r.heartbeat_timeout_ms)::int AS recovered_invisible,
       (s.ms >= r.heartbeat_timeout_ms)::int AS timed_out,
       (s.ms BETWEEN 85000 AND 100000)::int AS ambiguous
FROM rm.interruptions r
LEFT JOIN roomtrail.identities i ON i.id = r.set_id
CROSS JOIN LATERAL (
    SELECT coalesce(r.outcome, '') AS outcome,
           CASE WHEN r.outcome IS NOT NULL THEN coalesce(r.duration_ms, 0) ELSE -1 END AS ms -- -1 while open
) s;

-- Durations, by the buckets of the histograms.
CREATE OR REPLACE VIEW rm.duration_rows AS
SELECT d.at, i.app_id, d.platform, d.family, d.sdk_version, d.network, d.carrier, d.region, d.is_import, i.room_id,
       d.what,
       (width_bucket(d.ms, (SELECT array_agg(from_ms ORDER BY bucket) FROM roomtrail.histogram_edges)) - 1)::smallint AS b,
       1 AS finished
FROM (SELECT login_started_at AS at, set_id, platform, family, sdk_version, network, carrier, region, is_import,
             CASE WHEN via = 'switch' THEN 2 ELSE 1 END AS what,
             time_to_login_ms AS ms
      FROM rm.logins
      WHERE login_started_at IS NOT NULL AND time_to_login_ms IS NOT NULL
      UNION ALL
      SELECT started_at, set_id, platform, family, sdk_version, network, carrier, region, is_import, 3, duration_ms
      FROM rm.interruptions
      WHERE outcome = 'reconnected') d
LEFT JOIN roomtrail.identities i ON i.id = d.set_id;

-- Facts that are folded, with what the fold finds of them by now.
CREATE OR REPLACE VIEW rm.folded_facts AS
SELECT e.*,
       coalesce(m.is_copy, false) AS is_copy,
       CASE WHEN m.stream_seq IS NULL THEN e.previous ELSE m.previous END AS state_before,
       CASE WHEN m.stream_seq IS NULL THEN e.transition ELSE m.transition END AS rating
FROM roomtrail.events e
LEFT JOIN rm.marks m USING (generation, partition, stream_seq)
WHERE e.source = 'client';

-- Events of clients. What an event does not say of its network and so on, the
-- login has said before: l is the login's part up to the event, from the first
-- event to the one that ended it.
CREATE OR REPLACE VIEW rm.event_rows AS
SELECT e.happened_at AS at,
       i.app_id,
       e.platform,
       e.family,
       coalesce(e.sdk_version, c.sdk_version) AS sdk_version,
       coalesce(e.network, c.network) AS network,
       coalesce(e.carrier, c.carrier) AS carrier,
       coalesce(e.region, c.region) AS region,
       e.is_import,
       i.room_id,
       e.error_code,
       s.counts::int AS events,
       (s.reason = 'Logining')::int AS state_logining,
       (s.reason = 'Logined')::int AS state_logined,
       (s.reason = 'LoginFailed')::int AS state_login_failed,
       (s.reason = 'Reconnecting')::int AS state_reconnecting,
       (s.reason = 'Reconnected')::int AS state_reconnected,
       (s.reason = 'ReconnectFailed')::int AS state_reconnect_failed,
       (s.reason = 'KickOut')::int AS state_kick_out,
       (s.reason = 'Logout')::int AS state_logout,
       (s.reason = 'LogoutFailed')::int AS state_logout_failed,
       (s.reason = 'Logout' AND e.seq = l.ends)::int AS logouts,
       (s.reason = 'LogoutFailed' AND e.error_code = 1002002)::int AS logout_unknown_room,
       (NOT s.counts)::int AS copies,
       (s.counts AND e.received_at - e.happened_at > interval '60 seconds')::int AS late_events,
       (s.counts AND coalesce(abs(e.clock_offset_ms) > 5000, false))::int AS skewed_events,
       (s.counts AND coalesce(e.rating = 'impossible', false))::int AS impossible_events
FROM rm.folded_facts e
LEFT JOIN roomtrail.identities i ON i.id = e.set_id
CROSS JOIN LATERAL (SELECT NOT e.is_copy AS counts, CASE WHEN e.is_copy THEN '' ELSE coalesce(e.reason, '') END AS reason) s
LEFT JOIN LATERAL (
    SELECT b.begins,
           (SELECT min(x.seq) FROM rm.folded_facts x
            WHERE x.set_id = e.set_id AND x.seq BETWEEN b.begins AND e.seq AND NOT x.is_copy
              AND x.reason IN ('LoginFailed', 'ReconnectFailed', 'KickOut', 'Logout')) AS ends
    FROM (SELECT max(x.seq) AS begins FROM rm.folded_facts x
          WHERE x.set_id = e.set_id AND x.seq <= e.seq AND NOT x.is_copy AND x.reason IS NOT NULL
            AND (x.state_before IS NULL OR x.reason = 'Logining' AND x.state_before <> 'Logining')) b
) l ON true
LEFT JOIN LATERAL (
    SELECT (array_agg(x.sdk_version ORDER BY x.seq DESC) FILTER (WHERE x.sdk_version IS NOT NULL))[1] AS sdk_version,
           (array_agg(x.network ORDER BY x.seq DESC) FILTER (WHERE x.network IS NOT NULL))[1] AS network,
           (array_agg(x.carrier ORDER BY x.seq DESC) FILTER (WHERE x.carrier IS NOT NULL))[1] AS carrier,
           (array_agg(x.region ORDER BY x.seq DESC) FILTER (WHERE x.region IS NOT NULL))[1] AS region
    FROM rm.folded_facts x
    WHERE s.counts AND x.set_id = e.set_id AND x.seq BETWEEN l.begins AND least(l.ends, e.seq) AND NOT x.is_copy
) c ON true;
