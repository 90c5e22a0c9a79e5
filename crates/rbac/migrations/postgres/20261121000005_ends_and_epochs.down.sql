CREATE INDEX policy_epochs_changed_at ON policy_epochs (changed_at);
DROP TRIGGER policy_epochs_stamp ON policy_epochs;
DROP FUNCTION stylobate_stamp_policy_epoch();
-- Takes its index along.
ALTER TABLE policy_epochs DROP COLUMN changed_in;
ALTER TABLE acl_entries DROP CONSTRAINT acl_entries_expires_at_check;
ALTER TABLE permission_overrides DROP CONSTRAINT permission_overrides_expires_at_check;
ALTER TABLE role_assignments DROP CONSTRAINT role_assignments_expires_at_check;
