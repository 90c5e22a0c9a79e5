-- What an organisation notes about its members: its own, and of no other that they belong to. Organisations and people have
-- other owners: no foreign keys to them.
CREATE TABLE member_notes (
    tenant_id  uuid        NOT NULL,
    person_id  uuid        NOT NULL,
    notes      text,
    metadata   text,
    updated_at timestamptz NOT NULL,
    CONSTRAINT member_notes_pkey PRIMARY KEY (tenant_id, person_id)
);
-- What is forgotten with a person.
CREATE INDEX member_notes_by_person ON member_notes (person_id);

ALTER TABLE member_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE member_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON member_notes
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);

-- What people said about themselves when they came in was kept as `metadata`, and is theirs.
ALTER TABLE person_profiles ADD COLUMN middle_name text;
ALTER TABLE person_profiles ADD COLUMN nationality text;
ALTER TABLE person_profiles ADD COLUMN emergency_number text;
ALTER TABLE person_profiles ADD COLUMN country text;
-- What has a NUL in a text is no jsonb, and stays where it is.
UPDATE person_profiles
SET middle_name = metadata::jsonb ->> 'middle_name', metadata = NULLIF((metadata::jsonb - 'middle_name')::text, '{}')
WHERE CASE WHEN strpos(metadata, '\u0000') = 0 THEN jsonb_typeof(metadata::jsonb -> 'middle_name') END = 'string';
UPDATE person_profiles
SET nationality = metadata::jsonb ->> 'nationality', metadata = NULLIF((metadata::jsonb - 'nationality')::text, '{}')
WHERE CASE WHEN strpos(metadata, '\u0000') = 0 THEN jsonb_typeof(metadata::jsonb -> 'nationality') END = 'string';
UPDATE person_profiles
SET emergency_number = metadata::jsonb ->> 'emergency_number', metadata = NULLIF((metadata::jsonb - 'emergency_number')::text, '{}')
WHERE CASE WHEN strpos(metadata, '\u0000') = 0 THEN jsonb_typeof(metadata::jsonb -> 'emergency_number') END = 'string';
UPDATE person_profiles
SET country = metadata::jsonb ->> 'country', metadata = NULLIF((metadata::jsonb - 'country')::text, '{}')
WHERE CASE WHEN strpos(metadata, '\u0000') = 0 THEN jsonb_typeof(metadata::jsonb -> 'country') END = 'string';

INSERT INTO member_notes (tenant_id, person_id, notes, metadata, updated_at)
SELECT m.tenant_id, m.person_id, f.notes, f.metadata, p.updated_at
FROM memberships m
JOIN people p ON p.id = m.person_id
JOIN person_profiles f ON f.person_id = m.person_id
WHERE f.notes IS NOT NULL OR f.metadata IS NOT NULL;
-- The columns are of no use from here on; processes of before still name them.
UPDATE person_profiles SET notes = NULL, metadata = NULL WHERE notes IS NOT NULL OR metadata IS NOT NULL;
