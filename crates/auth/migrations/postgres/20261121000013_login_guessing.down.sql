DROP INDEX login_counters_account;
DELETE FROM login_counters WHERE kind IN ('pair', 'device', 'devices');
ALTER TABLE login_counters
    DROP CONSTRAINT login_counters_account_of_part,
    DROP CONSTRAINT login_counters_kind_known,
    ADD CONSTRAINT login_counters_kind_known CHECK (kind IN ('account', 'address')),
    DROP COLUMN account;
