-- Interruptions that coincide, kept by the second stage. A cell is a stretch of
-- six minutes, named by its number since 1970; a row belongs to the cell of its
-- onset, and a storm to that of its first member.

-- One row for each group with a common cause: the view storms.
CREATE TABLE storms (
    app_id        text        NOT NULL,
    storm_id      text        NOT NULL,
    cell          bigint      NOT NULL,
    scope         text        NOT NULL,
    scope_value   text        NOT NULL,
    network       text,                 -- what else its place is narrowed by
    carrier       text,
    region        text,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz NOT NULL, -- its last onset
    interruptions integer     NOT NULL,
    users         integer     NOT NULL,
    rooms         integer     NOT NULL,
    PRIMARY KEY (app_id, storm_id)
);

CREATE INDEX storms_started_at ON storms (started_at);
-- Working a cell out again.
CREATE INDEX storms_cell ON storms (app_id, cell);

-- Which interruption is in which storm: the view interruptions.
CREATE TABLE storm_members (
    set_id          bigint  NOT NULL,
    login_no        integer NOT NULL,
    interruption_no integer NOT NULL,
    app_id          text    NOT NULL,
    cell            bigint  NOT NULL,
    storm_id        text    NOT NULL,
    PRIMARY KEY (set_id, login_no, interruption_no)
);

CREATE INDEX storm_members_cell ON storm_members (app_id, cell);
