-- Person-minutes that interruptions cost, kept by the second stage. A cell is an
-- hour of a room, named by its number since 1970.

-- What each interruption costs the others in its room: the view
-- interruption_impact.
CREATE TABLE impacts (
    set_id          bigint      NOT NULL,
    login_no        integer     NOT NULL,
    interruption_no integer     NOT NULL,
    app_id          text        NOT NULL,
    room_id         text        NOT NULL,
    cell            bigint      NOT NULL,
    left_at         timestamptz,            -- the others see the user leave
    back_at         timestamptz,            -- and come back
    limit_at        timestamptz NOT NULL,   -- after which nobody waits
    peer_ms         bigint      NOT NULL,
    waiting         integer     NOT NULL,   -- others who wait still, while back_at is null
    waiting_ms      bigint      NOT NULL,   -- by how much later than left_at they began to
    PRIMARY KEY (set_id, login_no, interruption_no)
);

CREATE INDEX impacts_cell ON impacts (app_id, room_id, cell);

-- Cells in which an interruption is or was, so that a change of a login is
-- noticed where it matters, and costs nothing elsewhere.
CREATE TABLE impact_cells (
    app_id   text        NOT NULL,
    room_id  text        NOT NULL,
    cell     bigint      NOT NULL,
    until_at timestamptz NOT NULL, -- the last limit of its interruptions
    PRIMARY KEY (app_id, room_id, cell)
);
