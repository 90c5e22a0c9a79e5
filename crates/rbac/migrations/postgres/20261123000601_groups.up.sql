-- Groups of people and service accounts: rules are made for them as for single subjects, and count for who is in them. The platform
-- has none, so every row has a tenant.
CREATE TABLE groups (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL CONSTRAINT groups_name_check CHECK (char_length(name) BETWEEN 1 AND 80),
    -- The name in lower case: two groups that differ in case only would be taken for each other.
    name_folded text COLLATE "C" NOT NULL,
    description text CONSTRAINT groups_description_check CHECK (char_length(description) <= 500),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Lets the rows below prove that they stay inside one tenant.
    CONSTRAINT groups_tenant_id_id_key UNIQUE (tenant_id, id),
    CONSTRAINT groups_tenant_id_name_folded_key UNIQUE (tenant_id, name_folded)
);
CREATE INDEX groups_tenant_id_created_at ON groups (tenant_id, created_at, id);

-- Groups are flat: a group is in none.
CREATE TABLE group_members (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    subject_kind text NOT NULL CONSTRAINT group_members_subject_kind_check CHECK (subject_kind IN ('person', 'service')),
    subject_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (group_id, subject_kind, subject_id),
    CONSTRAINT group_members_tenant_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_members_subject_id ON group_members (subject_id, subject_kind);
CREATE INDEX group_members_tenant_id_group_id_created_at ON group_members (tenant_id, group_id, created_at, subject_id);

ALTER TABLE groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON groups
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()))
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()));

ALTER TABLE group_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE group_members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON group_members
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()))
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()));
