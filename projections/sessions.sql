-- Derived tables of the sessions fold. They are filled by the projector alone
-- and never altered: a change to the fold makes a new schema beside this one.
-- Rows are keyed by set_id, which carries its bucket in the low ten bits.

-- One row for each login: the view sessions.
CREATE TABLE logins (
    set_id            bigint      NOT NULL,
    login_no          integer     NOT NULL,
    device_id         text,
    platform          text        NOT NULL,
    family            text        NOT NULL,
    sdk_version       text,
    app_version       text,
    os                text,
    network           text,
    carrier           text,
    region            text,
    room_session_id   text,
    via               text,
    first_at          timestamptz NOT NULL,
    login_started_at  timestamptz,
    logined_at        timestamptz,
    time_to_login_ms  bigint,
    login_error_code  bigint,
    caller_fault      boolean     NOT NULL,
    ended_at          timestamptz,
    ended_by          text,
    end_error_code    bigint,
    state             text        NOT NULL,
    interruptions     integer     NOT NULL,
    connected_ms      bigint      NOT NULL,
    reconnecting_ms   bigint      NOT NULL,
    last_event_at     timestamptz NOT NULL,
    last_state_at     timestamptz NOT NULL,
    last_alive_at     timestamptz,
    closing_said      boolean     NOT NULL,
    first_received_at timestamptz NOT NULL,
    last_received_at  timestamptz NOT NULL,
    missing_events    bigint      NOT NULL,
    is_import         boolean     NOT NULL,
    -- The limits valid at first_at, so that views need not look them up.
    heartbeat_timeout_ms bigint   NOT NULL,
    retry_window_ms   bigint      NOT NULL,
    login_timeout_ms  bigint      NOT NULL,
    alive_every_ms    bigint      NOT NULL,
    -- For figures: each interruption capped at its W; three of them in 5 min;
    -- different numbers seen, and the highest.
    capped_reconnecting_ms bigint NOT NULL,
    is_flapping       boolean     NOT NULL,
    seen_events       bigint      NOT NULL,
    last_seq          bigint      NOT NULL,
    PRIMARY KEY (set_id, login_no)
) WITH (fillfactor = 70); -- logins are updated in place while they run

-- Cohorts are taken by start time.
CREATE INDEX logins_started_at ON logins (login_started_at);
CREATE INDEX logins_begun_unseen ON logins (first_at) WHERE login_started_at IS NULL;
-- What is not over, decided against now: pending, gone, presumed failed.
CREATE INDEX logins_open ON logins (first_at) WHERE ended_by IS NULL;

-- One row for each interruption: the view interruptions.
CREATE TABLE interruptions (
    set_id               bigint      NOT NULL,
    login_no             integer     NOT NULL,
    interruption_no      integer     NOT NULL,
    device_id            text,
    platform             text        NOT NULL,
    family               text        NOT NULL,
    sdk_version          text,
    app_version          text,
    network              text,
    carrier              text,
    region               text,
    started_at           timestamptz NOT NULL,
    ended_at             timestamptz,
    start_received_at    timestamptz NOT NULL,
    end_received_at      timestamptz,
    outcome              text,
    duration_ms          bigint,
    error_code           bigint      NOT NULL,
    end_error_code       bigint,
    is_import            boolean     NOT NULL,
    heartbeat_timeout_ms bigint      NOT NULL,
    retry_window_ms      bigint      NOT NULL,
    times_out_at         timestamptz NOT NULL, -- started_at plus H
    PRIMARY KEY (set_id, login_no, interruption_no)
) WITH (fillfactor = 80);

-- Cohorts by start time.
CREATE INDEX interruptions_started_at ON interruptions (started_at);
-- What became known lately: alerts.
CREATE INDEX interruptions_end_received_at ON interruptions (end_received_at) WHERE end_received_at IS NOT NULL;
-- What still runs, decided against now.
CREATE INDEX interruptions_open ON interruptions (started_at) WHERE outcome IS NULL;
-- What passed H, or still may: the view heartbeat_timeouts.
CREATE INDEX interruptions_timed_out ON interruptions (times_out_at)
    WHERE outcome IS NULL OR duration_ms >= heartbeat_timeout_ms;

-- One row for each login that ended by a KickOut: the view kicks.
CREATE TABLE kicks (
    set_id             bigint      NOT NULL,
    login_no           integer     NOT NULL,
    kicked_at          timestamptz NOT NULL,
    received_at        timestamptz NOT NULL,
    error_code         bigint      NOT NULL,
    kick_reason        text        NOT NULL,
    attribution        text,
    session_age_ms     bigint      NOT NULL,
    while_reconnecting boolean     NOT NULL,
    message            text,
    is_import          boolean     NOT NULL,
    PRIMARY KEY (set_id, login_no)
);

CREATE INDEX kicks_kicked_at ON kicks (kicked_at);

-- One row for each broken rule: the view anomalies.
CREATE TABLE anomalies (
    set_id      bigint      NOT NULL,
    seq         integer     NOT NULL,
    kind        text        NOT NULL,
    generation  integer     NOT NULL,
    partition   integer     NOT NULL,
    stream_seq  bigint      NOT NULL,
    detail      text        NOT NULL,
    platform    text        NOT NULL,
    sdk_version text,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (set_id, seq, kind)
);

CREATE INDEX anomalies_happened_at ON anomalies (happened_at);

-- What the fold finds of a message, where that is not what stands in the fact: it
-- repeats another, or what is known by now has changed it. A row stands over the
-- fact as a whole.
CREATE TABLE marks (
    generation integer NOT NULL,
    partition  integer NOT NULL,
    stream_seq bigint  NOT NULL,
    is_copy    boolean NOT NULL,
    previous   text,
    transition text,
    PRIMARY KEY (generation, partition, stream_seq)
) WITH (fillfactor = 95);

-- Kept states of long sessions; short ones are folded anew from their facts.
CREATE TABLE states (
    set_id bigint PRIMARY KEY,
    state  bytea  NOT NULL
) WITH (fillfactor = 60);
