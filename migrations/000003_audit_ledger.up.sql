-- What people did that the log does not show: who, what, to what, and why.
-- It is only ever appended to.
CREATE TABLE roomtrail.audit_ledger (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    actor   text        NOT NULL, -- account and machine
    act     text        NOT NULL, -- such as quarantine_drop
    subject text        NOT NULL, -- such as an event_ref
    why     text        NOT NULL CHECK (why <> '')
);

-- The schema version in a message's header decides how its bytes are read when
-- they are tried again; null for what was set aside before this column.
ALTER TABLE roomtrail.quarantine ADD COLUMN schema_version text;
