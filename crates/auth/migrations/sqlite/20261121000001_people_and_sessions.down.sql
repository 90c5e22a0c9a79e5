DROP TABLE setup_tokens;
DROP TABLE login_counters;
DROP TABLE revocations;
DROP TABLE refresh_families;
DROP TABLE sessions;
DROP TABLE credentials;
DROP TABLE people;
