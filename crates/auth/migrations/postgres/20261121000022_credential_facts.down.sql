DROP INDEX sessions_tenant_id_created_at;
ALTER TABLE credentials DROP COLUMN password_updated_at;
ALTER TABLE credentials DROP COLUMN created_at;
ALTER TABLE credentials DROP COLUMN is_active;
