package query

// healthSQL counts three cohorts by platform and in total and lays them side by
// side. An interruption is judged by its own heartbeat timeout, once that has
// passed since it started.
const healthSQL = `
WITH l AS (
  SELECT CASE WHEN grouping(platform) = 1 THEN 'total' ELSE platform END AS platform,
         count(*) AS logins,
         count(*) FILTER (WHERE login_outcome = 'logged_in') AS logged_in,
         count(*) FILTER (WHERE login_outcome = 'failed') AS login_failed,
         count(*) FILTER (WHERE login_outcome = 'failed' AND caller_fault) AS login_failed_by_caller,
         count(*) FILTER (WHERE login_outcome = 'presumed_failed') AS login_presumed_failed,
         count(*) FILTER (WHERE login_outcome = 'cancelled') AS login_cancelled,
         count(*) FILTER (WHERE login_outcome = 'pending') AS login_pending,
         count(*) FILTER (WHERE login_outcome IN ('logged_in', 'failed', 'presumed_failed')) AS settled
  FROM sessions
  WHERE login_started_at >= @since
  AND login_started_at < @until` + filters + `
  GROUP BY GROUPING SETS ((platform), ())
), i AS (
  SELECT CASE WHEN grouping(platform) = 1 THEN 'total' ELSE platform END AS platform,
         count(*) AS interruptions,
         count(*) FILTER (WHERE outcome = 'reconnected') AS reconnected,
         count(*) FILTER (WHERE outcome = 'reconnect_failed') AS reconnect_failed,
         count(*) FILTER (WHERE outcome = 'presumed_lost') AS presumed_lost,
         count(*) FILTER (WHERE outcome NOT IN ('reconnected', 'reconnect_failed', 'presumed_lost')) AS ended_otherwise,
         count(*) FILTER (WHERE outcome IS NULL) AS still_open,
         percentile_cont(0.50) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE outcome = 'reconnected') AS p50,
         percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE outcome = 'reconnected') AS p95,
         count(*) FILTER (WHERE heartbeat_timed_out) AS heartbeat_timeouts,
         count(*) FILTER (WHERE heartbeat_timed_out AND roomtrail_now() - started_at >= heartbeat_timeout_ms * interval '1 millisecond') AS timed_out_of_old,
         count(*) FILTER (WHERE roomtrail_now() - started_at >= heartbeat_timeout_ms * interval '1 millisecond') AS old
  FROM interruptions
  WHERE started_at >= @since
  AND started_at < @until` + filters + `
  GROUP BY GROUPING SETS ((platform), ())
), k AS (
  SELECT CASE WHEN grouping(platform) = 1 THEN 'total' ELSE platform END AS platform,
         count(*) AS kicks
  FROM kicks
  WHERE kicked_at >= @since
  AND kicked_at < @until` + filters + `
  GROUP BY GROUPING SETS ((platform), ())
)
SELECT platform,
       coalesce(logins, 0) AS logins,
       coalesce(logged_in, 0) AS logged_in,
       coalesce(login_failed, 0) AS login_failed,
       coalesce(login_failed_by_caller, 0) AS login_failed_by_caller,
       coalesce(login_presumed_failed, 0) AS login_presumed_failed,
       coalesce(login_cancelled, 0) AS login_cancelled,
       coalesce(login_pending, 0) AS login_pending,
       logged_in::float8 / nullif(settled, 0) AS login_success_rate,
       logged_in::float8 / nullif(settled - login_failed_by_caller, 0) AS service_login_success_rate,
       login_pending::float8 / nullif(logins, 0) AS login_open_share,
       coalesce(interruptions, 0) AS interruptions,
       coalesce(reconnected, 0) AS reconnected,
       coalesce(reconnect_failed, 0) AS reconnect_failed,
       coalesce(presumed_lost, 0) AS presumed_lost,
       coalesce(ended_otherwise, 0) AS ended_otherwise,
       coalesce(still_open, 0) AS still_open,
       reconnected::float8 / nullif(reconnected + reconnect_failed + presumed_lost, 0) AS reconnect_success_rate,
       p50::bigint AS reconnect_finished_p50_ms,
       p95::bigint AS reconnect_finished_p95_ms,
       still_open::float8 / nullif(interruptions, 0) AS interruption_open_share,
       coalesce(heartbeat_timeouts, 0) AS heartbeat_timeouts,
       timed_out_of_old::float8 / nullif(old, 0) AS heartbeat_timeout_rate,
       coalesce(kicks, 0) AS kicks
FROM l FULL JOIN i USING (platform) FULL JOIN k USING (platform)
ORDER BY platform = 'total', platform`

// recoverySQL reads the curve where people look: it has a step for each time at
// which somebody was back, and none before the first.
const recoverySQL = `
WITH curve AS (
  SELECT t_ms AS until_ms, returned, share, low, high, naive
  FROM recovery_curve(@since, @until, '{}', @app)
), asked AS (
  SELECT unnest('{1000,2000,5000,10000,20000,30000,45000,60000,90000,120000,180000,300000,600000,1200000}'::bigint[]) AS t_ms
), steps AS (
  SELECT asked.t_ms, max(curve.until_ms) AS until_ms
  FROM asked LEFT JOIN curve ON curve.until_ms <= asked.t_ms
  GROUP BY asked.t_ms
)
SELECT t_ms, coalesce(returned, 0) AS returned, coalesce(share, 0) AS share, low AS low_share, high AS high_share, coalesce(naive, 0) AS naive_share
FROM steps LEFT JOIN curve USING (until_ms)
WHERE (SELECT count(*) FROM curve) > 0
ORDER BY t_ms`

// sessionSQL lists every message of a session, later copies included. The gap
// follows contract 4.2: monotonic where both ends carry it of one boot, else the
// reporter's wall clock, each cut to whole milliseconds. Only the first copies
// are neighbours of each other.
const sessionSQL = `
SELECT app_id, room_id, user_id, session_id, seq, event_ref, is_copy, source, trust, kind,
       reason, previous_reason, error_code, error_category, error_meaning, transition,
       happened_at, occurred_at, received_at, clock_offset_ms,
       CASE WHEN boot_id = lag(boot_id) OVER earlier AND monotonic_ms - lag(monotonic_ms) OVER earlier IS NOT NULL
            THEN (round(monotonic_ms * 1000)::bigint - round(lag(monotonic_ms) OVER earlier * 1000)::bigint) / 1000
            ELSE trunc(extract(epoch FROM occurred_at - lag(occurred_at) OVER earlier) * 1000)::bigint
       END AS gap_ms,
       extended_data, via, platform, family, sdk_version, app_version, device_id, boot_id, monotonic_ms,
       os, network, carrier, region, attributes, is_import
FROM room_events
WHERE session_id = @session` + whose + `
WINDOW earlier AS (PARTITION BY app_id, room_id, user_id, is_copy ORDER BY seq, stream_seq)
ORDER BY app_id, room_id, user_id, seq NULLS LAST, is_copy, stream_seq
LIMIT @limit`

// errorsSQL reads the codes where a login's network and version stand beside
// them: an event need not repeat those, so only failed logouts, which no other
// view knows, come from the events.
const errorsSQL = `
WITH failures AS (
  SELECT 'LoginFailed' AS reason, family, login_error_code AS error_code, login_started_at AS at, ended_at AS last_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM sessions
  WHERE ended_by = 'LoginFailed' AND login_started_at IS NOT NULL
  UNION ALL
  SELECT 'LoginFailed', family, login_error_code, ended_at, ended_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM sessions
  WHERE ended_by = 'LoginFailed' AND login_started_at IS NULL
  UNION ALL
  SELECT 'Reconnecting', family, error_code, started_at, started_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM interruptions
  UNION ALL
  SELECT 'ReconnectFailed', family, end_error_code, started_at, ended_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM interruptions
  WHERE outcome = 'reconnect_failed'
  UNION ALL
  SELECT 'KickOut', family, error_code, kicked_at, kicked_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM kicks
  UNION ALL
  SELECT 'LogoutFailed', family, error_code, happened_at, happened_at,
         app_id, room_id, user_id, platform, sdk_version, network, carrier, region
  FROM room_events
  WHERE reason = 'LogoutFailed' AND NOT is_copy
), counted AS (
  SELECT reason, family, error_code, count(*) AS events,
         count(*)::float8 / sum(count(*)) OVER (PARTITION BY reason)::float8 AS share,
         count(DISTINCT (app_id, user_id)) AS users, max(last_at) AS last_at
  FROM failures
  WHERE at >= @since
  AND at < @until` + filters + `
  GROUP BY reason, family, error_code
)
SELECT reason, family, error_code, category, events, share, users, last_at, meaning, advice
FROM counted LEFT JOIN error_codes USING (family, error_code)
ORDER BY array_position(ARRAY['LoginFailed', 'ReconnectFailed', 'KickOut', 'LogoutFailed', 'Reconnecting'], reason),
         events DESC, family, error_code
LIMIT @limit`
