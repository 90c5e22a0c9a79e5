-- Which permissions seeding has given a tenant's role of all permissions: what the tenant has detached since is not given
-- back, and what a newer version declares is. Without a row nothing was ever offered.
CREATE TABLE permission_offers (
    tenant_id BLOB NOT NULL,
    role_id BLOB NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    permission_id BLOB NOT NULL REFERENCES permissions (id) ON DELETE CASCADE,
    offered_at TEXT NOT NULL,
    CONSTRAINT permission_offers_pkey PRIMARY KEY (role_id, permission_id),
    CONSTRAINT permission_offers_tenant_fkey FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX permission_offers_tenant_id ON permission_offers (tenant_id);
CREATE INDEX permission_offers_permission_id ON permission_offers (permission_id);

-- What the role has now, and what there was when it was made: that was given to it, and is missing only where it was taken.
-- `admin` is the one role of all permissions that the default catalogue declares.
INSERT INTO permission_offers (tenant_id, role_id, permission_id, offered_at)
SELECT r.tenant_id, r.id, p.id, r.created_at
FROM roles AS r JOIN permissions AS p ON p.tenant_id IS NULL AND p.key <> '*'
WHERE r.tenant_id IS NOT NULL AND r.name_key = 'admin'
    AND (p.created_at <= r.created_at
        OR EXISTS (SELECT 1 FROM role_permissions AS g WHERE g.role_id = r.id AND g.permission_id = p.id));
