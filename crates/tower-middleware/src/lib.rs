#![doc = include_str!("../README.md")]

mod api_error;
mod arrival;
mod authenticate;
mod body_limit;
mod catch_panic;
mod client_address;
mod content_policy;
mod cookies;
mod cors;
mod crate_errors;
mod csrf;
mod edge;
mod error;
mod extract;
mod fallback;
mod field_error;
mod future;
mod host;
mod origin;
mod page_query;
mod path_id;
mod permission_guard;
mod problem_table;
mod route_permissions;
mod security_headers;
mod strict_json;
mod strict_query;
mod time_limit;

pub use api_error::{ApiError, ApiResult};
pub use arrival::Arrival;
pub use authenticate::{
    Authenticate, AuthenticateLayer, Authenticator, CredentialRefused, Presented, SessionCookie,
};
pub use body_limit::{BodyLimit, BodyLimitLayer};
pub use catch_panic::{CatchPanic, CatchPanicFuture, CatchPanicLayer};
pub use client_address::{ClientAddress, ForwardingHeader, Scheme, TrustedProxies};
pub use content_policy::{ContentPolicy, CspNonce};
pub use cookies::{Cookies, RefreshCookie, SameSite};
pub use cors::cors_layer;
pub use csrf::{Csrf, CsrfLayer};
pub use edge::{Edge, EdgeFuture, EdgeLayer};
pub use error::Error;
pub use extract::{Context, CurrentPrincipal};
pub use fallback::{method_not_allowed, not_found};
pub use future::AnswerFuture;
pub use host::AllowedHosts;
pub use origin::Origin;
pub use page_query::{ListQuery, PageQuery};
pub use path_id::{PathId, PathIds};
pub use permission_guard::{PermissionGuard, PermissionGuardLayer};
pub use problem_table::{IntoProblem, PROBLEMS, ProblemRow, problem_for};
pub use route_permissions::{Permission, RoutePermissions};
pub use security_headers::{Hsts, SecurityHeaders};
pub use strict_json::StrictJson;
pub use strict_query::StrictQuery;
pub use time_limit::{TimeLimit, TimeLimitFuture, TimeLimitLayer};
