-- Rules of casbin policies, in the columns that casbin's adapters share. They say nothing to the native roles beside them.
-- A row without tenant belongs to the platform.

CREATE TABLE casbin_rules (
    -- Given by the database, because effects by priority depend on the order of the rules.
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid,
    created_at timestamptz NOT NULL,
    ptype text NOT NULL CONSTRAINT casbin_rules_ptype_check CHECK (ptype IN ('p', 'g')),
    -- Empty where the rule has no such value.
    v0 text NOT NULL CONSTRAINT casbin_rules_v0_check CHECK (char_length(v0) <= 1024),
    v1 text NOT NULL CONSTRAINT casbin_rules_v1_check CHECK (char_length(v1) <= 1024),
    v2 text NOT NULL CONSTRAINT casbin_rules_v2_check CHECK (char_length(v2) <= 1024),
    v3 text NOT NULL CONSTRAINT casbin_rules_v3_check CHECK (char_length(v3) <= 1024),
    v4 text NOT NULL CONSTRAINT casbin_rules_v4_check CHECK (char_length(v4) <= 1024),
    v5 text NOT NULL CONSTRAINT casbin_rules_v5_check CHECK (char_length(v5) <= 1024)
);
-- Not unique: six long values are more than an index entry takes, and a rule that is there twice says the same.
CREATE INDEX casbin_rules_tenant_id_place ON casbin_rules (tenant_id, place);
CREATE INDEX casbin_rules_tenant_id_v0 ON casbin_rules (tenant_id, v0);

ALTER TABLE casbin_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE casbin_rules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON casbin_rules USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
