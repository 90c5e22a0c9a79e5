-- Undoes: whose rows a statement may see is asked once by the statement.
ALTER POLICY tenant_isolation ON notify_messages USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON notify_deliveries USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON notifications USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON notification_channels USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON notify_templates USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
ALTER POLICY tenant_isolation ON notify_suppressions USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));
