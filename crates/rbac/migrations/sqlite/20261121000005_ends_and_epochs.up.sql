-- Counts the changes of all policies: no clock of a writer has a say in what a process finds. There is one writer at a time, so
-- the order of the numbers is that of the commits. Triggers, because older programs and people in a shell change the epoch
-- without naming this column. (Ends are text, and one that is no time is read as a damaged one.)
ALTER TABLE policy_epochs ADD COLUMN changed_in INTEGER NOT NULL DEFAULT 0;
CREATE INDEX policy_epochs_changed_in ON policy_epochs (changed_in);
DROP INDEX policy_epochs_changed_at;
CREATE TRIGGER policy_epochs_stamp_new AFTER INSERT ON policy_epochs
BEGIN
    UPDATE policy_epochs SET changed_in = (SELECT max(changed_in) + 1 FROM policy_epochs) WHERE scope_id = NEW.scope_id;
END;
CREATE TRIGGER policy_epochs_stamp AFTER UPDATE OF epoch ON policy_epochs
BEGIN
    UPDATE policy_epochs SET changed_in = (SELECT max(changed_in) + 1 FROM policy_epochs) WHERE scope_id = NEW.scope_id;
END;
