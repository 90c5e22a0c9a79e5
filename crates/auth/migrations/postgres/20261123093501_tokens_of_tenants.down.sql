DROP INDEX one_time_tokens_tenant_id;
