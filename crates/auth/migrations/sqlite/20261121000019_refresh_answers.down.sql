ALTER TABLE refresh_families DROP COLUMN sealed_answer;
