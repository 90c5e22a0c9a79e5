-- Single-use tokens of mailed links and of flows with several steps. Read before any tenant is known, so not under row-level
-- security.
CREATE TABLE one_time_tokens (
    id BLOB NOT NULL CONSTRAINT one_time_tokens_pkey PRIMARY KEY,
    purpose TEXT NOT NULL,
    -- A keyed digest over the secret and everything the token is bound to. The secret itself is stored nowhere.
    token_hash BLOB NOT NULL,
    tenant_id BLOB,
    -- A person, or what is to become one: there is no foreign key. Tokens of a name that nobody has are here too, so that
    -- asking for a link costs the same whoever asks.
    subject_id BLOB NOT NULL,
    address_digest BLOB,
    -- The person's epoch when the token was drawn; one of an older epoch is void.
    credential_epoch INTEGER,
    -- What the flow goes on with: the address that is to be, the names of an account that is not there yet.
    payload BLOB NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT one_time_tokens_purpose_known CHECK (
        purpose IN (
            'password_reset', 'email_verification', 'email_change', 'invitation', 'registration', 'pending_login', 'account_link'
        )
    )
) STRICT;
-- A new password, a new address and the end of an account take all of a person's tokens away.
CREATE INDEX one_time_tokens_subject_id ON one_time_tokens (subject_id);
-- What the sweep removes.
CREATE INDEX one_time_tokens_expires_at ON one_time_tokens (expires_at);

-- How often something was asked for within a window: links to an account, requests of a client.
CREATE TABLE flow_counters (
    kind TEXT NOT NULL,
    -- For accounts the person's id, or a keyed digest of a name nobody has; for addresses their bytes. Never a name.
    key BLOB NOT NULL,
    count INTEGER NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT flow_counters_pkey PRIMARY KEY (kind, key),
    CONSTRAINT flow_counters_kind_known CHECK (
        kind IN (
            'password_reset_account', 'password_reset_nobody', 'password_reset_address', 'email_verification_account',
            'email_change_account', 'registration_account', 'registration_address', 'invitation_address'
        )
    ),
    CONSTRAINT flow_counters_count_positive CHECK (count > 0)
) STRICT;
CREATE INDEX flow_counters_expires_at ON flow_counters (expires_at);
