-- Whose rows a statement may see is asked once by the statement, as a subquery is, and not once by each row.
ALTER POLICY tenant_isolation ON permissions
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON roles
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON role_permissions
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON role_assignments
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON role_parents
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON permission_overrides
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON acl_entries
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON casbin_rules
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
ALTER POLICY tenant_isolation ON permission_offers
    USING (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0)
    WITH CHECK (tenant_id = (SELECT stylobate_tenant()) OR (SELECT stylobate_is_platform()::int) <> 0);
