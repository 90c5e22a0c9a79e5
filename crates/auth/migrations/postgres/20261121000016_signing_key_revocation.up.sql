-- A key that may have been stolen is withdrawn: from this time on it neither signs nor verifies, whatever its other times say.
ALTER TABLE signing_keys ADD COLUMN revoked_at timestamptz;

-- Keys on the curves of ECDSA are generated too.
ALTER TABLE signing_keys DROP CONSTRAINT signing_keys_algorithm_is_known;
ALTER TABLE signing_keys ADD CONSTRAINT signing_keys_algorithm_is_known
    CHECK (algorithm IN ('EdDSA', 'ES256', 'ES384', 'HS256', 'RS256', 'PS256'));
