-- What events are ordered by: a subject of a tenant, and how many events it has had. Who tells of a subject holds its row until
-- the commit, so that events of one subject commit in the order of their sequence. Rows stay, so that no sequence begins anew.
CREATE TABLE event_aggregates (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT event_aggregates_pkey PRIMARY KEY,
    -- The tenant, or the nil id.
    lane uuid NOT NULL,
    aggregate text COLLATE "C" NOT NULL
        CONSTRAINT event_aggregates_aggregate_check CHECK (length(aggregate) BETWEEN 1 AND 200),
    last_sequence bigint NOT NULL,
    CONSTRAINT event_aggregates_lane_aggregate_key UNIQUE (lane, aggregate)
) WITH (fillfactor = 80);

-- What happened. Rows are written once; they go when nobody is owed them and they are old.
CREATE TABLE events (
    -- Ascends with the sequence within an aggregate, because it is drawn while the aggregate's row is held. Across aggregates it
    -- has gaps and comes late: nothing may be looked for behind the last one that was seen.
    ordinal bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT events_pkey PRIMARY KEY,
    -- The tenant, or the nil id.
    lane uuid NOT NULL,
    -- Begins with the time of writing, so lists go along it.
    id uuid NOT NULL,
    aggregate_id bigint NOT NULL,
    sequence bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    written_at timestamptz NOT NULL,
    actor_kind text COLLATE "C" NOT NULL,
    actor_id text COLLATE "C",
    trace text COLLATE "C",
    -- JSON, as text: it is told as it was written.
    data text NOT NULL,
    -- The only index beside the key: each further one would cost every emission more than it saves the few who filter lists.
    CONSTRAINT events_lane_id_key UNIQUE (lane, id)
);

-- Who is to hear events, and which relay works for it: the one that knows the token, for as long as it moves the beat.
CREATE TABLE event_subscribers (
    name text COLLATE "C" CONSTRAINT event_subscribers_pkey PRIMARY KEY
        CONSTRAINT event_subscribers_name_check CHECK (length(name) BETWEEN 1 AND 64),
    lease_token uuid,
    lease_beat bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    last_delivered_at timestamptz
);

-- Which types a subscriber hears; '*' is all.
CREATE TABLE event_subscriptions (
    subscriber text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    -- When a program last asked for it.
    asked_at timestamptz NOT NULL,
    CONSTRAINT event_subscriptions_pkey PRIMARY KEY (type, subscriber)
);

-- What is owed to whom. A row goes when its event has been delivered.
CREATE TABLE event_deliveries (
    subscriber text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    aggregate_id bigint NOT NULL,
    CONSTRAINT event_deliveries_pkey PRIMARY KEY (subscriber, ordinal)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What is owed and waits: an event that failed, and the later ones of its aggregate that a relay has come across.
CREATE TABLE event_held (
    subscriber text COLLATE "C" NOT NULL,
    aggregate_id bigint NOT NULL,
    ordinal bigint NOT NULL,
    CONSTRAINT event_held_pkey PRIMARY KEY (subscriber, aggregate_id, ordinal)
);

-- Until when an aggregate waits, for the event at its head.
CREATE TABLE event_holds (
    subscriber text COLLATE "C" NOT NULL,
    aggregate_id bigint NOT NULL,
    ordinal bigint NOT NULL,
    -- How often it has failed; 0 when those before it are through and it has not been tried yet.
    attempts bigint NOT NULL,
    due_at timestamptz NOT NULL,
    error text NOT NULL,
    CONSTRAINT event_holds_pkey PRIMARY KEY (subscriber, aggregate_id)
);
CREATE INDEX event_holds_due_at ON event_holds (subscriber, due_at);

-- What was given up. Its event stays as long as it does.
CREATE TABLE event_dead_letters (
    subscriber text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    tenant_id uuid,
    -- The event's.
    id uuid NOT NULL,
    attempts bigint NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL,
    CONSTRAINT event_dead_letters_pkey PRIMARY KEY (subscriber, ordinal)
);
CREATE INDEX event_dead_letters_parked_at ON event_dead_letters (parked_at, id);
CREATE INDEX event_dead_letters_tenant_id ON event_dead_letters (tenant_id, parked_at, id);

ALTER TABLE event_aggregates ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_aggregates FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON event_aggregates USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON events USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER TABLE event_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON event_dead_letters
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
