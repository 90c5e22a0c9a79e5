-- Organisations and tenants are one thing. The rows are platform-wide: sign-in reads them by code before any tenant is
-- known, so they are not under row-level security.
CREATE TABLE orgs (
    id          uuid        CONSTRAINT orgs_pkey PRIMARY KEY,
    -- As people write it, and as it is compared.
    code        text        NOT NULL,
    code_folded text        COLLATE "C" NOT NULL CONSTRAINT orgs_code_folded_key UNIQUE,
    name        text        NOT NULL,
    is_active   boolean     NOT NULL,
    -- The organisation every installation has; it stays the default when it is renamed.
    is_default  boolean     NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- Counts changes, so that two people who edit at once notice.
    version     bigint      NOT NULL CONSTRAINT orgs_version CHECK (version > 0)
);
CREATE UNIQUE INDEX orgs_is_default_key ON orgs (is_default) WHERE is_default;

-- Who belongs to which organisation. People have another owner: no foreign key to them.
CREATE TABLE memberships (
    tenant_id  uuid        NOT NULL CONSTRAINT memberships_tenant_id_fkey REFERENCES orgs (id),
    person_id  uuid        NOT NULL,
    status     text        NOT NULL CONSTRAINT memberships_status CHECK (status IN ('active', 'suspended')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT memberships_pkey PRIMARY KEY (tenant_id, person_id)
);
-- Sign-in: every membership of one person.
CREATE INDEX memberships_by_person ON memberships (person_id);
-- The list of an organisation's people, page by page.
CREATE INDEX memberships_by_time ON memberships (tenant_id, created_at, person_id);

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON memberships
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
