DROP INDEX roomtrail.events_peer;
DROP TABLE roomtrail.freshness;
DROP TABLE roomtrail.metric_definitions;
DROP TABLE roomtrail.histogram_edges;
ALTER TABLE roomtrail.events
    DROP COLUMN transition,
    DROP COLUMN previous;
