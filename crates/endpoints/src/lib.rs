//! Mountable axum routers, one per flow, with permission and OpenAPI document on every route.

mod flows;
#[cfg(feature = "live")]
mod live;
mod operations;
mod paths;
mod routes;

pub use flows::{
    AccountError, AccountRequest, Accounts, FORWARD_AUTH_HEADERS, Flows, InvitationQuery, InvitationView,
    Joined, MailedLinks, NewAccount, NewInvitee, NewProfile, Newcomers, PlainAccounts, Registered,
    Registration, ShownInvitation, email_routes, forward_auth_routes, identity_routes, introspection_routes,
    jwks_routes, login_routes, logout_routes, me_routes, newcomer_routes, password_routes, recovery_routes,
    refresh_routes, revocation_routes, service_token_routes, session_routes, switch_routes, whoami_routes,
};
#[cfg(feature = "live")]
pub use live::{Feed, LIVE_BATCH, LiveItem, LiveQuery, LiveRoutes};
#[cfg(feature = "metrics")]
pub use operations::{MetricsAccess, metrics_routes};
pub use operations::{health_routes, pool_routes};
pub use paths::{Alias, PathFuture, PathService, PathTable, PathTableInvalid};
pub use routes::{ApiInfo, Route, RouteRow, Routes};
pub use stylobate_tower_middleware::Permission;
