-- Whose rows a statement may see is asked once by the statement, as a subquery is, and not once by each row.
ALTER POLICY tenant_isolation ON jobs
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON schedules
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
