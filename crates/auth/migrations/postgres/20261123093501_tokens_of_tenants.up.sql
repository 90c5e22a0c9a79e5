-- What goes with a tenant, and the counting that ends that, go along this and not through the tokens of all tenants. Those of no tenant
-- are not in it.
CREATE INDEX one_time_tokens_tenant_id ON one_time_tokens (tenant_id, id) WHERE tenant_id IS NOT NULL;
