-- Licence fields, what a search looks at, and the state in which an organisation is being deleted.
ALTER TABLE orgs
    ADD COLUMN license_status text NOT NULL DEFAULT 'active'
        CONSTRAINT orgs_license_status CHECK (license_status IN ('active', 'suspended', 'expired')),
    -- In the years that both engines order alike.
    ADD COLUMN purchase_date date
        CONSTRAINT orgs_purchase_date CHECK (purchase_date BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'),
    -- Nobody undoes it, and the organisation every installation has stays.
    ADD COLUMN removal_began_at timestamptz
        CONSTRAINT orgs_removal_began_at CHECK (removal_began_at IS NULL OR (NOT is_active AND NOT is_default)),
    -- Name and code in lower case: lower() of the engines disagree beyond ASCII.
    ADD COLUMN search_key text NOT NULL DEFAULT '';
UPDATE orgs SET search_key = lower(name || ' ' || code);

-- The list of organisations, page by page; all, of one state, or with a licence of one status.
CREATE INDEX orgs_by_time ON orgs (created_at, id);
CREATE INDEX orgs_by_activity ON orgs (is_active, created_at, id);
CREATE INDEX orgs_by_license ON orgs (license_status, created_at, id);
