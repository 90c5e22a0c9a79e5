-- When to ask for a job, again and again. A row is all there is of a schedule: who edits it edits the schedule.
CREATE TABLE schedules (
    id BLOB PRIMARY KEY,
    -- NULL is the platform.
    tenant_id BLOB,
    -- The tenant, or the nil id: within it names are unique.
    lane BLOB NOT NULL,
    name TEXT NOT NULL CONSTRAINT schedules_name_check CHECK (length(name) BETWEEN 1 AND 128),
    -- The kind of job, the version of its payload, and the payload.
    job TEXT NOT NULL CONSTRAINT schedules_job_check CHECK (length(job) BETWEEN 1 AND 128),
    job_version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    -- {"type": "cron" | "interval" | "once", …}
    timing TEXT NOT NULL,
    catch_up TEXT NOT NULL CONSTRAINT schedules_catch_up_check CHECK (catch_up IN ('skip', 'one', 'all')),
    catch_up_most INTEGER CONSTRAINT schedules_catch_up_most_check CHECK (catch_up_most BETWEEN 1 AND 1000),
    overlap TEXT NOT NULL CONSTRAINT schedules_overlap_check CHECK (overlap IN ('allow', 'skip')),
    is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    -- The first slot that nobody has claimed. Whoever moves it on from what it was has the slots before, and nobody else has.
    next_run_at TEXT,
    last_slot TEXT,
    last_job_id BLOB,
    skipped INTEGER NOT NULL,
    -- Counts the edits, not the slots.
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT schedules_all_check CHECK ((catch_up = 'all') = (catch_up_most IS NOT NULL)),
    CONSTRAINT schedules_enabled_check CHECK (is_enabled OR next_run_at IS NULL)
) STRICT;
CREATE UNIQUE INDEX schedules_lane_name_key ON schedules (lane, name);
CREATE INDEX schedules_name ON schedules (name, id);
CREATE INDEX schedules_due ON schedules (next_run_at, id) WHERE next_run_at IS NOT NULL;

-- The second wall: whatever goes wrong with next_run_at, a slot has one job.
CREATE UNIQUE INDEX jobs_schedule_id_slot_key ON jobs (schedule_id, slot) WHERE schedule_id IS NOT NULL;
CREATE INDEX jobs_schedule_unfinished ON jobs (schedule_id) WHERE schedule_id IS NOT NULL AND finished_at IS NULL;
