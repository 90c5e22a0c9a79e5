-- Failed logins are counted by client and by known device as well.
ALTER TABLE login_counters
    -- The account that a pair or a device belongs to, as in the key of its own row: an unlock removes all of them.
    ADD COLUMN account bytea,
    DROP CONSTRAINT login_counters_kind_known,
    ADD CONSTRAINT login_counters_kind_known CHECK (kind IN ('account', 'pair', 'address', 'device', 'devices')),
    ADD CONSTRAINT login_counters_account_of_part CHECK ((kind IN ('pair', 'device')) = (account IS NOT NULL));
CREATE INDEX login_counters_account ON login_counters (account) WHERE account IS NOT NULL;
