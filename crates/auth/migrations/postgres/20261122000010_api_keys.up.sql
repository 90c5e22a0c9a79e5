-- Programs: service accounts, and the keys that persons and service accounts give them. A key is read before any tenant is
-- known, so none of this is under row-level security; every list says which tenant it is for.

CREATE TABLE service_accounts (
    id uuid CONSTRAINT service_accounts_pkey PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    -- The folded form is what must be unique in a tenant.
    name_key text COLLATE "C" NOT NULL,
    description text,
    status text NOT NULL,
    -- Counts up with every change: what a process remembers of an older one is read again.
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT service_accounts_tenant_id_name_key_key UNIQUE (tenant_id, name_key),
    CONSTRAINT service_accounts_status_known CHECK (status IN ('active', 'disabled'))
);
CREATE INDEX service_accounts_tenant_id_created_at ON service_accounts (tenant_id, created_at, id);

CREATE TABLE api_keys (
    id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
    tenant_id uuid NOT NULL,
    owner_person_id uuid,
    owner_service_id uuid,
    label text NOT NULL,
    -- Keyed digests of the secrets; the secrets themselves are stored nowhere. The previous one is good until its time,
    -- so that whoever uses the key can change over.
    secret_hash bytea NOT NULL,
    previous_hash bytea,
    previous_until timestamptz,
    -- Separated by blanks. Null sets no limit beyond the owner's rights.
    scopes text,
    -- Networks in CIDR notation, separated by blanks. Null lets every address.
    allowed_networks text,
    requests_per_hour bigint NOT NULL,
    is_active boolean NOT NULL,
    -- Counts up with every change: what a process remembers of an older one is read again.
    version bigint NOT NULL,
    -- Who made it, as the audit trail names actors; null when that was the platform itself. So the makers' own limit is counted.
    created_by text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    rotated_at timestamptz,
    last_used_at timestamptz,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoke_reason text,
    CONSTRAINT api_keys_person_exists FOREIGN KEY (owner_person_id) REFERENCES people (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_service_exists FOREIGN KEY (owner_service_id) REFERENCES service_accounts (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_one_owner CHECK ((owner_person_id IS NULL) <> (owner_service_id IS NULL)),
    CONSTRAINT api_keys_previous_ends CHECK ((previous_hash IS NULL) = (previous_until IS NULL)),
    CONSTRAINT api_keys_requests_positive CHECK (requests_per_hour > 0),
    -- Whoever reads a revoked key also learns why it was.
    CONSTRAINT api_keys_revocation_has_reason CHECK ((revoked_at IS NULL) = (revoke_reason IS NULL))
);
-- Lists of a tenant run in order of creation.
CREATE INDEX api_keys_tenant_id_created_at ON api_keys (tenant_id, created_at, id);
-- What goes with an owner, and how many keys one has.
CREATE INDEX api_keys_owner_person_id ON api_keys (owner_person_id, tenant_id);
CREATE INDEX api_keys_owner_service_id ON api_keys (owner_service_id);
-- What the sweep removes.
CREATE INDEX api_keys_expires_at ON api_keys (expires_at);

-- What keys were used for, by day.
CREATE TABLE api_key_usage (
    key_id uuid NOT NULL,
    -- Days since 1970-01-01, in UTC.
    day bigint NOT NULL,
    requests bigint NOT NULL,
    refused bigint NOT NULL,
    CONSTRAINT api_key_usage_pkey PRIMARY KEY (key_id, day),
    CONSTRAINT api_key_usage_key_exists FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE CASCADE,
    CONSTRAINT api_key_usage_counted CHECK (requests >= 0 AND refused >= 0)
);
CREATE INDEX api_key_usage_day ON api_key_usage (day);
