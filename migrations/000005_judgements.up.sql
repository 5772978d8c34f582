-- What the fold first found of a message stands in the fact itself: a row of
-- marks is needed only where a later event has changed it, or another version
-- of the fold finds otherwise.
ALTER TABLE roomtrail.events
    ADD COLUMN previous   text, -- the state before it in its session
    ADD COLUMN transition text; -- how the step from there is rated

-- The edges of the buckets of durations, written by the program at start.
CREATE TABLE roomtrail.histogram_edges (
    bucket    smallint         PRIMARY KEY,
    from_ms   bigint           NOT NULL,
    to_ms     bigint,                    -- exclusive; null for the last
    middle_ms double precision NOT NULL  -- what its durations are told as
);

-- What each figure means and how it is worked out, written by the program at
-- start. The expressions are arithmetic over sums of columns of the sources.
CREATE TABLE roomtrail.metric_definitions (
    metric       text             PRIMARY KEY,
    position     integer          NOT NULL, -- in which they are listed
    no           text             NOT NULL, -- its number in the list of definitions
    title        text             NOT NULL,
    unit         text             NOT NULL,
    formula      text             NOT NULL, -- in words
    minimum      integer          NOT NULL, -- of the denominator, below which a figure has no colour
    takes        text[]           NOT NULL, -- what it can be broken down by
    sources      text[]           NOT NULL, -- which relations hold its members
    columns      text[]           NOT NULL, -- which of their columns the expressions name
    numerator    text             NOT NULL,
    denominator  text             NOT NULL,
    all_members  text             NOT NULL, -- those that may come to be counted
    open         text             NOT NULL, -- of those: not decided yet
    inferred     text             NOT NULL, -- told by silence alone
    inferred_of  text,                      -- of these; null is the denominator
    scale        double precision NOT NULL, -- the value is numerator by denominator times this
    has_interval boolean          NOT NULL, -- the numerator counts among the denominator
    quantile     double precision,          -- of durations; null where it is a ratio
    spans        smallint[]       NOT NULL, -- of durations: which
    is_now       boolean          NOT NULL  -- it is about now alone
);

-- How long events took from their receipt to their commit, by minute of the
-- commit: a figure of ours, which no rebuild can tell again.
CREATE TABLE roomtrail.freshness (
    at        timestamptz NOT NULL,
    partition integer     NOT NULL,
    bucket    smallint    NOT NULL,
    n         bigint      NOT NULL,
    PRIMARY KEY (at, partition, bucket)
);

-- Who was told of whom: few events in long sessions.
CREATE INDEX events_peer ON roomtrail.events (set_id) WHERE kind = 'peer';
