-- Organisations and tenants are one thing. The rows are platform-wide: sign-in reads them by code before any tenant is
-- known.
CREATE TABLE orgs (
    id          BLOB    NOT NULL PRIMARY KEY,
    -- As people write it, and as it is compared.
    code        TEXT    NOT NULL,
    code_folded TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    is_active   INTEGER NOT NULL CONSTRAINT orgs_is_active CHECK (is_active IN (0, 1)),
    -- The organisation every installation has; it stays the default when it is renamed.
    is_default  INTEGER NOT NULL CONSTRAINT orgs_is_default CHECK (is_default IN (0, 1)),
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL,
    -- Counts changes, so that two people who edit at once notice.
    version     INTEGER NOT NULL CONSTRAINT orgs_version CHECK (version > 0),
    CONSTRAINT orgs_code_folded_key UNIQUE (code_folded)
) STRICT;
CREATE UNIQUE INDEX orgs_is_default_key ON orgs (is_default) WHERE is_default = 1;

-- Who belongs to which organisation. People have another owner: no foreign key to them.
CREATE TABLE memberships (
    tenant_id  BLOB NOT NULL CONSTRAINT memberships_tenant_id_fkey REFERENCES orgs (id),
    person_id  BLOB NOT NULL,
    status     TEXT NOT NULL CONSTRAINT memberships_status CHECK (status IN ('active', 'suspended')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
) STRICT, WITHOUT ROWID;
-- Sign-in: every membership of one person.
CREATE INDEX memberships_by_person ON memberships (person_id);
-- The list of an organisation's people, page by page.
CREATE INDEX memberships_by_time ON memberships (tenant_id, created_at, person_id);
