DROP INDEX jobs_schedule_unfinished;
DROP INDEX jobs_schedule_id_slot_key;
CREATE INDEX jobs_schedule_id ON jobs (schedule_id, slot) WHERE schedule_id IS NOT NULL;
DROP TABLE schedules;
