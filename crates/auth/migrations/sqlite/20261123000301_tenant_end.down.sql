ALTER TABLE service_accounts DROP COLUMN disabled_with_tenant;

-- The version before stops at a kind that it does not know. What was issued has ended in its own rows; tokens run out within minutes.
CREATE TABLE revocations_without_tenants (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    -- Of a subject: tokens of an earlier credential epoch are refused. A session is over as a whole.
    epoch INTEGER,
    created_at TEXT NOT NULL,
    -- When the last token that it concerns has run out.
    expires_at TEXT NOT NULL,
    CONSTRAINT revocations_pkey PRIMARY KEY (kind, id),
    CONSTRAINT revocations_kind_known CHECK (kind IN ('session', 'subject')),
    CONSTRAINT revocations_epoch_of_subject CHECK ((kind = 'subject') = (epoch IS NOT NULL))
) STRICT;
INSERT INTO revocations_without_tenants (kind, id, epoch, created_at, expires_at)
    SELECT kind, id, epoch, created_at, expires_at FROM revocations WHERE kind <> 'tenant';
DROP TABLE revocations;
ALTER TABLE revocations_without_tenants RENAME TO revocations;
CREATE INDEX revocations_created_at ON revocations (created_at);
CREATE INDEX revocations_expires_at ON revocations (expires_at);
