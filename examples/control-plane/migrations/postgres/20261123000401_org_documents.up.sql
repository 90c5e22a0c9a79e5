-- What organisations have set. A document is a text and not jsonb: it is read and replaced as a whole, and what is read is what
-- was written, whatever the engine.
CREATE TABLE org_documents (
    -- The organisation is the tenancy crate's: no foreign key.
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    document text NOT NULL,
    -- How often it was replaced.
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Who replaced it last; null when that was no person, or one who is gone.
    updated_by uuid,
    CONSTRAINT org_documents_pkey PRIMARY KEY (tenant_id, kind),
    CONSTRAINT org_documents_kind_is_known CHECK (kind IN ('settings', 'privacy'))
);
-- What is forgotten with a person.
CREATE INDEX org_documents_updated_by ON org_documents (updated_by) WHERE updated_by IS NOT NULL;

ALTER TABLE org_documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE org_documents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON org_documents
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
