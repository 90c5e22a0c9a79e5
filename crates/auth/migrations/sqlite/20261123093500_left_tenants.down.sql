ALTER TABLE sessions DROP COLUMN left_at;
