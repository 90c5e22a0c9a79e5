-- Licence fields, what a search looks at, and the state in which an organisation is being deleted.
ALTER TABLE orgs ADD COLUMN license_status TEXT NOT NULL DEFAULT 'active'
    CONSTRAINT orgs_license_status CHECK (license_status IN ('active', 'suspended', 'expired'));
-- In the years that both engines order alike.
ALTER TABLE orgs ADD COLUMN purchase_date TEXT
    CONSTRAINT orgs_purchase_date CHECK (purchase_date BETWEEN '0001-01-01' AND '9999-12-31');
-- Nobody undoes it, and the organisation every installation has stays.
ALTER TABLE orgs ADD COLUMN removal_began_at TEXT
    CONSTRAINT orgs_removal_began_at CHECK (removal_began_at IS NULL OR (is_active = 0 AND is_default = 0));
-- Name and code in lower case: lower() of the engines disagree beyond ASCII.
ALTER TABLE orgs ADD COLUMN search_key TEXT NOT NULL DEFAULT '';
UPDATE orgs SET search_key = lower(name || ' ' || code);

-- The list of organisations, page by page; all, of one state, or with a licence of one status.
CREATE INDEX orgs_by_time ON orgs (created_at, id);
CREATE INDEX orgs_by_activity ON orgs (is_active, created_at, id);
CREATE INDEX orgs_by_license ON orgs (license_status, created_at, id);
