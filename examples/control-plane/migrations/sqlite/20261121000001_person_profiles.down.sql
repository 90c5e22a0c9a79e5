DROP TABLE person_profiles;
