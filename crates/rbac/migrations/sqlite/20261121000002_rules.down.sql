-- The program before knew only grants that always allow and assignments that never end. What it would misread goes first.
DROP TABLE acl_entries;
DROP TABLE permission_overrides;
DROP TABLE role_parents;
DELETE FROM role_assignments WHERE expires_at IS NOT NULL;
DELETE FROM role_permissions WHERE effect <> 'allow' OR condition IS NOT NULL;
DROP INDEX role_assignments_expires_at;
ALTER TABLE role_assignments DROP COLUMN expires_at;
ALTER TABLE role_permissions DROP COLUMN condition;
ALTER TABLE role_permissions DROP COLUMN effect;
