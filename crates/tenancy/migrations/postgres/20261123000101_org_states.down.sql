DROP INDEX orgs_by_license;
DROP INDEX orgs_by_activity;
DROP INDEX orgs_by_time;
ALTER TABLE orgs
    DROP COLUMN search_key,
    DROP COLUMN removal_began_at,
    DROP COLUMN purchase_date,
    DROP COLUMN license_status;
