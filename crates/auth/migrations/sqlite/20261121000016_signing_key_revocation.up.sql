-- A check cannot be changed in place, so the table is made anew: keys on the curves of ECDSA are generated too, and a key
-- that may have been stolen is withdrawn.
CREATE TABLE signing_keys_next (
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
    -- Withdrawn: from this time on it neither signs nor verifies, whatever its other times say.
    revoked_at         TEXT,
    CONSTRAINT signing_keys_generation_key UNIQUE (generation),
    CONSTRAINT signing_keys_generation_is_positive CHECK (generation > 0),
    CONSTRAINT signing_keys_algorithm_is_known
        CHECK (algorithm IN ('EdDSA', 'ES256', 'ES384', 'HS256', 'RS256', 'PS256'))
) STRICT;

INSERT INTO signing_keys_next (kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before, retired_at)
SELECT kid, generation, algorithm, private_key_sealed, public_key, created_at, not_before, retired_at FROM signing_keys;

DROP TABLE signing_keys;
ALTER TABLE signing_keys_next RENAME TO signing_keys;
