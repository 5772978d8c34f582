-- What server callbacks say (the vendor's callback pages). They share the table
-- of facts: an event of the log is a row, whoever spoke.
ALTER TABLE roomtrail.events
    ADD COLUMN room_seq          text,        -- which life of the room
    ADD COLUMN server_session_id text,        -- the vendor's name of a stay
    ADD COLUMN server_reason     integer,     -- room_logout: reason; room_close: close_reason
    ADD COLUMN user_update_seq   bigint,
    ADD COLUMN term_type         integer,
    ADD COLUMN is_relogin        boolean,
    ADD COLUMN login_time        timestamptz; -- room_logout: when that stay began
