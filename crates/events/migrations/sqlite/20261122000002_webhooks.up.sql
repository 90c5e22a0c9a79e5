-- Where tenants want to hear events. Owner: events.
CREATE TABLE webhook_endpoints (
    id BLOB PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    url TEXT NOT NULL CONSTRAINT webhook_endpoints_url_check CHECK (length(url) BETWEEN 1 AND 2048),
    description TEXT NOT NULL,
    -- A JSON list: names of types, `user.*`, `*`.
    types TEXT NOT NULL,
    signature TEXT NOT NULL
        CONSTRAINT webhook_endpoints_signature_check CHECK (signature IN ('standard', 'classic', 'both')),
    -- Sealed for this row. Until the time beside it, the one before is signed with as well.
    secret_sealed BLOB NOT NULL,
    previous_secret_sealed BLOB,
    previous_until TEXT,
    is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    disabled_reason TEXT
        CONSTRAINT webhook_endpoints_reason_check CHECK (disabled_reason IN ('by_hand', 'gone', 'failing')),
    -- Since when every attempt has failed.
    failing_since TEXT,
    -- How many deliveries were given up since then.
    given_up INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT webhook_endpoints_enabled_check CHECK (is_enabled = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_previous_check CHECK ((previous_secret_sealed IS NULL) = (previous_until IS NULL))
) STRICT;
CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant_id, created_at, id);
CREATE INDEX webhook_endpoints_created ON webhook_endpoints (created_at, id);

-- One event that is owed to one endpoint, and what came of it. The endpoint may be gone: its deliveries are removed after it, a few
-- at a time.
CREATE TABLE webhook_deliveries (
    id BLOB PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    -- What is sent, byte for byte.
    body TEXT NOT NULL,
    state TEXT NOT NULL
        CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    -- Attempts since it was last asked for.
    attempts INTEGER NOT NULL,
    -- Counts every attempt ever. Whoever writes an outcome names the attempt it is of, so that a late one is not written over a
    -- later one.
    claims INTEGER NOT NULL,
    -- Counts how often it was asked for: what is to be done about an earlier asking has nothing to do any more.
    generation INTEGER NOT NULL,
    -- When it was last asked for.
    asked_at TEXT NOT NULL,
    due_at TEXT NOT NULL,
    -- While it is in the future, somebody is at it.
    lease_until TEXT,
    response_status INTEGER,
    response_excerpt TEXT,
    error TEXT,
    created_at TEXT NOT NULL,
    attempted_at TEXT,
    finished_at TEXT,
    CONSTRAINT webhook_deliveries_finished_check CHECK ((state = 'pending') = (finished_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX webhook_deliveries_endpoint_id_event_id_key ON webhook_deliveries (endpoint_id, event_id);
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (endpoint_id, state, created_at, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
