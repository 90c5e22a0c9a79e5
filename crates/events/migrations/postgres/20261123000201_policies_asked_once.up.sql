-- Whose rows a statement may see is asked once by the statement, as a subquery is, and not once by each row.
ALTER POLICY tenant_isolation ON event_aggregates
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON events
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON event_dead_letters
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON webhook_endpoints
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON webhook_deliveries
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
