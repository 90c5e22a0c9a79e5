stylobate_db::migration_set! {
    /// The tables of people, credentials, sessions, revocations, counters, keys, service accounts with their grants and keys, API
    /// keys and used request signatures. None of them is under row-level security: they are read before a tenant is known.
    pub MIGRATIONS = "auth";
    "20261121000001_people_and_sessions",
    "20261121000002_signing_keys",
    "20261121000013_login_guessing",
    "20261121000016_signing_key_revocation",
    "20261121000019_refresh_answers",
    "20261121000022_credential_facts",
    "20261122000001_one_time_tokens",
    "20261122000010_api_keys",
    "20261122000011_request_nonces",
    "20261122000012_service_grants",
    "20261123000301_tenant_end",
    "20261123000302_password_chooser",
    "20261123000401_bootstrap_counters",
    "20261123093500_left_tenants",
    "20261123093501_tokens_of_tenants",
}
