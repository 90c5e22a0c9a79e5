-- Who did what to which thing, and how it went. Rows are written once and never change.
CREATE TABLE audit_events (
    id          uuid        CONSTRAINT audit_events_pkey PRIMARY KEY,
    -- NULL is the platform: such rows are seen under platform scope only.
    tenant_id   uuid,
    occurred_at timestamptz NOT NULL,
    actor_kind  text        NOT NULL CONSTRAINT audit_events_actor_kind
        CHECK (actor_kind IN ('system', 'user', 'api_key', 'service', 'anonymous')),
    -- A person, key or service (their owners are other crates: no foreign key), or the name of a process.
    actor_id    text,
    action      text        NOT NULL,
    target_kind text        NOT NULL,
    target_id   text,
    outcome     text        NOT NULL CONSTRAINT audit_events_outcome
        CHECK (outcome IN ('success', 'failure', 'denied')),
    address     text,
    user_agent  text,
    request_id  uuid,
    session_id  uuid,
    -- {"field": {"before": …, "after": …}}, only fields that differ, sensitive ones masked.
    changes     jsonb,
    metadata    jsonb
);

-- The list itself, then one index per filter that is worth one; the other filters run along these.
CREATE INDEX audit_events_by_time ON audit_events (tenant_id, occurred_at, id);
CREATE INDEX audit_events_by_actor ON audit_events (tenant_id, actor_id, occurred_at, id);
CREATE INDEX audit_events_by_action ON audit_events (tenant_id, action, occurred_at, id);
CREATE INDEX audit_events_by_target ON audit_events (tenant_id, target_kind, target_id, occurred_at, id);
CREATE INDEX audit_events_by_request ON audit_events (tenant_id, request_id, occurred_at, id)
    WHERE request_id IS NOT NULL;

ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON audit_events
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));

-- Per statement, so that it refuses whether or not the policy above shows the row, and refuses the owner too.
CREATE FUNCTION audit_events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only'
        USING ERRCODE = 'ST001', TABLE = 'audit_events';
END
$$;
CREATE TRIGGER audit_events_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse_change();
