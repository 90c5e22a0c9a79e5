-- A profile has room for what one organisation notes.
UPDATE person_profiles SET
    notes = (SELECT n.notes FROM member_notes n WHERE n.person_id = person_profiles.person_id
             ORDER BY n.tenant_id LIMIT 1),
    metadata = (SELECT n.metadata FROM member_notes n WHERE n.person_id = person_profiles.person_id
                ORDER BY n.tenant_id LIMIT 1);
UPDATE person_profiles SET metadata = (COALESCE(metadata, '{}')::jsonb || jsonb_strip_nulls(jsonb_build_object(
    'middle_name', middle_name, 'nationality', nationality, 'emergency_number', emergency_number, 'country', country)))::text
WHERE middle_name IS NOT NULL OR nationality IS NOT NULL OR emergency_number IS NOT NULL OR country IS NOT NULL;
ALTER TABLE person_profiles DROP COLUMN country;
ALTER TABLE person_profiles DROP COLUMN emergency_number;
ALTER TABLE person_profiles DROP COLUMN nationality;
ALTER TABLE person_profiles DROP COLUMN middle_name;
DROP TABLE member_notes;
