-- What a service account may do where, and the keys with which it signs requests. Both are read before a tenant is known or
-- beside the account's own row, so neither is under row-level security.

-- One row for each operation at an audience. What is not here, no token says.
CREATE TABLE service_grants (
    service_id BLOB NOT NULL,
    audience TEXT NOT NULL,
    operation TEXT NOT NULL,
    CONSTRAINT service_grants_pkey PRIMARY KEY (service_id, audience, operation),
    CONSTRAINT service_grants_service_exists FOREIGN KEY (service_id) REFERENCES service_accounts (id) ON DELETE CASCADE
) STRICT;

-- Public keys alone: what signs stays with the service.
CREATE TABLE service_keys (
    -- Also the name that signatures give it. It is made here: a name that callers choose could be somebody else's.
    id BLOB NOT NULL CONSTRAINT service_keys_pkey PRIMARY KEY,
    service_id BLOB NOT NULL,
    label TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    -- A JSON Web Key (RFC 7517).
    public_key TEXT NOT NULL,
    not_before TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT,
    created_at TEXT NOT NULL,
    CONSTRAINT service_keys_service_exists FOREIGN KEY (service_id) REFERENCES service_accounts (id) ON DELETE CASCADE,
    CONSTRAINT service_keys_ends_after_it_begins CHECK (expires_at > not_before)
) STRICT;
CREATE INDEX service_keys_service_id ON service_keys (service_id, created_at, id);
