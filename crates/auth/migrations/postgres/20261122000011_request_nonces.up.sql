-- Signatures of requests that were used: the row that one process inserts keeps all others from accepting the same again. Not
-- of a tenant: whose key it is shows only afterwards.
CREATE TABLE request_nonces (
    -- The name of the key, as the signature gives it.
    key_id text COLLATE "C" NOT NULL,
    -- SHA-256 of what tells the signature apart from all others of its key.
    nonce_digest bytea NOT NULL,
    -- No signature with it is accepted later.
    expires_at timestamptz NOT NULL,
    CONSTRAINT request_nonces_pkey PRIMARY KEY (key_id, nonce_digest),
    CONSTRAINT request_nonces_digest_whole CHECK (length(nonce_digest) = 32)
);
CREATE INDEX request_nonces_expires_at ON request_nonces (expires_at);
