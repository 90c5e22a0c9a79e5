-- What the tenant_isolation policies ask:
--   tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0
-- A subquery is asked once for a statement, where stylobate_may_see(tenant_id) is asked for each row. And the planner believes that
-- a number is not 0, but that a boolean is true half the time: it would expect half as many rows of every table behind a wall, and
-- join several of them as if there were hardly any. An unset or empty setting is NULL, which equals nothing, and never the platform.
CREATE FUNCTION stylobate_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULLIF(current_setting('stylobate.tenant', true), '')::uuid;

CREATE FUNCTION stylobate_is_platform() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('stylobate.scope', true) = 'platform', false);
