-- The rule of every tenant_isolation policy. A session that forgot to say whose rows it wants sees none:
-- an unset or empty stylobate.tenant is NULL, and NULL equals nothing.
CREATE FUNCTION stylobate_may_see(tenant uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN tenant = NULLIF(current_setting('stylobate.tenant', true), '')::uuid
    OR current_setting('stylobate.scope', true) = 'platform';
