-- How far the removals of organisations are that were asked for. A row goes with its organisation: the job may be called off, given
-- up and forgotten before, and the next one counts on. The organisation is the tenancy crate's: no foreign key.
CREATE TABLE org_removals (
    tenant_id      uuid    NOT NULL,
    people_removed bigint  NOT NULL,
    people_left    bigint  NOT NULL,
    rows_removed   bigint  NOT NULL,
    -- Whether everybody has been told that it is gone.
    is_told        boolean NOT NULL,
    CONSTRAINT org_removals_pkey PRIMARY KEY (tenant_id)
);

ALTER TABLE org_removals ENABLE ROW LEVEL SECURITY;
ALTER TABLE org_removals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON org_removals
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
