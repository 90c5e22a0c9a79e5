-- Who did what to which thing, and how it went. Rows are written once and never change.
-- Without a rowid, so that a row has one identity that the triggers below can watch.
CREATE TABLE audit_events (
    id          BLOB NOT NULL PRIMARY KEY,
    -- NULL is the platform.
    tenant_id   BLOB,
    occurred_at TEXT NOT NULL,
    actor_kind  TEXT NOT NULL CONSTRAINT audit_events_actor_kind
        CHECK (actor_kind IN ('system', 'user', 'api_key', 'service', 'anonymous')),
    -- A person, key or service (their owners are other crates: no foreign key), or the name of a process.
    actor_id    TEXT,
    action      TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id   TEXT,
    outcome     TEXT NOT NULL CONSTRAINT audit_events_outcome
        CHECK (outcome IN ('success', 'failure', 'denied')),
    address     TEXT,
    user_agent  TEXT,
    request_id  BLOB,
    session_id  BLOB,
    -- {"field": {"before": …, "after": …}}, only fields that differ, sensitive ones masked.
    changes     TEXT,
    metadata    TEXT
) STRICT, WITHOUT ROWID;

-- The list itself, then one index per filter that is worth one; the other filters run along these.
CREATE INDEX audit_events_by_time ON audit_events (tenant_id, occurred_at, id);
CREATE INDEX audit_events_by_actor ON audit_events (tenant_id, actor_id, occurred_at, id);
CREATE INDEX audit_events_by_action ON audit_events (tenant_id, action, occurred_at, id);
CREATE INDEX audit_events_by_target ON audit_events (tenant_id, target_kind, target_id, occurred_at, id);
CREATE INDEX audit_events_by_request ON audit_events (tenant_id, request_id, occurred_at, id)
    WHERE request_id IS NOT NULL;

CREATE TRIGGER audit_events_refuse_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
CREATE TRIGGER audit_events_refuse_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
-- INSERT OR REPLACE deletes the old row without firing the trigger above.
CREATE TRIGGER audit_events_refuse_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
