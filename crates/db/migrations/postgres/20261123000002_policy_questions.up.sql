-- What the tenant_isolation policies ask, once for a statement: written as (SELECT stylobate_tenant()) the answer is a constant of
-- the statement, where stylobate_may_see(tenant_id) is asked again for each row. An unset or empty setting is NULL, which equals
-- nothing, and never the platform.
CREATE FUNCTION stylobate_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULLIF(current_setting('stylobate.tenant', true), '')::uuid;

CREATE FUNCTION stylobate_is_platform() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('stylobate.scope', true) = 'platform', false);
