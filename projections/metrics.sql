-- The figures. What they mean is data (roomtrail.metric_definitions, written by
-- the program); here is the one way in which they are worked out:
--
--   sources ──branches──> members ──sum──> by bucket and key ──expressions──> figure
--
-- A source is counters, with the rows of recount.sql where a range is finer than
-- a minute or a key is none of theirs, and what waits (waits.sql); or rows alone.

-- A range as stretches of the counters: grain 0 is what only rows can tell. With
-- a step, no stretch is longer than what every bucket is a multiple of.
CREATE OR REPLACE FUNCTION rm.stretches(since timestamptz, until timestamptz, step interval)
RETURNS TABLE (grain integer, starts timestamptz, ends timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    origin CONSTANT timestamptz := '2000-01-03 00:00:00+00';
    widths CONSTANT interval[] := ARRAY['1 minute', '1 hour', '24 hours'];
    a timestamptz := since;
    b timestamptz := until;
    x timestamptz;
    y timestamptz;
BEGIN
    grain := 0;
    FOR i IN 1..3 LOOP
        EXIT WHEN extract(epoch FROM step)::numeric % extract(epoch FROM widths[i])::numeric <> 0;
        x := date_bin(widths[i], a + widths[i] - interval '1 microsecond', origin);
        y := date_bin(widths[i], b, origin);
        EXIT WHEN x >= y;
        starts := a; ends := x;
        IF a < x THEN RETURN NEXT; END IF;
        starts := y; ends := b;
        IF y < b THEN RETURN NEXT; END IF;
        a := x; b := y; grain := i;
    END LOOP;
    starts := a; ends := b;
    RETURN NEXT;
END $$;

-- The statement that takes a relation's part in the members: columns and keys
-- that it does not have are 0 and empty. Null without a condition, and where the
-- relation has none of the columns.
CREATE OR REPLACE FUNCTION rm.branch(relation text, bucket text, condition text, columns text[], ask text[], app text)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (WITH has AS MATERIALIZED (
        SELECT attname::text AS name
        FROM pg_catalog.pg_attribute
        WHERE attrelid = ('rm.' || relation)::regclass AND attnum > 0 AND NOT attisdropped
    )
    SELECT format('SELECT %s AS bucket%s%s%s FROM rm.%I m WHERE %s%s',
        bucket,
        (SELECT string_agg(format(', %s AS k%s', CASE WHEN h.name IS NULL THEN '''''' ELSE format('coalesce(m.%I::text, '''')', h.name) END, k.no), '' ORDER BY k.no)
         FROM unnest(ask) WITH ORDINALITY k(name, no) LEFT JOIN has h USING (name)),
        (SELECT string_agg(format(', %s AS %I', CASE WHEN h.name IS NULL THEN '0' ELSE format('m.%I', h.name) END, c.name), '' ORDER BY c.no)
         FROM unnest(columns) WITH ORDINALITY c(name, no) LEFT JOIN has h USING (name)),
        CASE WHEN EXISTS (SELECT FROM has WHERE name = 'b') THEN ', m.b' ELSE ', NULL::smallint AS b' END,
        relation,
        condition,
        CASE WHEN app IS NOT NULL AND EXISTS (SELECT FROM has WHERE name = 'app_id') THEN ' AND m.app_id = $4' ELSE '' END)
    WHERE condition IS NOT NULL AND EXISTS (SELECT FROM has h JOIN unnest(columns) c(name) USING (name)));
END $$;

-- The counters of a range by minute, counted anew from the rows: what they
-- should hold, all partitions together.
CREATE OR REPLACE FUNCTION rm.recount(since timestamptz, until timestamptz) RETURNS SETOF rm.counters
LANGUAGE plpgsql STABLE AS $$
DECLARE
    keys     CONSTANT text[] := ARRAY['app_id', 'platform', 'family', 'sdk_version', 'network', 'carrier', 'region', 'is_import'];
    minute   CONSTANT text := 'date_bin(''1 minute'', m.at, ''2000-01-03 00:00:00+00'')';
    range    CONSTANT text := 'm.at >= $1 AND m.at < $2';
    measures CONSTANT text[] := (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_catalog.pg_attribute
                                 WHERE attrelid = 'rm.counters'::regclass AND attnum > 4 AND NOT attisdropped);
BEGIN
    RETURN QUERY EXECUTE 'SELECT 1::smallint, r.bucket, c.combination, 0, '
        || (SELECT string_agg(format('sum(r.%I)::bigint', m), ', ' ORDER BY no) FROM unnest(measures) WITH ORDINALITY x(m, no))
        || ' FROM (' || rm.branch('login_rows', minute, range, measures, keys, NULL)
        || ' UNION ALL ' || rm.branch('interruption_rows', minute, range, measures, keys, NULL)
        || ' UNION ALL ' || rm.branch('event_rows', minute, range, measures, keys, NULL)
        || ') r LEFT JOIN rm.combinations c ON (c.app_id, c.platform, c.family, c.sdk_version, c.network, c.carrier, c.region, c.is_import::text) = (k1, k2, k3, k4, k5, k6, k7, k8)
GROUP BY r.bucket, c.combination, k1, k2, k3, k4, k5, k6, k7, k8'
        USING since, until;
END $$;

-- The key of a row as arguments of jsonb_build_object.
CREATE OR REPLACE FUNCTION rm.told(ask text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(format('%L, nullif(f.k%s, '''')%s', k.name, k.no,
                                      CASE k.name WHEN 'is_import' THEN '::boolean' WHEN 'error_code' THEN '::bigint' ELSE '' END), ', ' ORDER BY k.no), '')
    FROM unnest(ask) WITH ORDINALITY k(name, no)
$$;

-- The members of a figure as one statement. Its parameters are since, until,
-- step, app and now.
CREATE OR REPLACE FUNCTION rm.members(d roomtrail.metric_definitions, since timestamptz, until timestamptz, step interval, ask text[], app text)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    counted CONSTANT text[] := ARRAY['app_id', 'platform', 'family', 'sdk_version', 'network', 'carrier', 'region', 'is_import'];
    whole   CONSTANT text := 'm.at >= $1 AND m.at < $2';
    bucket  CONSTANT text := CASE WHEN d.is_now THEN '$5' WHEN step IS NULL THEN '$1' ELSE 'date_bin($3, m.at, ''2000-01-03 00:00:00+00'')' END;
    spans   CONSTANT text := format('m.what = ANY(%L::smallint[])', d.spans);
    branches text[] := '{}';
    source  text;
    span    text;
    edges   text; -- what rows must tell; null for nothing
    whole_minutes text; -- what counters tell
BEGIN
    SELECT '(' || string_agg(format('m.at >= %L::timestamptz AND m.at < %L::timestamptz', s.starts, s.ends), ' OR ') FILTER (WHERE s.grain = 0) || ')',
           '(' || string_agg(format('m.grain = %s AND m.at >= %L::timestamptz AND m.at < %L::timestamptz', s.grain, s.starts, s.ends), ' OR ') FILTER (WHERE s.grain > 0) || ')'
    INTO edges, whole_minutes
    FROM rm.stretches(since, until, step) s;
    FOREACH source IN ARRAY d.sources LOOP
        span := CASE WHEN source = 'duration' THEN ' AND ' || spans ELSE '' END;
        IF d.is_now THEN
            branches := branches || rm.branch(source || '_rows', bucket, 'true', d.columns, ask, app);
        ELSIF ask <@ counted AND source IN ('login', 'interruption', 'event', 'duration') THEN
            branches := branches || rm.branch(source || '_rows', bucket, edges || span, d.columns, ask, app);
            IF source = 'duration' THEN
                branches := branches || rm.branch('counted_durations', bucket, whole_minutes || span, d.columns, ask, app);
            ELSIF source = (SELECT min(s) FROM unnest(d.sources) s WHERE s IN ('login', 'interruption', 'event')) THEN -- one row counts for all of them
                branches := branches || rm.branch('counted', bucket, whole_minutes, d.columns, ask, app);
            END IF;
        ELSE
            branches := branches || rm.branch(source || '_rows', bucket, whole || span, d.columns, ask, app);
        END IF;
        IF source IN ('login', 'interruption') THEN
            branches := branches || rm.branch(source || '_waits', bucket, whole, d.columns, ask, app);
        END IF;
    END LOOP;
    RETURN array_to_string(branches, E'\nUNION ALL\n'); -- skips nulls
END $$;

-- The figure as one statement, with the parameters of its members. A key that
-- tells only how something went splits the numerator alone.
CREATE OR REPLACE FUNCTION rm.figure(d roomtrail.metric_definitions, since timestamptz, until timestamptz, step interval, ask text[], app text)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    outcomes CONSTANT text[] := ARRAY['error_code', 'kick_reason', 'attribution', 'provenance', 'end_provenance', 'cause'];
    sums  text := (SELECT string_agg(format('sum(m.%1$I)::double precision AS %1$I', c), ', ') FROM unnest(d.columns) c);
    zeros text := (SELECT string_agg(format('coalesce(s.%1$I, 0) AS %1$I', c), ', ') FROM unnest(d.columns) c);
    keys  text := coalesce((SELECT string_agg(', k' || k.no, '' ORDER BY k.no) FROM unnest(ask) WITH ORDINALITY k(name, no)), '');
    kept  text := coalesce((SELECT string_agg(', k' || k.no, '' ORDER BY k.no) FROM unnest(ask) WITH ORDINALITY k(name, no) WHERE k.name <> ALL (outcomes)), '');
    told  text := rm.told(ask);
    frame text := CASE
        WHEN d.is_now THEN 'SELECT $5 AS bucket'
        WHEN step IS NULL THEN 'SELECT $1 AS bucket'
        ELSE 'SELECT generate_series(date_bin($3, $1, ''2000-01-03 00:00:00+00''), $2 - interval ''1 microsecond'', $3) AS bucket' END;
    bounds text := CASE WHEN d.is_now THEN '$5' WHEN step IS NULL THEN '$2' ELSE 'least(f.bucket + $3, $2)' END;
    counts text := format('(%s)::double precision AS numerator', d.numerator);
    of_all text := format('(%s)::double precision AS denominator, (%s)::double precision AS all_members, (%s)::double precision AS open, (%s)::double precision AS inferred, (%s)::double precision AS inferred_of',
                          d.denominator, d.all_members, d.open, d.inferred, coalesce(d.inferred_of, d.denominator));
    value  text := 'CASE WHEN f.denominator > 0 THEN ' || d.scale || ' * f.numerator / f.denominator END';
    middle text := '';
    before text := '';
    members text := rm.members(d, since, until, step, ask, app);
BEGIN
    IF 'recovery' = ANY (d.sources) THEN -- by the product-limit estimate
        counts := 'NULL::double precision AS numerator';
        value := 'q.ms';
        before := 'watched AS (' || rm.branch('recovery_rows', CASE WHEN step IS NULL THEN '$1' ELSE 'date_bin($3, m.at, ''2000-01-03 00:00:00+00'')' END,
            'm.at >= $1 AND m.at < $2', ARRAY['ms', 'back', 'finished'], ask, app) || '), ' || rm.survival(keys) || ',';
        middle := format('
LEFT JOIN (SELECT bucket%1$s, min(ms) AS ms FROM km WHERE waiting <= 1 - %2$s + 1e-9 GROUP BY bucket%1$s) q USING (bucket%1$s)', keys, d.quantile);
    ELSIF d.quantile IS NOT NULL THEN
        counts := 'NULL::double precision AS numerator';
        value := 'e.middle_ms';
        members := 'SELECT bucket' || keys || ', b, ' || replace(sums, '::double precision', '::bigint') || ' FROM (' || members || ') m GROUP BY bucket' || keys || ', b';
        middle := format('
LEFT JOIN (
    SELECT bucket%1$s, min(b) AS b
    FROM (SELECT bucket%1$s, b, sum(finished) OVER (PARTITION BY bucket%1$s ORDER BY b) AS upto, %2$s FROM members m) r
    WHERE b IS NOT NULL AND upto >= ceil(%3$s * (%4$s)::numeric)
    GROUP BY bucket%1$s
) q USING (bucket%1$s)
LEFT JOIN roomtrail.histogram_edges e ON e.bucket = q.b', keys,
            (SELECT string_agg(format('sum(m.%1$I) OVER (PARTITION BY bucket%2$s) AS %1$I', c, keys), ', ') FROM unnest(d.columns) c),
            d.quantile::numeric, d.denominator);
    END IF;
    RETURN 'WITH ' || before || ' members AS (' || members || '),
sums AS (SELECT bucket' || keys || ', ' || sums || ' FROM members m GROUP BY bucket' || keys || '),
figures AS (' ||
        CASE WHEN ask = '{}' THEN 'SELECT s.bucket, ' || counts || ', ' || of_all || ' FROM (SELECT f.bucket, ' || zeros || ' FROM (' || frame || ') f LEFT JOIN sums s USING (bucket)) s'
             WHEN ask && outcomes THEN 'SELECT * FROM (SELECT bucket' || keys || ', ' || counts || ' FROM sums) n
JOIN (SELECT bucket' || kept || ', ' || of_all || ' FROM (SELECT bucket' || kept || ', ' || replace(sums, '::double precision', '') || ' FROM sums m GROUP BY bucket' || kept || ') s) d USING (bucket' || kept || ')
WHERE numerator <> 0'
             ELSE 'SELECT bucket' || keys || ', ' || counts || ', ' || of_all || ' FROM sums' END || ')
SELECT f.bucket,
       jsonb_build_object(' || told || '),
       f.numerator,
       f.denominator,
       (' || value || ')::double precision,
       ' || CASE WHEN d.has_interval THEN 'rm.wilson(f.numerator, f.denominator, -1), rm.wilson(f.numerator, f.denominator, 1)' ELSE 'NULL::double precision, NULL::double precision' END || ',
       CASE WHEN f.all_members > 0 THEN f.open / f.all_members END,
       ' || bounds || ' <= $5 AND f.open = 0,
       CASE WHEN f.inferred_of > 0 THEN f.inferred / f.inferred_of END
FROM figures f' || middle || '
WHERE ' || CASE WHEN ask = '{}' THEN 'true' ELSE '(f.numerator <> 0 OR f.denominator <> 0 OR f.all_members <> 0)' END || '
ORDER BY f.bucket, 2';
END $$;

-- An end of the 95 % interval of a share (Wilson 1927).
CREATE OR REPLACE FUNCTION rm.wilson(hits double precision, n double precision, side integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN n > 0 THEN
        least(greatest((hits + 1.9207294 + side * 1.959964 * sqrt(greatest(hits * (n - hits) / n, 0) + 0.9603647)) / (n + 3.8414588), 0), 1) END
$$;

-- A figure by its name, over what started in [since, until). Without a step
-- there is one bucket; with one, buckets lie on its whole multiples from Monday,
-- 2000-01-03, and the first and the last may be cut. open is the share of members that are
-- not decided yet; settled says that the bucket is over and none of them is;
-- inferred is the share that rests on silence.
CREATE OR REPLACE FUNCTION public.metric(name text, since timestamptz, until timestamptz, step interval DEFAULT NULL, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, key jsonb, numerator double precision, denominator double precision, value double precision,
               low double precision, high double precision, open double precision, settled boolean, inferred double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    keys ALIAS FOR $5; -- by is a word of this language
    d    roomtrail.metric_definitions;
    wide interval := make_interval(secs => extract(epoch FROM metric.step)::double precision); -- a day is 24 hours
BEGIN
    SELECT * INTO d FROM roomtrail.metric_definitions t WHERE t.metric = metric.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'metric: name is %; want a metric of the view metric_definitions, such as login_success', coalesce(quote_literal(metric.name), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM rm.check_range('metric', metric.since, metric.until, metric.step);
    PERFORM rm.check_by('metric ' || metric.name, keys, d.takes);
    RETURN QUERY EXECUTE rm.figure(d, metric.since, metric.until, wide, keys, metric.app)
        USING metric.since, metric.until, wide, metric.app, public.roomtrail_now();
END $$;

CREATE OR REPLACE FUNCTION rm.check_range(what text, since timestamptz, until timestamptz, step interval) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF since IS NULL OR until IS NULL OR NOT isfinite(since) OR NOT isfinite(until) OR since >= until THEN
        RAISE EXCEPTION '%: since is % and until is %; want two times, since before until', what, coalesce(since::text, 'null'), coalesce(until::text, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF step IS NOT NULL AND (extract(year FROM step) <> 0 OR extract(month FROM step) <> 0
                             OR extract(epoch FROM step) <= 0 OR extract(epoch FROM step)::numeric % 60 <> 0) THEN
        RAISE EXCEPTION '%: step is %; want whole minutes, hours or days, such as 5 minutes, without months', what, step
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF extract(epoch FROM until - since) / extract(epoch FROM step) > 100000 THEN
        RAISE EXCEPTION '%: step is %, which makes more than 100 000 buckets from % to %; want a longer step or a shorter range', what, step, since, until
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION rm.check_by(what text, ask text[], allowed text[]) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    wrong text := (SELECT coalesce(quote_literal(b), 'null') FROM unnest(ask) b WHERE b <> ALL (allowed) OR b IS NULL LIMIT 1);
BEGIN
    IF ask IS NULL THEN
        wrong := 'null';
    ELSIF wrong IS NULL AND (SELECT count(*) <> count(DISTINCT b) FROM unnest(ask) b) THEN
        wrong := quote_literal(ask::text);
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%: by has %; want an array of different names of: %', what, wrong, CASE WHEN allowed = '{}' THEN 'none' ELSE array_to_string(allowed, ', ') END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- The figures that are asked for most, by their own names.
CREATE OR REPLACE FUNCTION public.login_success(since timestamptz, until timestamptz, step interval DEFAULT NULL, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, key jsonb, numerator double precision, denominator double precision, value double precision,
               low double precision, high double precision, open double precision, settled boolean, inferred double precision)
LANGUAGE sql STABLE AS $$ SELECT * FROM public.metric('login_success', since, until, step, by, app) $$;

CREATE OR REPLACE FUNCTION public.reconnect_success(since timestamptz, until timestamptz, step interval DEFAULT NULL, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, key jsonb, numerator double precision, denominator double precision, value double precision,
               low double precision, high double precision, open double precision, settled boolean, inferred double precision)
LANGUAGE sql STABLE AS $$ SELECT * FROM public.metric('reconnect_success', since, until, step, by, app) $$;

CREATE OR REPLACE FUNCTION public.heartbeat_timeout_rate(since timestamptz, until timestamptz, step interval DEFAULT NULL, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, key jsonb, numerator double precision, denominator double precision, value double precision,
               low double precision, high double precision, open double precision, settled boolean, inferred double precision)
LANGUAGE sql STABLE AS $$ SELECT * FROM public.metric('heartbeat_timeout_rate', since, until, step, by, app) $$;

CREATE OR REPLACE FUNCTION public.kick_rate(since timestamptz, until timestamptz, step interval DEFAULT NULL, by text[] DEFAULT '{}', app text DEFAULT NULL)
RETURNS TABLE (bucket timestamptz, key jsonb, numerator double precision, denominator double precision, value double precision,
               low double precision, high double precision, open double precision, settled boolean, inferred double precision)
LANGUAGE sql STABLE AS $$ SELECT * FROM public.metric('kick_rate', since, until, step, by, app) $$;

-- What each figure means.
CREATE OR REPLACE VIEW public.metric_definitions AS
SELECT metric, no, title, unit, formula, minimum, takes AS by, is_now
FROM roomtrail.metric_definitions
ORDER BY position;
