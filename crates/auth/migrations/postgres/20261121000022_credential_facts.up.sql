-- What administrators see of a credential beside its hash, and what switches it off.

-- One that is off is as good as none: sign-in reads no hash.
ALTER TABLE credentials ADD COLUMN is_active boolean NOT NULL DEFAULT true;
-- Null in rows of a program that does not know the columns; `updated_at` stands in then. That one also moves when a hash
-- is renewed with other parameters, which is no new password.
ALTER TABLE credentials ADD COLUMN created_at timestamptz;
ALTER TABLE credentials ADD COLUMN password_updated_at timestamptz;
UPDATE credentials SET created_at = updated_at, password_updated_at = updated_at;

-- The sessions of an organisation, newest first.
CREATE INDEX sessions_tenant_id_created_at ON sessions (tenant_id, created_at, id);
