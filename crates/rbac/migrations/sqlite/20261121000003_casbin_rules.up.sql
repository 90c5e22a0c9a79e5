-- Rules of casbin policies, in the columns that casbin's adapters share. They say nothing to the native roles beside them.
-- A row without tenant belongs to the platform.

CREATE TABLE casbin_rules (
    -- Given by the database, because effects by priority depend on the order of the rules.
    place INTEGER PRIMARY KEY,
    tenant_id BLOB,
    created_at TEXT NOT NULL,
    ptype TEXT NOT NULL CONSTRAINT casbin_rules_ptype_check CHECK (ptype IN ('p', 'g')),
    -- Empty where the rule has no such value.
    v0 TEXT NOT NULL CONSTRAINT casbin_rules_v0_check CHECK (length(v0) <= 1024),
    v1 TEXT NOT NULL CONSTRAINT casbin_rules_v1_check CHECK (length(v1) <= 1024),
    v2 TEXT NOT NULL CONSTRAINT casbin_rules_v2_check CHECK (length(v2) <= 1024),
    v3 TEXT NOT NULL CONSTRAINT casbin_rules_v3_check CHECK (length(v3) <= 1024),
    v4 TEXT NOT NULL CONSTRAINT casbin_rules_v4_check CHECK (length(v4) <= 1024),
    v5 TEXT NOT NULL CONSTRAINT casbin_rules_v5_check CHECK (length(v5) <= 1024)
) STRICT;
CREATE INDEX casbin_rules_tenant_id_place ON casbin_rules (tenant_id, place);
CREATE INDEX casbin_rules_tenant_id_v0 ON casbin_rules (tenant_id, v0);
