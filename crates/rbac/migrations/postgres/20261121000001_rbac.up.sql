-- A row without tenant belongs to the platform: every tenant reads it, only platform scope changes it.
-- Times, versions and ids are bound by the program, so nothing has a default.

CREATE TABLE permissions (
    id uuid PRIMARY KEY,
    tenant_id uuid,
    key text COLLATE "C" NOT NULL CONSTRAINT permissions_key_check CHECK (char_length(key) BETWEEN 1 AND 128),
    description text CONSTRAINT permissions_description_check CHECK (char_length(description) <= 500),
    is_active boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
-- Two indexes because NULL equals nothing: without the second, the platform could hold a key twice.
CREATE UNIQUE INDEX permissions_tenant_id_key_key ON permissions (tenant_id, key) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX permissions_key_key ON permissions (key) WHERE tenant_id IS NULL;
CREATE INDEX permissions_tenant_id_created_at ON permissions (tenant_id, created_at, id);

CREATE TABLE roles (
    id uuid PRIMARY KEY,
    tenant_id uuid,
    name text NOT NULL CONSTRAINT roles_name_check CHECK (char_length(name) BETWEEN 1 AND 80),
    -- The name in lower case: two roles that differ in case only would be taken for each other.
    name_key text COLLATE "C" NOT NULL,
    description text CONSTRAINT roles_description_check CHECK (char_length(description) <= 500),
    is_active boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Lets the links below prove that they stay inside one tenant.
    CONSTRAINT roles_tenant_id_id_key UNIQUE (tenant_id, id)
);
CREATE UNIQUE INDEX roles_tenant_id_name_key_key ON roles (tenant_id, name_key) WHERE tenant_id IS NOT NULL;
CREATE UNIQUE INDEX roles_name_key_key ON roles (name_key) WHERE tenant_id IS NULL;
CREATE INDEX roles_tenant_id_created_at ON roles (tenant_id, created_at, id);

-- The tenant of a link is the tenant of its role. Foreign keys are not subject to row-level security, hence the pair.
CREATE TABLE role_permissions (
    id uuid PRIMARY KEY,
    tenant_id uuid,
    role_id uuid NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    permission_id uuid NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    CONSTRAINT role_permissions_role_id_permission_id_key UNIQUE (role_id, permission_id),
    CONSTRAINT role_permissions_tenant_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX role_permissions_permission_id ON role_permissions (permission_id);
CREATE INDEX role_permissions_tenant_id_created_at ON role_permissions (tenant_id, created_at, id);

-- Assignments to the platform's roles have no tenant, and unlike the other tables, tenants do not see them.
CREATE TABLE role_assignments (
    id uuid PRIMARY KEY,
    tenant_id uuid,
    -- Groups are not assigned to yet; SQLite cannot widen a constraint later, so both engines have the room now.
    subject_kind text NOT NULL CONSTRAINT role_assignments_subject_kind_check CHECK (subject_kind IN ('person', 'service', 'group')),
    subject_id uuid NOT NULL,
    role_id uuid NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    assigned_at timestamptz NOT NULL,
    CONSTRAINT role_assignments_role_id_subject_kind_subject_id_key UNIQUE (role_id, subject_kind, subject_id),
    CONSTRAINT role_assignments_tenant_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX role_assignments_subject_id ON role_assignments (subject_id, subject_kind);
CREATE INDEX role_assignments_tenant_id_assigned_at ON role_assignments (tenant_id, assigned_at, id);

-- One row per tenant, and the nil id for the platform. Every change of a policy adds one in its own transaction; taking
-- that row's lock first also puts the writers of one policy in line. Not under row-level security: each process
-- reads all recent rows, and they say nothing but that something changed.
CREATE TABLE policy_epochs (
    scope_id uuid PRIMARY KEY,
    epoch bigint NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX policy_epochs_changed_at ON policy_epochs (changed_at);

ALTER TABLE permissions ENABLE ROW LEVEL SECURITY;
ALTER TABLE permissions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON permissions USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
CREATE POLICY platform_rows_are_readable ON permissions FOR SELECT USING (tenant_id IS NULL);

ALTER TABLE roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON roles USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
CREATE POLICY platform_rows_are_readable ON roles FOR SELECT USING (tenant_id IS NULL);

ALTER TABLE role_permissions ENABLE ROW LEVEL SECURITY;
ALTER TABLE role_permissions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON role_permissions USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
CREATE POLICY platform_rows_are_readable ON role_permissions FOR SELECT USING (tenant_id IS NULL);

ALTER TABLE role_assignments ENABLE ROW LEVEL SECURITY;
ALTER TABLE role_assignments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON role_assignments USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
