-- Clients that present the bootstrap secret are counted as well. SQLite changes no constraint in place.
CREATE TABLE flow_counters_with_bootstrap (
    kind TEXT NOT NULL,
    -- For accounts the person's id, or a keyed digest of a name nobody has; for addresses their bytes. Never a name.
    key BLOB NOT NULL,
    count INTEGER NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT flow_counters_pkey PRIMARY KEY (kind, key),
    CONSTRAINT flow_counters_kind_known CHECK (
        kind IN (
            'password_reset_account', 'password_reset_nobody', 'password_reset_address', 'email_verification_account',
            'email_change_account', 'registration_account', 'registration_address', 'invitation_address',
            'bootstrap_address'
        )
    ),
    CONSTRAINT flow_counters_count_positive CHECK (count > 0)
) STRICT;
INSERT INTO flow_counters_with_bootstrap (kind, key, count, expires_at)
    SELECT kind, key, count, expires_at FROM flow_counters;
DROP TABLE flow_counters;
ALTER TABLE flow_counters_with_bootstrap RENAME TO flow_counters;
CREATE INDEX flow_counters_expires_at ON flow_counters (expires_at);
