-- What events are ordered by: a subject of a tenant, and how many events it has had. Who tells of a subject holds its row until
-- the commit, so that events of one subject commit in the order of their sequence. Rows stay, so that no sequence begins anew.
CREATE TABLE event_aggregates (
    id INTEGER PRIMARY KEY,
    -- The tenant, or the nil id.
    lane BLOB NOT NULL,
    aggregate TEXT NOT NULL
        CONSTRAINT event_aggregates_aggregate_check CHECK (length(aggregate) BETWEEN 1 AND 200),
    last_sequence INTEGER NOT NULL,
    CONSTRAINT event_aggregates_lane_aggregate_key UNIQUE (lane, aggregate)
) STRICT;

-- What happened. Rows are written once; they go when nobody is owed them and they are old.
CREATE TABLE events (
    -- Ascends with the sequence within an aggregate, because it is drawn while the aggregate's row is held. Across aggregates it
    -- has gaps and comes late: nothing may be looked for behind the last one that was seen.
    -- Without AUTOINCREMENT, which would cost each emission a page: the row with the highest ordinal is never removed.
    ordinal INTEGER PRIMARY KEY,
    -- The tenant, or the nil id.
    lane BLOB NOT NULL,
    -- Begins with the time of writing, so lists go along it.
    id BLOB NOT NULL,
    aggregate_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    occurred_at TEXT NOT NULL,
    written_at TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    trace TEXT,
    -- JSON, as text: it is told as it was written.
    data TEXT NOT NULL,
    -- The only index beside the key: each further one would cost every emission more than it saves the few who filter lists.
    CONSTRAINT events_lane_id_key UNIQUE (lane, id)
) STRICT;

-- Who is to hear events, and which relay works for it: the one that knows the token, for as long as it moves the beat.
CREATE TABLE event_subscribers (
    name TEXT CONSTRAINT event_subscribers_pkey PRIMARY KEY
        CONSTRAINT event_subscribers_name_check CHECK (length(name) BETWEEN 1 AND 64),
    lease_token BLOB,
    lease_beat INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    last_delivered_at TEXT
) STRICT, WITHOUT ROWID;

-- Which types a subscriber hears; '*' is all.
CREATE TABLE event_subscriptions (
    subscriber TEXT NOT NULL,
    type TEXT NOT NULL,
    -- When a program last asked for it.
    asked_at TEXT NOT NULL,
    CONSTRAINT event_subscriptions_pkey PRIMARY KEY (type, subscriber)
) STRICT, WITHOUT ROWID;

-- What is owed to whom. A row goes when its event has been delivered.
CREATE TABLE event_deliveries (
    subscriber TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    aggregate_id INTEGER NOT NULL,
    CONSTRAINT event_deliveries_pkey PRIMARY KEY (subscriber, ordinal)
) STRICT, WITHOUT ROWID;

-- What is owed and waits: an event that failed, and the later ones of its aggregate that a relay has come across.
CREATE TABLE event_held (
    subscriber TEXT NOT NULL,
    aggregate_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    CONSTRAINT event_held_pkey PRIMARY KEY (subscriber, aggregate_id, ordinal)
) STRICT, WITHOUT ROWID;

-- Until when an aggregate waits, for the event at its head.
CREATE TABLE event_holds (
    subscriber TEXT NOT NULL,
    aggregate_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    -- How often it has failed; 0 when those before it are through and it has not been tried yet.
    attempts INTEGER NOT NULL,
    due_at TEXT NOT NULL,
    error TEXT NOT NULL,
    CONSTRAINT event_holds_pkey PRIMARY KEY (subscriber, aggregate_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_holds_due_at ON event_holds (subscriber, due_at);

-- What was given up. Its event stays as long as it does.
CREATE TABLE event_dead_letters (
    subscriber TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    tenant_id BLOB,
    -- The event's.
    id BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    parked_at TEXT NOT NULL,
    CONSTRAINT event_dead_letters_pkey PRIMARY KEY (subscriber, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_dead_letters_parked_at ON event_dead_letters (parked_at, id);
CREATE INDEX event_dead_letters_tenant_id ON event_dead_letters (tenant_id, parked_at, id);

-- How events are told: one INSERT does what has to happen for each of its rows, in their order.
CREATE VIEW event_emissions AS
    SELECT e.lane, e.id, a.aggregate, e.type, e.version, e.occurred_at, e.written_at, e.actor_kind, e.actor_id, e.trace, e.data
    FROM events AS e JOIN event_aggregates AS a ON a.id = e.aggregate_id;
CREATE TRIGGER event_emissions_insert INSTEAD OF INSERT ON event_emissions
BEGIN
    INSERT INTO event_aggregates (lane, aggregate, last_sequence) VALUES (NEW.lane, NEW.aggregate, 1)
        ON CONFLICT (lane, aggregate) DO UPDATE SET last_sequence = last_sequence + 1;
    INSERT INTO events (lane, id, aggregate_id, sequence, type, version, occurred_at, written_at, actor_kind, actor_id, trace,
            data)
        SELECT NEW.lane, NEW.id, a.id, a.last_sequence, NEW.type, NEW.version, NEW.occurred_at, NEW.written_at,
            NEW.actor_kind, NEW.actor_id, NEW.trace, NEW.data
        FROM event_aggregates AS a WHERE a.lane = NEW.lane AND a.aggregate = NEW.aggregate;
    INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id)
        SELECT s.subscriber, e.ordinal, e.aggregate_id FROM events AS e CROSS JOIN event_subscriptions AS s
        WHERE e.ordinal = last_insert_rowid() AND s.type IN (NEW.type, '*')
        ON CONFLICT (subscriber, ordinal) DO NOTHING;
END;
