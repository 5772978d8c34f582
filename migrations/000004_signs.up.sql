-- Signs of life that are no events: the last one of each session counts. They
-- are known by the hash of the session, as identities are.
CREATE TABLE roomtrail.signs (
    hash     uuid        PRIMARY KEY,
    last_at  timestamptz NOT NULL,
    last_seq bigint      NOT NULL, -- the highest number that the reporter had given out
    every_ms bigint      NOT NULL  -- how often it means to speak; 0 where it does not say
) WITH (fillfactor = 50); -- updated in place, every few seconds

-- Who does what only one process may do at a time.
CREATE TABLE roomtrail.leases (
    name        text        PRIMARY KEY,
    owner       text        NOT NULL,
    lease_until timestamptz NOT NULL
);
