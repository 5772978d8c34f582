-- What the server saw, kept by the second stage of the projections. Created in
-- the schema of the read model's version.

-- Keys whose rows must be worked out again: the first stage writes them in the
-- transaction that changed what the rows rest on, the second deletes those that
-- it has read. Rows are final when none are left.
CREATE TABLE dirty (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what   text NOT NULL, -- visits, returns: key is a user; updates: key is a room_seq
    app_id text NOT NULL,
    room_id text NOT NULL,
    key    text NOT NULL
);

-- From when on server callbacks can be expected of an app: the first there was.
CREATE TABLE callback_apps (
    app_id text        PRIMARY KEY,
    since  timestamptz NOT NULL
);

-- One row for each stay that the server saw, or that it should have seen: the
-- view server_visits.
CREATE TABLE visits (
    app_id            text        NOT NULL,
    room_id           text        NOT NULL,
    user_id           text        NOT NULL,
    no                integer     NOT NULL, -- in the order of their beginning
    room_seq          text,
    server_session_id text,
    platform          text,
    term_type         integer,
    relogin           boolean,
    login_at          timestamptz,
    logout_at         timestamptz,
    logout_reason     integer,
    set_id            bigint,
    session_id        text,
    login_no          integer,
    interruption_no   integer,              -- the one during which the seat was lost
    agreement         text        NOT NULL,
    is_import         boolean     NOT NULL,
    PRIMARY KEY (app_id, room_id, user_id, no)
);

CREATE INDEX visits_login_at ON visits (login_at);
-- What the server judged gone: the view heartbeat_timeouts.
CREATE INDEX visits_timed_out ON visits (logout_at) WHERE logout_reason IN (1, 2);
CREATE INDEX visits_login ON visits (set_id, login_no);

-- Logins of which the server saw the end and the client said none: the view sessions.
CREATE TABLE witnessed_ends (
    set_id   bigint      NOT NULL,
    login_no integer     NOT NULL,
    ended_by text        NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (set_id, login_no)
);

-- The numbers that callbacks carry in a room's life, so that a missing one shows.
CREATE TABLE updates (
    app_id      text        NOT NULL,
    room_id     text        NOT NULL,
    room_seq    text        NOT NULL,
    update_seq  bigint      NOT NULL, -- 0 for room_create
    generation  integer     NOT NULL,
    partition   integer     NOT NULL,
    stream_seq  bigint      NOT NULL,
    user_id     text,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, room_id, room_seq, update_seq)
);

-- Gaps in them: the view anomalies.
CREATE TABLE callback_gaps (
    app_id      text        NOT NULL,
    room_id     text        NOT NULL,
    room_seq    text        NOT NULL,
    update_seq  bigint      NOT NULL, -- of the callback after the gap
    missing     bigint      NOT NULL,
    generation  integer     NOT NULL,
    partition   integer     NOT NULL,
    stream_seq  bigint      NOT NULL,
    user_id     text,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (app_id, room_id, room_seq, update_seq)
);

CREATE INDEX callback_gaps_happened_at ON callback_gaps (happened_at);

-- What the monitor has said of sessions, so that it says it once: since is when
-- the session went dark, for dark and for back.
CREATE TABLE monitored (
    set_id bigint      NOT NULL,
    since  timestamptz NOT NULL,
    kind   text        NOT NULL,
    PRIMARY KEY (set_id, since, kind)
);
