ALTER TABLE credentials DROP COLUMN chosen_by_other;
