package query

// doctorSQL counts what is missing, by app and platform, each thing among those
// that should have it, and judges the share: up to fine it is ok, up to bad a
// note. Things of a login are asked of the logins: an event need not repeat the
// device. An anomaly's session may have begun before the time range.
const doctorSQL = `
WITH e AS (
  SELECT app_id, platform,
         count(*) AS events,
         count(*) FILTER (WHERE kind = 'state') AS states,
         count(*) FILTER (WHERE monotonic_ms IS NULL OR boot_id IS NULL) AS unclocked,
         count(*) FILTER (WHERE clock_offset_ms IS NULL) AS unsent,
         count(*) FILTER (WHERE clock_offset_ms > 5000 OR clock_offset_ms < -5000) AS clocks_off
  FROM room_events
  WHERE source = 'client' AND NOT is_copy
  AND happened_at >= @since
  AND happened_at < @until` + doctored + `
  GROUP BY app_id, platform
), l AS (
  SELECT app_id, platform,
         count(*) AS logins,
         count(*) FILTER (WHERE login_no = 1) AS begun,
         count(*) FILTER (WHERE login_no = 1 AND login_started_at IS NULL) AS unseen,
         count(*) FILTER (WHERE device_id IS NULL) AS undeviced,
         count(*) FILTER (WHERE coalesce(ended_at, roomtrail_now()) - logined_at >= interval '1 minute') AS lasting,
         count(*) FILTER (WHERE coalesce(ended_at, roomtrail_now()) - logined_at >= interval '1 minute' AND last_alive_at IS NULL) AS lifeless,
         sum(missing_events) AS missing
  FROM sessions
  WHERE ` + loginsInSpan + doctored + `
  GROUP BY app_id, platform
), a AS (
  SELECT app_id, platform, count(*) AS repeated
  FROM anomalies
  WHERE kind = 'repeated_state'
  AND happened_at >= @since
  AND happened_at < @until` + doctored + `
  GROUP BY app_id, platform
), s AS (
  SELECT app_id, count(*) AS callbacks, max(received_at) AS last_at
  FROM room_events
  WHERE source = 'server' AND NOT is_copy
  AND happened_at >= @since
  AND happened_at < @until
  AND (@app::text IS NULL OR app_id = @app)
  GROUP BY app_id
), c AS (
  SELECT app_id, platform, coalesce(events, 0) AS events, coalesce(states, 0) AS states, coalesce(unclocked, 0) AS unclocked,
         coalesce(unsent, 0) AS unsent, coalesce(clocks_off, 0) AS clocks_off, coalesce(logins, 0) AS logins,
         coalesce(begun, 0) AS begun, coalesce(unseen, 0) AS unseen, coalesce(undeviced, 0) AS undeviced,
         coalesce(lasting, 0) AS lasting, coalesce(lifeless, 0) AS lifeless, coalesce(missing, 0) AS missing,
         coalesce(repeated, 0) AS repeated
  FROM e FULL JOIN l USING (app_id, platform) LEFT JOIN a USING (app_id, platform)
), r AS (
  SELECT app_id, platform, 1 AS place, 'events' AS looked_at, events AS found, NULL::bigint AS among,
         0.0 AS fine, 0.0 AS bad, NULL::timestamptz AS last_at, NULL AS advice
  FROM c
  UNION ALL
  SELECT app_id, platform, 2, 'logins', logins, NULL, 0, 0, NULL, NULL
  FROM c
  UNION ALL
  SELECT app_id, platform, 3, 'lasting logins without a sign of life', lifeless, lasting, 0.1, 0.5, NULL,
         'let the reporter send signs of life: without them nobody knows who has left'
  FROM c
  UNION ALL
  SELECT app_id, platform, 4, 'numbers missing in sessions', missing::bigint, (events + missing)::bigint, 0.0, 0.02, NULL,
         'keep unsent events on the device, and send them on visibilitychange and at the next start'
  FROM c
  UNION ALL
  SELECT app_id, platform, 5, 'logins without device_id', undeviced, logins, 0.0, 0.1, NULL,
         'set device_id to something that stays with the device: kicks cannot be told apart without it'
  FROM c
  UNION ALL
  SELECT app_id, platform, 6, 'events without a monotonic clock', unclocked, events, 0.0, 0.1, NULL,
         'send monotonic_ms with boot_id: without them a clock that is set changes durations'
  FROM c
  UNION ALL
  SELECT app_id, platform, 7, 'events without sent_at', unsent, events, 0.0, 0.1, NULL,
         'send events in an envelope with sent_at, stamped at each try: wrong clocks cannot be corrected without it'
  FROM c
  UNION ALL
  SELECT app_id, platform, 8, 'events by clocks more than 5 s off', clocks_off, events, 0.05, 0.3, NULL,
         'nothing for a few: they are corrected. If most are, sent_at is stamped once and not at each try'
  FROM c
  UNION ALL
  SELECT app_id, platform, 9, 'sessions that begin without Logining', unseen, begun, 0.01, 0.1, NULL,
         'register the listener before loginRoom, and make the session_id there'
  FROM c
  UNION ALL
  SELECT app_id, platform, 10, 'states said twice', repeated, states, 0.01, 0.2, NULL,
         'listen to roomStateChanged alone: the older roomStateUpdate says the same again'
  FROM c
  UNION ALL
  SELECT app_id, 'any', 11, 'server callbacks', coalesce(callbacks, 0), NULL, 0, 0, last_at,
         CASE WHEN callbacks IS NULL THEN 'name the intake as callback address in the vendor''s console: the server alone knows who it gave up' END
  FROM (SELECT DISTINCT app_id FROM c) AS apps LEFT JOIN s USING (app_id)
), judged AS (
  SELECT app_id, platform, place, looked_at, found, among, found::float8 / nullif(among, 0)::float8 AS share, last_at, advice,
         CASE WHEN among = 0 THEN 'unknown'
              WHEN place = 11 AND found = 0 THEN 'note'
              WHEN among IS NULL OR found <= fine * among THEN 'ok'
              WHEN found <= bad * among THEN 'note'
              ELSE 'warning' END AS verdict
  FROM r
)
SELECT app_id, platform, looked_at, found, among, share, last_at, verdict,
       CASE WHEN verdict IN ('note', 'warning') THEN advice END AS advice
FROM judged
ORDER BY app_id, platform = 'any', platform, place`

// doctored narrows the doctor to what it is asked about.
const doctored = `
  AND (@app::text IS NULL OR app_id = @app)` + byPlatform
