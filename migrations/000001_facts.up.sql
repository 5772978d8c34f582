-- Facts and what guards them. The schema roomtrail exists before this runs:
-- the table of applied migrations lies in it.

-- Who an event is about. A set (a session) has a small number here, so that
-- facts and rows need not repeat four texts. The low ten bits of id are the
-- bucket, a stable hash of (app, user): rows keyed by id can be told apart,
-- moved and distributed by bucket without another column.
CREATE TABLE roomtrail.identities (
    id              bigint      PRIMARY KEY,
    hash            uuid        NOT NULL UNIQUE, -- of the four texts below
    app_id          text        NOT NULL,
    room_id         text        NOT NULL,
    user_id         text,                        -- null for events about a room alone
    session_id      text,                        -- null for events that name none
    first_stored_at timestamptz NOT NULL         -- no fact of the set lies in an older partition
);

CREATE SEQUENCE roomtrail.identity_numbers CACHE 100;

-- "What happened in this room, to this user, in this session?"
CREATE INDEX identities_room ON roomtrail.identities (room_id, app_id);
CREATE INDEX identities_user ON roomtrail.identities (user_id, app_id);
CREATE INDEX identities_session ON roomtrail.identities (session_id);

-- The facts: one row for each message of the log, copies included. The key is
-- the message's place; partitions follow the log's own time of storing, which
-- never changes, so a message cannot land in two of them.
CREATE TABLE roomtrail.events (
    stored_at       timestamptz NOT NULL,
    generation      integer     NOT NULL,
    partition       integer     NOT NULL,
    stream_seq      bigint      NOT NULL,
    set_id          bigint      NOT NULL,
    seq             integer     NOT NULL,
    kind            text        NOT NULL,
    reason          text,
    error_code      bigint,
    extended_data   json, -- as sent, which jsonb would not keep
    via             text,
    occurred_at     timestamptz NOT NULL,
    happened_at     timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    clock_offset_ms bigint,
    monotonic_ms    double precision,
    boot_id         text,
    platform        text        NOT NULL,
    family          text        NOT NULL,
    device_id       text,
    sdk_version     text,
    app_version     text,
    os              text,
    network         text,
    carrier         text,
    region          text,
    room_session_id text,
    retry_window_ms bigint,
    attributes      jsonb,
    lost_count      bigint,
    why             text,
    peer_update     text,
    peer_user_id    text,
    source          text        NOT NULL,
    trust           text        NOT NULL,
    is_import       boolean     NOT NULL,
    salt            uuid        NOT NULL,
    PRIMARY KEY (generation, partition, stream_seq, stored_at)
) PARTITION BY RANGE (stored_at);

-- Folding a set again.
CREATE INDEX events_set ON roomtrail.events (set_id, seq);
-- Ranges of time over many events; the order of storing is nearly that of happening.
CREATE INDEX events_happened_at ON roomtrail.events USING brin (happened_at) WITH (pages_per_range = 32, autosummarize = on);

-- How far each partition has been applied, by whom, and by what the log is
-- recognised. It moves only in the transaction that writes the rows.
CREATE TABLE roomtrail.positions (
    version      integer     NOT NULL,
    generation   integer     NOT NULL,
    partition    integer     NOT NULL,
    seq          bigint      NOT NULL DEFAULT 0,
    log_created  timestamptz,
    digest       uuid,
    log_last     bigint      NOT NULL DEFAULT 0,
    applied_at   timestamptz,          -- stored_at of the message at seq
    epoch        bigint      NOT NULL DEFAULT 0,
    owner        text        NOT NULL DEFAULT '',
    lease_until  timestamptz NOT NULL DEFAULT '-infinity',
    halted       text,                 -- why it stands still, where it does
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, generation, partition)
);

-- Messages that could not be read or folded, kept whole.
CREATE TABLE roomtrail.quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation integer     NOT NULL,
    partition  integer     NOT NULL,
    stream_seq bigint      NOT NULL,
    reason     text        NOT NULL,
    bytes      bytea       NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (generation, partition, stream_seq)
);

-- Dated limits. Null scope matches everything; the most specific row counts,
-- then the newest that is valid.
CREATE TABLE roomtrail.profiles (
    app_id               text,
    family               text CHECK (family IN ('web', 'native')),
    platform             text,
    heartbeat_timeout_ms bigint      NOT NULL CHECK (heartbeat_timeout_ms > 0),
    retry_window_ms      bigint      NOT NULL CHECK (retry_window_ms > 0),
    login_timeout_ms     bigint      NOT NULL CHECK (login_timeout_ms > 0),
    onset_delay_ms       bigint      NOT NULL CHECK (onset_delay_ms >= 0),
    alive_every_ms       bigint      NOT NULL CHECK (alive_every_ms > 0),
    valid_from           timestamptz NOT NULL,
    CHECK (family IS NULL OR platform IS NULL)
);

CREATE UNIQUE INDEX profiles_scope ON roomtrail.profiles
    (coalesce(app_id, ''), coalesce(family, ''), coalesce(platform, ''), valid_from);

-- The documented values: H 90 s; W 5 min on the web and 20 min elsewhere; the
-- web SDK holds the first Reconnecting back for 8 s.
INSERT INTO roomtrail.profiles
    (family, heartbeat_timeout_ms, retry_window_ms, login_timeout_ms, onset_delay_ms, alive_every_ms, valid_from)
VALUES
    ('web',    90000,  300000,  300000, 8000, 30000, '2000-01-01 00:00:00+00'),
    ('native', 90000, 1200000, 1200000,    0, 30000, '2000-01-01 00:00:00+00');

-- The code table of the program, written by it at start: views join it.
CREATE TABLE roomtrail.error_codes (
    family     text   NOT NULL,
    error_code bigint NOT NULL,
    category   text   NOT NULL,
    meaning    text   NOT NULL,
    advice     text   NOT NULL,
    PRIMARY KEY (family, error_code)
);

-- Which read model the public views show.
CREATE TABLE roomtrail.read_models (
    version    integer     PRIMARY KEY,
    live       boolean     NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
