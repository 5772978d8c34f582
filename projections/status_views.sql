-- Outward views of the projector itself and of what people did.

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
       CASE WHEN s.state IN ('running', 'waiting', 'done') THEN greatest(p.log_last - p.seq, 0) END AS lag_events,
       CASE WHEN s.state NOT IN ('running', 'done') THEN NULL
            WHEN p.log_last > p.seq
            THEN extract(epoch FROM roomtrail_now() - coalesce(p.applied_at, p.updated_at))::double precision
            ELSE 0 END AS lag_seconds,
       s.state,
       coalesce(r.live, false) AS live,
       p.updated_at,
       (SELECT count(*) FROM rm.dirty) AS unsettled -- marks that wait for the second stage, of all partitions
FROM roomtrail.positions p
LEFT JOIN roomtrail.read_models r USING (version)
CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT coalesce(r.live, false) THEN 'superseded'
                WHEN p.halted IS NOT NULL THEN 'halted'
                WHEN EXISTS (SELECT FROM roomtrail.positions q
                             WHERE q.version = p.version AND q.generation > p.generation AND q.epoch > 0) THEN 'done'
                WHEN p.epoch = 0 THEN 'waiting'
                WHEN p.lease_until < now() THEN 'stopped'
                ELSE 'running' END AS state
) s
UNION ALL -- a read model that is being filled beside the live one
SELECT b.version,
       b.generation,
       b.partition,
       b.position,
       p.log_last,
       greatest(p.log_last - b.position, 0),
       NULL,
       'rebuilding',
       false,
       b.updated_at,
       0
FROM (
    SELECT r.version, r.beside, a.generation, a.partition, r.updated_at, CASE WHEN r.phase = 'bulk' THEN 0 ELSE a.seq END AS position
    FROM roomtrail.rebuilds r
    CROSS JOIN roomtrail.rebuild_positions a
) b
LEFT JOIN roomtrail.positions p ON p.version = b.beside AND p.generation = b.generation AND p.partition = b.partition;
