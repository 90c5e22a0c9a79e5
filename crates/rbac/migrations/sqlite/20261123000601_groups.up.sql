-- Groups of people and service accounts: rules are made for them as for single subjects, and count for who is in them. The platform
-- has none, so every row has a tenant.
CREATE TABLE groups (
    id BLOB PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    name TEXT NOT NULL CONSTRAINT groups_name_check CHECK (length(name) BETWEEN 1 AND 80),
    -- The name in lower case: two groups that differ in case only would be taken for each other.
    name_folded TEXT NOT NULL,
    description TEXT CONSTRAINT groups_description_check CHECK (length(description) <= 500),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    -- Lets the rows below prove that they stay inside one tenant.
    CONSTRAINT groups_tenant_id_id_key UNIQUE (tenant_id, id),
    CONSTRAINT groups_tenant_id_name_folded_key UNIQUE (tenant_id, name_folded)
) STRICT;
CREATE INDEX groups_tenant_id_created_at ON groups (tenant_id, created_at, id);

-- Groups are flat: a group is in none.
CREATE TABLE group_members (
    tenant_id BLOB NOT NULL,
    group_id BLOB NOT NULL,
    subject_kind TEXT NOT NULL CONSTRAINT group_members_subject_kind_check CHECK (subject_kind IN ('person', 'service')),
    subject_id BLOB NOT NULL,
    created_at TEXT NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (group_id, subject_kind, subject_id),
    CONSTRAINT group_members_tenant_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX group_members_subject_id ON group_members (subject_id, subject_kind);
CREATE INDEX group_members_tenant_id_group_id_created_at ON group_members (tenant_id, group_id, created_at, subject_id);
