-- What an organisation notes about its members: its own, and of no other that they belong to. Organisations and people have
-- other owners: no foreign keys to them.
CREATE TABLE member_notes (
    tenant_id  blob NOT NULL,
    person_id  blob NOT NULL,
    notes      text,
    metadata   text,
    updated_at text NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
) STRICT, WITHOUT ROWID;
-- What is forgotten with a person.
CREATE INDEX member_notes_by_person ON member_notes (person_id);

-- What people said about themselves when they came in was kept as `metadata`, and is theirs.
ALTER TABLE person_profiles ADD COLUMN middle_name text;
ALTER TABLE person_profiles ADD COLUMN nationality text;
ALTER TABLE person_profiles ADD COLUMN emergency_number text;
ALTER TABLE person_profiles ADD COLUMN country text;
UPDATE person_profiles
SET middle_name = json_extract(metadata, '$.middle_name'), metadata = NULLIF(json_remove(metadata, '$.middle_name'), '{}')
WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata, '$.middle_name') END = 'text';
UPDATE person_profiles
SET nationality = json_extract(metadata, '$.nationality'), metadata = NULLIF(json_remove(metadata, '$.nationality'), '{}')
WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata, '$.nationality') END = 'text';
UPDATE person_profiles
SET emergency_number = json_extract(metadata, '$.emergency_number'), metadata = NULLIF(json_remove(metadata, '$.emergency_number'), '{}')
WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata, '$.emergency_number') END = 'text';
UPDATE person_profiles
SET country = json_extract(metadata, '$.country'), metadata = NULLIF(json_remove(metadata, '$.country'), '{}')
WHERE CASE WHEN json_valid(metadata) THEN json_type(metadata, '$.country') END = 'text';

INSERT INTO member_notes (tenant_id, person_id, notes, metadata, updated_at)
SELECT m.tenant_id, m.person_id, f.notes, f.metadata, p.updated_at
FROM memberships m
JOIN people p ON p.id = m.person_id
JOIN person_profiles f ON f.person_id = m.person_id
WHERE f.notes IS NOT NULL OR f.metadata IS NOT NULL;
-- The columns are of no use from here on; processes of before still name them.
UPDATE person_profiles SET notes = NULL, metadata = NULL WHERE notes IS NOT NULL OR metadata IS NOT NULL;
