-- Invitations to an organisation. What a tenant owns is under row-level security; whoever accepts is found by the token of the
-- link, which is not here.
CREATE TABLE invitations (
    id          uuid        CONSTRAINT invitations_pkey PRIMARY KEY,
    tenant_id   uuid        NOT NULL CONSTRAINT invitations_tenant_id_fkey REFERENCES orgs (id),
    -- As it was typed, and as it is compared.
    email       text        NOT NULL,
    email_key   text        COLLATE "C" NOT NULL,
    -- Roles and people have other owners: no foreign keys to them.
    role_id     uuid,
    invited_by  uuid,
    status      text        NOT NULL CONSTRAINT invitations_status CHECK (status IN ('pending', 'accepted', 'revoked')),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid,
    -- Who accepted may have gone since.
    CONSTRAINT invitations_accepted CHECK ((status = 'accepted') = (accepted_at IS NOT NULL))
);
-- An address has one open invitation to an organisation.
CREATE UNIQUE INDEX invitations_tenant_id_email_key_key ON invitations (tenant_id, email_key) WHERE status = 'pending';
-- The list of an organisation's invitations, page by page.
CREATE INDEX invitations_by_time ON invitations (tenant_id, created_at, id);
-- What is forgotten with a person.
CREATE INDEX invitations_invited_by ON invitations (invited_by);
CREATE INDEX invitations_accepted_by ON invitations (accepted_by);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON invitations
    USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
