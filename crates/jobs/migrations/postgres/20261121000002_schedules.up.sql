-- When to ask for a job, again and again. A row is all there is of a schedule: who edits it edits the schedule.
CREATE TABLE schedules (
    id uuid PRIMARY KEY,
    -- NULL is the platform.
    tenant_id uuid,
    -- The tenant, or the nil id: within it names are unique.
    lane uuid NOT NULL,
    name text COLLATE "C" NOT NULL CONSTRAINT schedules_name_check CHECK (length(name) BETWEEN 1 AND 128),
    -- The kind of job, the version of its payload, and the payload.
    job text COLLATE "C" NOT NULL CONSTRAINT schedules_job_check CHECK (length(job) BETWEEN 1 AND 128),
    job_version bigint NOT NULL,
    payload text NOT NULL,
    -- {"type": "cron" | "interval" | "once", …}
    timing text NOT NULL,
    catch_up text COLLATE "C" NOT NULL CONSTRAINT schedules_catch_up_check CHECK (catch_up IN ('skip', 'one', 'all')),
    catch_up_most bigint CONSTRAINT schedules_catch_up_most_check CHECK (catch_up_most BETWEEN 1 AND 1000),
    overlap text COLLATE "C" NOT NULL CONSTRAINT schedules_overlap_check CHECK (overlap IN ('allow', 'skip')),
    is_enabled boolean NOT NULL,
    -- The first slot that nobody has claimed. Whoever moves it on from what it was has the slots before, and nobody else has.
    next_run_at timestamptz,
    last_slot timestamptz,
    last_job_id uuid,
    skipped bigint NOT NULL,
    -- Counts the edits, not the slots.
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT schedules_all_check CHECK ((catch_up = 'all') = (catch_up_most IS NOT NULL)),
    CONSTRAINT schedules_enabled_check CHECK (is_enabled OR next_run_at IS NULL)
);
CREATE UNIQUE INDEX schedules_lane_name_key ON schedules (lane, name);
CREATE INDEX schedules_name ON schedules (name, id);
CREATE INDEX schedules_due ON schedules (next_run_at, id) WHERE next_run_at IS NOT NULL;

ALTER TABLE schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE schedules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON schedules USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));

-- The second wall: whatever goes wrong with next_run_at, a slot has one job.
CREATE UNIQUE INDEX jobs_schedule_id_slot_key ON jobs (schedule_id, slot) WHERE schedule_id IS NOT NULL;
CREATE INDEX jobs_schedule_unfinished ON jobs (schedule_id) WHERE schedule_id IS NOT NULL AND finished_at IS NULL;
