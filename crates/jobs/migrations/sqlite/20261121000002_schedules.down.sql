DROP INDEX jobs_schedule_unfinished;
DROP INDEX jobs_schedule_id_slot_key;
DROP TABLE schedules;
