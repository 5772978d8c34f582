-- How long it takes to come back, open interruptions included (Kaplan and Meier
-- 1958). Those that are back are known; those that gave up or are presumed lost
-- are never back and stay at risk to the end; all others (open, logged out,
-- kicked, superseded) were watched until then and count as still waiting.

-- Interruptions as the estimate sees them: for how long each was watched, null
-- for ever, and whether it was back then.
CREATE OR REPLACE VIEW rm.recovery_rows AS
SELECT r.started_at AS at, i.app_id, r.platform, r.family, r.sdk_version, r.network, r.carrier, r.region, r.is_import, i.room_id,
       CASE WHEN r.outcome = 'reconnect_failed' OR a.lost THEN NULL
            WHEN r.outcome IS NULL THEN least(greatest(a.age_ms, 0), r.retry_window_ms)
            ELSE r.duration_ms END AS ms,
       coalesce(r.outcome = 'reconnected', false)::int AS back,
       coalesce(r.outcome IN ('reconnected', 'reconnect_failed'), false)::int AS finished,
       1 AS watched,
       a.lost::int AS lost,
       (r.outcome IS NULL AND NOT a.lost)::int AS still_open
FROM rm.interruptions r
LEFT JOIN roomtrail.identities i ON i.id = r.set_id
CROSS JOIN LATERAL (
    SELECT g.age_ms, r.outcome IS NULL AND g.age_ms >= r.retry_window_ms + 60000 AS lost
    FROM (SELECT floor(extract(epoch FROM (SELECT public.roomtrail_now()) - r.started_at) * 1000)::bigint AS age_ms) g
) a;

-- The estimate as common table expressions over watched (bucket, keys, ms, back,
-- finished): km has a row for each time at which somebody was back or was last
-- watched, with the share still waiting after it and Greenwood's sum.
CREATE OR REPLACE FUNCTION rm.survival(keys text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format('
times AS (SELECT bucket%1$s, ms, sum(back)::double precision AS back, count(*)::double precision AS n FROM watched GROUP BY bucket%1$s, ms),
risk AS (SELECT *, sum(n) OVER (PARTITION BY bucket%1$s ORDER BY ms DESC NULLS FIRST) AS at_risk FROM times),
km AS (SELECT bucket%1$s, ms, n, back,
              sum(back) OVER w AS returned,
              exp(sum(CASE WHEN back < at_risk THEN ln(1 - back / at_risk) ELSE ''-Infinity'' END) OVER w) AS waiting,
              sum(CASE WHEN back < at_risk THEN back / (at_risk * (at_risk - back)) ELSE ''Infinity'' END) OVER w AS greenwood
       FROM risk WHERE ms IS NOT NULL WINDOW w AS (PARTITION BY bucket%1$s ORDER BY ms))', keys)
$$;

-- The share that is back after t, of interruptions that started in [since,
-- until): by the product-limit estimate with its 95 % band (Greenwood, log-log),
-- and naively, of those alone that are over by Reconnected or ReconnectFailed.
-- at_risk are those that were still waiting and watched at t. There is a row for
-- 10, 90, 300 and 1 200 s, and one for each bucket of the histograms in which
-- somebody was back, at the last of them.
CREATE OR REPLACE FUNCTION public.recovery_curve(since timestamptz, until timestamptz, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (key jsonb, t_ms bigint, at_risk bigint, returned bigint, share double precision, low double precision, high double precision, naive double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    asked ALIAS FOR $3; -- by is a word of this language
    names CONSTANT text[] := ARRAY['app_id', 'platform', 'family', 'sdk_version', 'network', 'carrier', 'region', 'is_import', 'room_id'];
    keys  text := coalesce((SELECT string_agg(', k' || k.no, '' ORDER BY k.no) FROM unnest(asked) WITH ORDINALITY k(name, no)), '');
BEGIN
    PERFORM rm.check_range('recovery_curve', recovery_curve.since, recovery_curve.until, NULL);
    PERFORM rm.check_by('recovery_curve', asked, names);
    RETURN QUERY EXECUTE 'WITH watched AS MATERIALIZED ('
        || rm.branch('recovery_rows', '$1', 'm.at >= $1 AND m.at < $2', ARRAY['ms', 'back', 'finished'], asked, recovery_curve.app) || '), '
        || rm.survival(keys) || format(',
totals AS (SELECT bucket%1$s, count(*)::double precision AS total, sum(finished)::double precision AS finished FROM watched GROUP BY bucket%1$s),
every AS (%3$s),
grid AS (
    SELECT bucket%1$s, t.ms FROM every CROSS JOIN (VALUES (10000), (90000), (300000), (1200000)) t(ms)
    UNION
    SELECT bucket%1$s, max(ms) FROM km WHERE back > 0
    GROUP BY bucket%1$s, width_bucket(ms, (SELECT array_agg(from_ms ORDER BY bucket) FROM roomtrail.histogram_edges))
),
line AS ( -- the grid among all times, so that each of its rows takes what stands before it
    SELECT bucket%1$s, ms, 0 AS n, NULL AS waiting, NULL AS returned, NULL AS greenwood, true AS asked FROM grid
    UNION ALL
    SELECT bucket%1$s, ms, n, waiting, returned, greenwood, false FROM km
),
curve AS (
    SELECT bucket%1$s, ms, asked,
           coalesce(sum(n) OVER (PARTITION BY bucket%1$s ORDER BY ms RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before,
           coalesce(max(returned) OVER w, 0) AS returned,
           coalesce(min(waiting) OVER w, 1) AS waiting,
           coalesce(max(greenwood) OVER w, 0) AS greenwood
    FROM line WINDOW w AS (PARTITION BY bucket%1$s ORDER BY ms, asked)
),
band AS (
    SELECT *, CASE WHEN waiting > 0 AND waiting < 1 AND greenwood < ''Infinity'' THEN exp(1.959964 * sqrt(greenwood) / -ln(waiting)) END AS width
    FROM curve WHERE asked
)
SELECT jsonb_build_object(%2$s), ms::bigint, (coalesce(total, 0) - before)::bigint, returned::bigint,
       CASE WHEN total > 0 THEN 1 - waiting END,
       1 - power(waiting, 1 / width),
       1 - power(waiting, width),
       returned / nullif(finished, 0)
FROM band f LEFT JOIN totals USING (bucket%1$s)
ORDER BY 1, 2', keys, rm.told(asked), CASE WHEN asked = '{}' THEN 'SELECT $1 AS bucket' ELSE 'SELECT bucket' || keys || ' FROM totals' END)
        USING recovery_curve.since, recovery_curve.until, NULL::interval, recovery_curve.app;
END $$;
