DROP TRIGGER policy_epochs_stamp;
DROP TRIGGER policy_epochs_stamp_new;
DROP INDEX policy_epochs_changed_in;
ALTER TABLE policy_epochs DROP COLUMN changed_in;
CREATE INDEX policy_epochs_changed_at ON policy_epochs (changed_at);
