//! The identity flows, each a set of routes that can be mounted by itself.

mod accounts;
mod cookies;
mod device_cookie;
mod email;
mod forward_auth;
mod jwks;
mod login;
mod mailed_links;
mod me;
mod newcomers;
mod password;
mod recovery;
mod service_tokens;
mod sessions;
mod switch;
mod tokens;

use std::sync::Arc;

use stylobate_auth::Auth;
use stylobate_core::TenantId;
use stylobate_db::{Db, Tx};
use stylobate_tenancy::Tenancy;
use stylobate_tower_middleware::Cookies;

pub use accounts::{AccountError, Accounts, NewAccount, NewProfile, PlainAccounts};
pub use email::email_routes;
pub use forward_auth::{FORWARD_AUTH_HEADERS, forward_auth_routes};
pub use jwks::jwks_routes;
pub use login::{login_routes, logout_routes, refresh_routes};
pub use mailed_links::MailedLinks;
pub use me::{me_routes, whoami_routes};
pub use newcomers::{
    AccountRequest, InvitationQuery, InvitationView, Joined, NewInvitee, Newcomers, Registered, Registration,
    ShownInvitation, newcomer_routes,
};
pub use password::password_routes;
pub use recovery::recovery_routes;
pub use service_tokens::service_token_routes;
pub use sessions::session_routes;
pub use switch::switch_routes;
pub use tokens::{introspection_routes, revocation_routes};

/// What the flows work with.
#[derive(Clone)]
pub struct Flows {
    /// Sign-in, sessions and tokens.
    pub auth: Auth,
    /// Who belongs to which organisation.
    pub tenancy: Arc<Tenancy>,
    /// Where memberships are read from at sign-in.
    pub db: Db,
    /// The cookies that sign-in and refresh set and read.
    pub cookies: Cookies,
}

const TAG: &str = "auth";

/// Keeps an organisation from being deactivated until what begins in it has begun. `false` when nobody may act in it, or it is gone.
async fn hold(tenancy: &Tenancy, tx: &mut Tx, tenant: TenantId) -> Result<bool, stylobate_tenancy::Error> {
    use stylobate_tenancy::Error;

    match tenancy.hold_active(tx, tenant).await {
        Ok(_) => Ok(true),
        Err(Error::OrgInactive | Error::OrgNotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every flow of this crate.
#[must_use]
pub fn identity_routes(flows: &Flows) -> crate::Routes {
    login_routes(flows)
        .and(refresh_routes(flows))
        .and(logout_routes(flows))
        .and(whoami_routes())
        .and(password_routes(flows))
        .and(session_routes(flows))
        .and(switch_routes(flows))
        .and(service_token_routes(flows))
        .and(jwks_routes(&flows.auth))
}
