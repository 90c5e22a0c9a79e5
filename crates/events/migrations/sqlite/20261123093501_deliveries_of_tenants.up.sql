-- What goes with a tenant, and the counting that ends that, go along this and not through the deliveries of all tenants: an endpoint may
-- be gone before its deliveries, so they are not found by it. A delivery is a row with a body, which one entry more costs little.
CREATE INDEX webhook_deliveries_tenant ON webhook_deliveries (tenant_id, id);
