-- Denials, conditions, inheritance, expiry, rules for one subject and access control lists. A row without tenant belongs
-- to the platform, as in the tables before.

-- A grant was always one that allows; programs that know nothing else still insert such rows.
ALTER TABLE role_permissions
    ADD COLUMN effect TEXT NOT NULL DEFAULT 'allow'
        CONSTRAINT role_permissions_effect_check CHECK (effect IN ('allow', 'deny'));
-- JSON as the program writes it. Text, because nothing in SQL looks into it.
ALTER TABLE role_permissions
    ADD COLUMN condition TEXT CONSTRAINT role_permissions_condition_check CHECK (length(condition) <= 16384);

-- From this instant on the assignment counts no longer; never when NULL.
ALTER TABLE role_assignments ADD COLUMN expires_at TEXT;
CREATE INDEX role_assignments_expires_at ON role_assignments (expires_at) WHERE expires_at IS NOT NULL;

-- role_id has all rules of parent_id. The pairs as foreign keys prove that both belong to the owner of the row; of the
-- platform's rows, which have no pair, the program sees to it. Cycles are refused by the program under the lock of the epoch.
CREATE TABLE role_parents (
    tenant_id BLOB,
    role_id BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    parent_id BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    CONSTRAINT role_parents_pkey PRIMARY KEY (role_id, parent_id),
    CONSTRAINT role_parents_self_check CHECK (role_id <> parent_id),
    CONSTRAINT role_parents_tenant_role_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT role_parents_tenant_parent_fkey FOREIGN KEY (tenant_id, parent_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX role_parents_parent_id ON role_parents (parent_id);
CREATE INDEX role_parents_tenant_id ON role_parents (tenant_id);

CREATE TABLE permission_overrides (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    subject_kind TEXT NOT NULL CONSTRAINT permission_overrides_subject_kind_check CHECK (subject_kind IN ('person', 'service', 'group')),
    subject_id BLOB NOT NULL,
    permission_id BLOB NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    effect TEXT NOT NULL CONSTRAINT permission_overrides_effect_check CHECK (effect IN ('allow', 'deny')),
    condition TEXT CONSTRAINT permission_overrides_condition_check CHECK (length(condition) <= 16384),
    expires_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
-- One rule for a subject and a permission, or two of them could contradict each other. Two indexes because NULL equals nothing.
CREATE UNIQUE INDEX permission_overrides_tenant_subject_permission_key
    ON permission_overrides (tenant_id, subject_id, subject_kind, permission_id) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX permission_overrides_subject_permission_key
    ON permission_overrides (subject_id, subject_kind, permission_id) WHERE tenant_id IS NULL;
CREATE INDEX permission_overrides_subject_id ON permission_overrides (subject_id, subject_kind);
CREATE INDEX permission_overrides_permission_id ON permission_overrides (permission_id);
CREATE INDEX permission_overrides_tenant_id_created_at ON permission_overrides (tenant_id, created_at, id);
CREATE INDEX permission_overrides_expires_at ON permission_overrides (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE acl_entries (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    resource_kind TEXT NOT NULL CONSTRAINT acl_entries_resource_kind_check CHECK (length(resource_kind) BETWEEN 1 AND 64),
    resource_id TEXT NOT NULL CONSTRAINT acl_entries_resource_id_check CHECK (length(resource_id) BETWEEN 1 AND 200),
    subject_kind TEXT NOT NULL CONSTRAINT acl_entries_subject_kind_check CHECK (subject_kind IN ('person', 'service', 'group')),
    subject_id BLOB NOT NULL,
    permission_id BLOB NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    effect TEXT NOT NULL CONSTRAINT acl_entries_effect_check CHECK (effect IN ('allow', 'deny')),
    expires_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX acl_entries_tenant_resource_subject_permission_key
    ON acl_entries (tenant_id, resource_kind, resource_id, subject_id, subject_kind, permission_id) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX acl_entries_resource_subject_permission_key
    ON acl_entries (resource_kind, resource_id, subject_id, subject_kind, permission_id) WHERE tenant_id IS NULL;
CREATE INDEX acl_entries_subject_id ON acl_entries (subject_id, subject_kind);
CREATE INDEX acl_entries_permission_id ON acl_entries (permission_id);
CREATE INDEX acl_entries_tenant_id_created_at ON acl_entries (tenant_id, created_at, id);
CREATE INDEX acl_entries_expires_at ON acl_entries (expires_at) WHERE expires_at IS NOT NULL;
