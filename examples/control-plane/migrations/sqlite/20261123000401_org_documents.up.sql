-- What organisations have set. A document is a text: it is read and replaced as a whole.
CREATE TABLE org_documents (
    -- The organisation is the tenancy crate's: no foreign key.
    tenant_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    document TEXT NOT NULL,
    -- How often it was replaced.
    version INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    -- Who replaced it last; null when that was no person, or one who is gone.
    updated_by BLOB,
    CONSTRAINT org_documents_pkey PRIMARY KEY (tenant_id, kind),
    CONSTRAINT org_documents_kind_is_known CHECK (kind IN ('settings', 'privacy'))
) STRICT;
-- What is forgotten with a person.
CREATE INDEX org_documents_updated_by ON org_documents (updated_by) WHERE updated_by IS NOT NULL;
