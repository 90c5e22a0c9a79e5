-- Undoes: whose rows a statement may see is asked once by the statement.
ALTER POLICY tenant_isolation ON permissions USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON roles USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON role_permissions USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON role_assignments USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON role_parents USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON permission_overrides USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON acl_entries USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON casbin_rules USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON permission_offers USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
