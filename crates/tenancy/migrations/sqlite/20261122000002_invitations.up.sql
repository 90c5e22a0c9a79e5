-- Invitations to an organisation. Whoever accepts is found by the token of the link, which is not here.
CREATE TABLE invitations (
    id          BLOB NOT NULL CONSTRAINT invitations_pkey PRIMARY KEY,
    tenant_id   BLOB NOT NULL CONSTRAINT invitations_tenant_id_fkey REFERENCES orgs (id),
    -- As it was typed, and as it is compared.
    email       TEXT NOT NULL,
    email_key   TEXT NOT NULL,
    -- Roles and people have other owners: no foreign keys to them.
    role_id     BLOB,
    invited_by  BLOB,
    status      TEXT NOT NULL CONSTRAINT invitations_status CHECK (status IN ('pending', 'accepted', 'revoked')),
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    accepted_at TEXT,
    accepted_by BLOB,
    -- Who accepted may have gone since.
    CONSTRAINT invitations_accepted CHECK ((status = 'accepted') = (accepted_at IS NOT NULL))
) STRICT;
-- An address has one open invitation to an organisation.
CREATE UNIQUE INDEX invitations_tenant_id_email_key_key ON invitations (tenant_id, email_key) WHERE status = 'pending';
-- The list of an organisation's invitations, page by page.
CREATE INDEX invitations_by_time ON invitations (tenant_id, created_at, id);
-- What is forgotten with a person.
CREATE INDEX invitations_invited_by ON invitations (invited_by);
CREATE INDEX invitations_accepted_by ON invitations (accepted_by);
