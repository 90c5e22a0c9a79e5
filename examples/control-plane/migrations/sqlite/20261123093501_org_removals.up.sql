-- How far the removals of organisations are that were asked for. A row goes with its organisation: the job may be called off, given
-- up and forgotten before, and the next one counts on. The organisation is the tenancy crate's: no foreign key.
CREATE TABLE org_removals (
    tenant_id      blob    NOT NULL PRIMARY KEY,
    people_removed integer NOT NULL,
    people_left    integer NOT NULL,
    rows_removed   integer NOT NULL,
    -- Whether everybody has been told that it is gone.
    is_told        integer NOT NULL CHECK (is_told IN (0, 1))
) STRICT, WITHOUT ROWID;
