-- When the person left the tenant that the session was begun for. Rows stay for the list of sessions; what is filed where somebody was
-- last at work, as a failed sign-in, is not filed by them.
ALTER TABLE sessions ADD COLUMN left_at timestamptz;
