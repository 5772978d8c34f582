ALTER TABLE roomtrail.events
    DROP COLUMN room_seq, DROP COLUMN server_session_id, DROP COLUMN server_reason, DROP COLUMN user_update_seq,
    DROP COLUMN term_type, DROP COLUMN is_relogin, DROP COLUMN login_time;
