-- The key ring: keys that sign and verify tokens. Platform-wide; private halves are sealed by the key-encryption key,
-- which is not in the database.
CREATE TABLE signing_keys (
    kid                BLOB    NOT NULL PRIMARY KEY,
    -- Counts keys from 1. Whoever adds a key claims the next number: of several processes that do so at once, one wins.
    generation         INTEGER NOT NULL,
    algorithm          TEXT    NOT NULL,
    private_key_sealed BLOB    NOT NULL,
    public_key         BLOB    NOT NULL,
    created_at         TEXT    NOT NULL,
    -- Verifies from the start, signs from here on: consumers learn of a key before they meet its first token.
    not_before         TEXT    NOT NULL,
    -- Signs no more; verifies until the last token it signed is over.
    retired_at         TEXT,
    CONSTRAINT signing_keys_generation_key UNIQUE (generation),
    CONSTRAINT signing_keys_generation_is_positive CHECK (generation > 0),
    CONSTRAINT signing_keys_algorithm_is_known CHECK (algorithm IN ('EdDSA', 'HS256', 'RS256', 'PS256'))
) STRICT;

-- Secrets that all processes of an installation share (peppers), sealed like the keys above. Never changed: what was
-- derived from a secret would be lost with it.
CREATE TABLE sealed_secrets (
    name       TEXT NOT NULL PRIMARY KEY,
    sealed     BLOB NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
