DROP INDEX webhook_deliveries_tenant;
