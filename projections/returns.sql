-- What became of users whose login ended against their will, kept by the second
-- stage: who displaced them, and when they were back.

-- Logins that ended by KickOut or ReconnectFailed, by user, written by the first
-- stage: the one look by which it knows whether what a batch brings may change a
-- row of returns. Facts between since and the user's return may.
CREATE TABLE losses (
    who      uuid        NOT NULL, -- hash of app and user
    set_id   bigint      NOT NULL,
    login_no integer     NOT NULL,
    since    timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    PRIMARY KEY (who, set_id, login_no)
);

-- One row for each of them, once the second stage has seen it: joined by the
-- view kicks, and what the figure "return after loss" counts.
CREATE TABLE returns (
    set_id           bigint      NOT NULL,
    login_no         integer     NOT NULL,
    app_id           text        NOT NULL,
    user_id          text        NOT NULL,
    ended_at         timestamptz NOT NULL,
    ended_by         text        NOT NULL, -- KickOut or ReconnectFailed
    back_at          timestamptz,          -- the user's next Logined
    relogin_after_ms bigint,
    attribution      text,                 -- of a duplicate login
    displaced_by_set_id   bigint,
    displaced_by_login_no integer,
    PRIMARY KEY (set_id, login_no)
);

-- A user's rows are replaced together.
CREATE INDEX returns_user ON returns (user_id, app_id);
-- Cohorts are taken by the time of the loss.
CREATE INDEX returns_ended_at ON returns (ended_at);
