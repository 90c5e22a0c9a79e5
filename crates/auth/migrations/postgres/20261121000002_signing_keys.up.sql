-- The key ring: keys that sign and verify tokens. Platform-wide and read before any tenant is known, so without
-- row-level security; private halves are sealed by the key-encryption key, which is not in the database.
CREATE TABLE signing_keys (
    kid                uuid        NOT NULL PRIMARY KEY,
    -- Counts keys from 1. Whoever adds a key claims the next number: of several processes that do so at once, one wins.
    generation         bigint      NOT NULL,
    algorithm          text        NOT NULL,
    private_key_sealed bytea       NOT NULL,
    public_key         bytea       NOT NULL,
    created_at         timestamptz NOT NULL,
    -- Verifies from the start, signs from here on: consumers learn of a key before they meet its first token.
    not_before         timestamptz NOT NULL,
    -- Signs no more; verifies until the last token it signed is over.
    retired_at         timestamptz,
    CONSTRAINT signing_keys_generation_key UNIQUE (generation),
    CONSTRAINT signing_keys_generation_is_positive CHECK (generation > 0),
    CONSTRAINT signing_keys_algorithm_is_known CHECK (algorithm IN ('EdDSA', 'HS256', 'RS256', 'PS256'))
);

-- Secrets that all processes of an installation share (peppers), sealed like the keys above. Never changed: what was
-- derived from a secret would be lost with it.
CREATE TABLE sealed_secrets (
    name       text        COLLATE "C" NOT NULL PRIMARY KEY,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
