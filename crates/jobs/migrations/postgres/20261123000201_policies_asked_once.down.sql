-- Undoes: whose rows a statement may see is asked once by the statement.
ALTER POLICY tenant_isolation ON jobs USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
ALTER POLICY tenant_isolation ON schedules USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
