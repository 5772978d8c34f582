-- A read model that is being filled anew beside the live one, so that a rebuild
-- which was stopped goes on where it was. There is at most one.
CREATE TABLE roomtrail.rebuilds (
    is_one     boolean     PRIMARY KEY DEFAULT true CHECK (is_one),
    version    integer     NOT NULL, -- of the read model that is filled
    beside     integer     NOT NULL, -- the version that is live meanwhile
    schema     text        NOT NULL, -- where it lies
    phase      text        NOT NULL, -- bulk: set by set; catch_up: in the order of the log
    last_set   bigint      NOT NULL, -- in bulk: sets up to this one are done
    max_set    bigint      NOT NULL, -- the last that is folded in bulk
    sets       bigint      NOT NULL DEFAULT 0, -- folded so far
    facts      bigint      NOT NULL DEFAULT 0,
    of_facts   bigint      NOT NULL, -- about how many there are in bulk
    profiles   text        NOT NULL, -- a digest of those it is folded with
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Up to where it has taken the facts of each partition; in bulk, up to where it
-- will have.
CREATE TABLE roomtrail.rebuild_positions (
    generation integer NOT NULL,
    partition  integer NOT NULL,
    seq        bigint  NOT NULL,
    PRIMARY KEY (generation, partition)
);

-- Sessions that cannot be folded: with any of them it does not become live.
CREATE TABLE roomtrail.rebuild_faults (
    set_id bigint PRIMARY KEY,
    reason text   NOT NULL
);
