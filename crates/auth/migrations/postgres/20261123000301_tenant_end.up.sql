-- The end of a tenant is one revocation, however much was issued for it. The rows of that have ended with it: while the
-- revocation lives they decide, and not what a process remembers.
ALTER TABLE revocations
    DROP CONSTRAINT revocations_kind_known,
    ADD CONSTRAINT revocations_kind_known CHECK (kind IN ('session', 'subject', 'tenant'));

ALTER TABLE service_accounts
    -- Disabled because its tenant was ended, and active again with it. Whoever says themselves how it shall be takes this back.
    ADD COLUMN disabled_with_tenant boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT service_accounts_rests_with_tenant CHECK (status = 'disabled' OR NOT disabled_with_tenant);
