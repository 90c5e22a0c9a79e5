//! The table of routes and of the names they answer to.

use stylobate::{
    Platform,
    endpoints::{
        Alias, Flows, MetricsAccess, Routes, forward_auth_routes, health_routes, identity_routes,
        introspection_routes, metrics_routes, pool_routes, revocation_routes,
    },
};

use crate::{
    access, admin, api_keys, audit, credentials, events, jobs, links, members, notify, ops, orgs, people,
    service_accounts, sessions, setup, webhooks,
};

/// Every route answers at the root and under these; paths spelled `/v1/…` answer under `/api` with that.
pub(crate) const PREFIXES: &[&str] = &["/api", "/api/v1"];

/// Names that the replaced systems use for routes of ours.
pub(crate) const ALIASES: &[Alias] = &[
    Alias { path: "/auth/me/sessions", canonical: "/auth/sessions" },
    Alias { path: "/auth/me/sessions/{id}", canonical: "/auth/sessions/{id}" },
    Alias { path: "/auth/me/password", canonical: "/auth/password-change" },
    Alias { path: "/v1/auth/login", canonical: "/auth/login" },
    Alias { path: "/v1/auth/refresh", canonical: "/auth/refresh" },
    Alias { path: "/v1/auth/logout", canonical: "/auth/logout" },
    Alias { path: "/v1/auth/me", canonical: "/auth/me" },
    Alias { path: "/v1/auth/password/forgot", canonical: "/auth/password-reset-request" },
    Alias { path: "/v1/auth/password/reset", canonical: "/auth/password-reset" },
    Alias { path: "/auth/forgot-password", canonical: "/auth/password-reset-request" },
    Alias { path: "/auth/reset-password", canonical: "/auth/password-reset" },
    Alias { path: "/rbac/roles", canonical: "/roles" },
    Alias { path: "/rbac/roles/{id}", canonical: "/roles/{id}" },
    Alias { path: "/rbac/permissions", canonical: "/permissions" },
    Alias { path: "/rbac/permissions/{id}", canonical: "/permissions/{id}" },
    Alias { path: "/v1/rbac/roles", canonical: "/roles" },
    Alias { path: "/v1/rbac/roles/{id}", canonical: "/roles/{id}" },
    Alias { path: "/v1/rbac/permissions", canonical: "/permissions" },
    Alias { path: "/v1/rbac/permissions/{id}", canonical: "/permissions/{id}" },
    Alias { path: "/v1/rbac/roles/{id}/permissions", canonical: "/roles/{id}/permissions" },
    Alias {
        path: "/v1/rbac/roles/{id}/permissions/{permission_id}",
        canonical: "/roles/{id}/permissions/{permission_id}",
    },
    Alias { path: "/v1/rbac/users/{id}/roles", canonical: "/people/{id}/roles" },
    Alias { path: "/v1/rbac/users/{id}/roles/{role_id}", canonical: "/people/{id}/roles/{role_id}" },
    Alias { path: "/orgs", canonical: "/v1/orgs" },
    Alias { path: "/orgs/{id}", canonical: "/v1/orgs/{id}" },
    Alias { path: "/orgs/{id}/members", canonical: "/v1/orgs/{id}/members" },
    Alias { path: "/orgs/{id}/members/{person_id}", canonical: "/v1/orgs/{id}/members/{person_id}" },
    Alias { path: "/settings/organization/{id}", canonical: "/v1/orgs/{id}/settings" },
    Alias { path: "/settings/organization/{id}/privacy", canonical: "/v1/orgs/{id}/privacy" },
    Alias { path: "/audit/export", canonical: "/audit-events/export" },
    Alias { path: "/v1/audit/logs", canonical: "/audit-events" },
    Alias { path: "/instances/webhooks", canonical: "/webhooks" },
    Alias { path: "/instances/webhooks/{id}", canonical: "/webhooks/{id}" },
    Alias { path: "/instances/webhooks/{id}/deliveries", canonical: "/webhooks/{id}/deliveries" },
    Alias { path: "/notifications/me", canonical: "/notifications" },
    Alias { path: "/notifications/me/unread-count", canonical: "/notifications/unread-count" },
    Alias { path: "/notifications/me/{id}/read", canonical: "/notifications/{id}/read" },
    Alias { path: "/notifications/me/read-all", canonical: "/notifications/read-all" },
    Alias { path: "/healthz", canonical: "/health" },
    Alias { path: "/readyz", canonical: "/health/ready" },
    Alias { path: "/metrics/prometheus", canonical: "/metrics" },
    #[cfg(feature = "dev-endpoints")]
    Alias { path: "/echo/", canonical: "/echo" },
    #[cfg(feature = "dev-endpoints")]
    Alias { path: "/redis/", canonical: "/redis" },
    #[cfg(feature = "dev-endpoints")]
    Alias { path: "/rabbit/", canonical: "/rabbit" },
    Alias { path: "/swagger-redirect", canonical: "/docs" },
];

pub(crate) fn routes(platform: &Platform) -> Routes {
    let flows = Flows {
        auth: platform.auth().clone(),
        tenancy: platform.tenancy().clone(),
        db: platform.db().clone(),
        cookies: platform.cookies(),
    };
    let scrape = match &platform.settings().metrics_token {
        Some(token) => MetricsAccess::Token(token.clone()),
        None => MetricsAccess::Loopback,
    };
    let people = admin::people(platform);
    let newcomers = links::newcomers(platform, &people);
    let members = members::Members::new(platform, &people, &newcomers);
    let credentials = credentials::Credentials::new(
        platform.db().clone(),
        platform.auth().clone(),
        platform.rbac().clone(),
        people.clone(),
    );
    let sessions = sessions::Sessions::new(
        platform.db().clone(),
        platform.auth().clone(),
        platform.rbac().clone(),
        people.clone(),
    );
    let api_keys = api_keys::ApiKeys::new(
        platform.db().clone(),
        platform.auth().clone(),
        platform.rbac().clone(),
        platform.tenancy().clone(),
        people.clone(),
    );
    let service_accounts = service_accounts::ServiceAccounts::new(
        platform.db().clone(),
        platform.auth().clone(),
        platform.rbac().clone(),
        platform.tenancy().clone(),
    );
    let routes = identity_routes(&flows)
        .and(introspection_routes(platform.auth()))
        .and(revocation_routes(platform.auth()))
        .and(forward_auth_routes())
        .and(links::routes(platform, &newcomers))
        .and(people::routes::routes(&people))
        .and(members::routes(&members))
        .and(credentials::routes(&credentials))
        .and(sessions::routes(&sessions))
        .and(api_keys::own_routes(&api_keys))
        .and(api_keys::routes(&api_keys))
        .and(service_accounts::routes(&service_accounts))
        .and(orgs::routes(platform, &members))
        .and(access::routes(platform))
        .and(audit::routes(platform))
        .and(jobs::routes(platform))
        .and(events::routes(platform))
        .and(webhooks::routes(platform))
        .and(notify::routes(platform))
        .and(health_routes(platform.health().clone()))
        .and(pool_routes(platform.db().clone()))
        .and(metrics_routes(platform.metrics().clone(), scrape))
        .and(ops::version_routes())
        .and(setup::routes(platform));
    #[cfg(feature = "dev-endpoints")]
    let routes = routes.and(crate::diagnostics::routes(platform.settings()));
    ops::with_documents(routes, platform.settings().docs_public)
}
