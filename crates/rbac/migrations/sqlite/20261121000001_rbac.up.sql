-- A row without tenant belongs to the platform: every tenant reads it, only platform scope changes it.
-- Times, versions and ids are bound by the program, so nothing has a default.

CREATE TABLE permissions (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    key TEXT NOT NULL CONSTRAINT permissions_key_check CHECK (length(key) BETWEEN 1 AND 128),
    description TEXT CONSTRAINT permissions_description_check CHECK (length(description) <= 500),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
-- Two indexes because NULL equals nothing: without the second, the platform could hold a key twice.
CREATE UNIQUE INDEX permissions_tenant_id_key_key ON permissions (tenant_id, key) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX permissions_key_key ON permissions (key) WHERE tenant_id IS NULL;
CREATE INDEX permissions_tenant_id_created_at ON permissions (tenant_id, created_at, id);

CREATE TABLE roles (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    name TEXT NOT NULL CONSTRAINT roles_name_check CHECK (length(name) BETWEEN 1 AND 80),
    -- The name in lower case: two roles that differ in case only would be taken for each other.
    name_key TEXT NOT NULL,
    description TEXT CONSTRAINT roles_description_check CHECK (length(description) <= 500),
    is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    -- Lets the links below prove that they stay inside one tenant.
    CONSTRAINT roles_tenant_id_id_key UNIQUE (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX roles_tenant_id_name_key_key ON roles (tenant_id, name_key) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX roles_name_key_key ON roles (name_key) WHERE tenant_id IS NULL;
CREATE INDEX roles_tenant_id_created_at ON roles (tenant_id, created_at, id);

-- The tenant of a link is the tenant of its role. The pair as foreign key proves it.
CREATE TABLE role_permissions (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    role_id BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    permission_id BLOB NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    CONSTRAINT role_permissions_role_id_permission_id_key UNIQUE (role_id, permission_id),
    CONSTRAINT role_permissions_tenant_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX role_permissions_permission_id ON role_permissions (permission_id);
CREATE INDEX role_permissions_tenant_id_created_at ON role_permissions (tenant_id, created_at, id);

-- Assignments to the platform's roles have no tenant, and unlike the other tables, tenants do not see them.
CREATE TABLE role_assignments (
    id BLOB PRIMARY KEY,
    tenant_id BLOB,
    -- Groups are not assigned to yet; SQLite cannot widen a constraint later, so both engines have the room now.
    subject_kind TEXT NOT NULL CONSTRAINT role_assignments_subject_kind_check CHECK (subject_kind IN ('person', 'service', 'group')),
    subject_id BLOB NOT NULL,
    role_id BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    assigned_at TEXT NOT NULL,
    CONSTRAINT role_assignments_role_id_subject_kind_subject_id_key UNIQUE (role_id, subject_kind, subject_id),
    CONSTRAINT role_assignments_tenant_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX role_assignments_subject_id ON role_assignments (subject_id, subject_kind);
CREATE INDEX role_assignments_tenant_id_assigned_at ON role_assignments (tenant_id, assigned_at, id);

-- One row per tenant, and the nil id for the platform. Every change of a policy adds one in its own transaction; taking
-- that row's lock first also puts the writers of one policy in line. Each process reads all recent rows.
CREATE TABLE policy_epochs (
    scope_id BLOB PRIMARY KEY,
    epoch INTEGER NOT NULL,
    changed_at TEXT NOT NULL
) STRICT;
CREATE INDEX policy_epochs_changed_at ON policy_epochs (changed_at);
