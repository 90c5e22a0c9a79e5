DROP INDEX orgs_by_license;
DROP INDEX orgs_by_activity;
DROP INDEX orgs_by_time;
ALTER TABLE orgs DROP COLUMN search_key;
ALTER TABLE orgs DROP COLUMN removal_began_at;
ALTER TABLE orgs DROP COLUMN purchase_date;
ALTER TABLE orgs DROP COLUMN license_status;
