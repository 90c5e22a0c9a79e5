-- Whose rows a statement may see is asked once by the statement, as a subquery is, and not once by each row.
ALTER POLICY tenant_isolation ON notify_messages
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON notify_deliveries
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON notifications
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON notification_channels
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON notify_templates
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON notify_suppressions
    USING (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (lane = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
