-- The answer of the latest rotation, for a request that is sent again with its Idempotency-Key: sealed under a key made from
-- that and the presented token, neither of which is stored. Null when the request had none.
ALTER TABLE refresh_families ADD COLUMN sealed_answer bytea;
