-- The version before knows neither these algorithms nor that a key is withdrawn, and would let its tokens in again.
DELETE FROM signing_keys WHERE revoked_at IS NOT NULL OR algorithm IN ('ES256', 'ES384');

ALTER TABLE signing_keys DROP CONSTRAINT signing_keys_algorithm_is_known;
ALTER TABLE signing_keys ADD CONSTRAINT signing_keys_algorithm_is_known
    CHECK (algorithm IN ('EdDSA', 'HS256', 'RS256', 'PS256'));

ALTER TABLE signing_keys DROP COLUMN revoked_at;
