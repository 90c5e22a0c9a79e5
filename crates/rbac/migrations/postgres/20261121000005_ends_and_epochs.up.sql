-- `infinity` is no end, and PostgreSQL's calendar is longer than the program's. NOT VALID: rows that hold such an end already stay,
-- and are read as damaged ones, until somebody mends them.
ALTER TABLE role_assignments ADD CONSTRAINT role_assignments_expires_at_check
    CHECK (expires_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00') NOT VALID;
ALTER TABLE permission_overrides ADD CONSTRAINT permission_overrides_expires_at_check
    CHECK (expires_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00') NOT VALID;
ALTER TABLE acl_entries ADD CONSTRAINT acl_entries_expires_at_check
    CHECK (expires_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00') NOT VALID;

-- The transaction that changed the epoch last, by the database's own count: no clock of a writer has a say in what a process finds.
-- Whoever has seen all transactions below one asks for the rows from that one on, and misses none that commits late. A trigger,
-- because older programs and people in psql change the epoch without naming this column.
ALTER TABLE policy_epochs ADD COLUMN changed_in bigint NOT NULL DEFAULT 0;
CREATE FUNCTION stylobate_stamp_policy_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$;
CREATE TRIGGER policy_epochs_stamp BEFORE INSERT OR UPDATE ON policy_epochs
    FOR EACH ROW EXECUTE FUNCTION stylobate_stamp_policy_epoch();
CREATE INDEX policy_epochs_changed_in ON policy_epochs (changed_in);
DROP INDEX policy_epochs_changed_at;
