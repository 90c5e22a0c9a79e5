-- Where tenants want to hear events. Owner: events.
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    url text NOT NULL CONSTRAINT webhook_endpoints_url_check CHECK (length(url) BETWEEN 1 AND 2048),
    description text NOT NULL,
    -- A JSON list: names of types, `user.*`, `*`.
    types text NOT NULL,
    signature text COLLATE "C" NOT NULL
        CONSTRAINT webhook_endpoints_signature_check CHECK (signature IN ('standard', 'classic', 'both')),
    -- Sealed for this row. Until the time beside it, the one before is signed with as well.
    secret_sealed bytea NOT NULL,
    previous_secret_sealed bytea,
    previous_until timestamptz,
    is_enabled boolean NOT NULL,
    disabled_reason text COLLATE "C"
        CONSTRAINT webhook_endpoints_reason_check CHECK (disabled_reason IN ('by_hand', 'gone', 'failing')),
    -- Since when every attempt has failed.
    failing_since timestamptz,
    -- How many deliveries were given up since then.
    given_up bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT webhook_endpoints_enabled_check CHECK (is_enabled = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_previous_check CHECK ((previous_secret_sealed IS NULL) = (previous_until IS NULL))
);
CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant_id, created_at, id);
CREATE INDEX webhook_endpoints_created ON webhook_endpoints (created_at, id);

ALTER TABLE webhook_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_endpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON webhook_endpoints
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));

-- One event that is owed to one endpoint, and what came of it. The endpoint may be gone: its deliveries are removed after it, a few
-- at a time.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    -- What is sent, byte for byte.
    body text NOT NULL,
    state text COLLATE "C" NOT NULL
        CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('pending', 'delivered', 'failed', 'cancelled')),
    -- Attempts since it was last asked for.
    attempts bigint NOT NULL,
    -- Counts every attempt ever. Whoever writes an outcome names the attempt it is of, so that a late one is not written over a
    -- later one.
    claims bigint NOT NULL,
    -- Counts how often it was asked for: what is to be done about an earlier asking has nothing to do any more.
    generation bigint NOT NULL,
    -- When it was last asked for.
    asked_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    -- While it is in the future, somebody is at it.
    lease_until timestamptz,
    response_status bigint,
    response_excerpt text,
    error text COLLATE "C",
    created_at timestamptz NOT NULL,
    attempted_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT webhook_deliveries_finished_check CHECK ((state = 'pending') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX webhook_deliveries_endpoint_id_event_id_key ON webhook_deliveries (endpoint_id, event_id);
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (endpoint_id, state, created_at, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON webhook_deliveries
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
