-- One row per job, from the moment it is asked for until it is pruned.
CREATE TABLE jobs (
    id BLOB PRIMARY KEY,
    -- NULL is the platform.
    tenant_id BLOB,
    -- The tenant, or the nil id: workers take turns between lanes.
    lane BLOB NOT NULL,
    queue TEXT NOT NULL CONSTRAINT jobs_queue_check CHECK (length(queue) BETWEEN 1 AND 64),
    name TEXT NOT NULL CONSTRAINT jobs_name_check CHECK (length(name) BETWEEN 1 AND 128),
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT jobs_state_check
        CHECK (state IN ('available', 'leased', 'retryable', 'completed', 'discarded', 'cancelled')),
    run_at TEXT NOT NULL,
    -- How often it has been claimed.
    attempt INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    -- How many of them were handed back and count for nothing.
    handed_back INTEGER NOT NULL DEFAULT 0,
    -- How many of them ended because nothing was heard of the worker any more.
    losses INTEGER NOT NULL DEFAULT 0,
    timeout_ms INTEGER NOT NULL,
    -- Of the jobs of a tenant in a queue with the same key, at most key_limit run at once.
    key TEXT CONSTRAINT jobs_key_check CHECK (length(key) BETWEEN 1 AND 200),
    key_limit INTEGER NOT NULL,
    -- Which of the key_limit places a leased job has.
    key_slot INTEGER,
    -- It waits until another of its key ends: no claim looks at it before.
    is_parked INTEGER NOT NULL DEFAULT 0 CHECK (is_parked IN (0, 1)),
    -- While is_unique, there is no other job with this text in the lane.
    unique_key TEXT CONSTRAINT jobs_unique_key_check CHECK (length(unique_key) BETWEEN 1 AND 400),
    is_unique INTEGER NOT NULL CHECK (is_unique IN (0, 1)),
    unique_until TEXT,
    -- One per attempt: whoever does not know it can change nothing about a leased job.
    lease_token BLOB,
    -- Counts up while the worker lives. Who wants to know whether it does watches it, by its own clock.
    beat INTEGER NOT NULL,
    worker TEXT,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    -- What the handler says about how far it is: {"percent", "note"}.
    progress TEXT,
    -- What an attempt leaves for the next one.
    checkpoint TEXT,
    result TEXT,
    -- The last failures: [{"attempt", "at", "message"}].
    errors TEXT NOT NULL,
    traceparent TEXT,
    -- The schedule that asked for it, and the slot.
    schedule_id BLOB,
    slot TEXT,
    created_at TEXT NOT NULL,
    claimed_at TEXT,
    finished_at TEXT,
    -- A count of attempts begins anew only with a job that is asked for once more.
    CONSTRAINT jobs_attempt_check CHECK ((state <> 'available' OR attempt = 0) AND (state NOT IN ('leased', 'retryable') OR attempt > 0)),
    CONSTRAINT jobs_lease_check CHECK ((state = 'leased') = (lease_token IS NOT NULL)),
    CONSTRAINT jobs_finished_check CHECK ((state IN ('completed', 'discarded', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT;
-- What can be claimed, in the order in which it is. Finished jobs are not in it, however many there are.
CREATE INDEX jobs_waiting ON jobs (queue, lane, run_at, id) WHERE state IN ('available', 'retryable') AND NOT is_parked;
-- What waits for a place of its key.
CREATE INDEX jobs_parked ON jobs (queue, lane, key, run_at, id) WHERE state IN ('available', 'retryable') AND is_parked;
-- No two of a key have the same place, whoever claims them at the same time.
CREATE UNIQUE INDEX jobs_queue_lane_key_slot_key ON jobs (queue, lane, key, key_slot) WHERE state = 'leased' AND key IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (state, finished_at, id) WHERE finished_at IS NOT NULL;
-- Lists go from the newest id, which is the order of creation, back, each in an index that has nothing else. Of those by state
-- every job is in one, but for those that have completed: that is nearly every row anyhow, and most of what is written. A single
-- index with the state as a column would offer itself to claims.
CREATE INDEX jobs_available ON jobs (id) WHERE state = 'available';
CREATE INDEX jobs_leased ON jobs (id) WHERE state = 'leased';
CREATE INDEX jobs_retryable ON jobs (id) WHERE state = 'retryable';
CREATE INDEX jobs_discarded ON jobs (id) WHERE state = 'discarded';
CREATE INDEX jobs_cancelled ON jobs (id) WHERE state = 'cancelled';
CREATE INDEX jobs_queue_id ON jobs (queue, id);
CREATE INDEX jobs_name_id ON jobs (name, id);
CREATE INDEX jobs_schedule_id_id ON jobs (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX jobs_tenant_id_id ON jobs (tenant_id, id) WHERE tenant_id IS NOT NULL;
-- What a tenant's administrators look for among all that has gone well.
CREATE INDEX jobs_tenant_id_discarded ON jobs (tenant_id, id) WHERE state = 'discarded';
CREATE UNIQUE INDEX jobs_unique_key_key ON jobs (lane, unique_key) WHERE is_unique;

-- Queues that are not worked on for the time being.
CREATE TABLE paused_queues (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    paused_at TEXT NOT NULL
) STRICT;

-- How many jobs of a queue are in which state: the sum, and what has been added since it was drawn. Whoever changes a state
-- adds a row and waits for nobody.
CREATE TABLE job_counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) STRICT;
CREATE TABLE job_count_changes (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    change INTEGER NOT NULL
) STRICT;
