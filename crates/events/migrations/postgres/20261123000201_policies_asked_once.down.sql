-- Undoes: whose rows a statement may see is asked once by the statement.
ALTER POLICY tenant_isolation ON event_aggregates USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON events USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON event_dead_letters USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON webhook_endpoints USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON webhook_deliveries USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
