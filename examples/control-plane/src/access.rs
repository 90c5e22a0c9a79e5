//! Who may do what: roles, permissions, the links between them and people, groups of people, exceptions beside them, and the
//! questions that they answer.

mod exceptions;
mod group_roles;
mod groups;
mod links;
mod model;
mod operations;
mod parents;
mod permissions;
mod questions;
mod roles;
mod service_roles;
mod subject_roles;
mod target;
mod what_if;

use std::sync::Arc;

use stylobate::{
    Platform,
    auth::Auth,
    core::{Clock, RequestContext},
    db::Db,
    endpoints::Routes,
    middleware::PolicyEpoch,
    rbac::{Rbac, Written},
    tenancy::Tenancy,
};

use crate::refused::Refused;

/// What the handlers of this room work with.
#[derive(Clone)]
struct Access {
    rbac: Rbac,
    auth: Auth,
    tenancy: Arc<Tenancy>,
    db: Db,
    clock: Arc<dyn Clock>,
    is_production: bool,
}

impl Access {
    fn new(platform: &Platform) -> Self {
        Self {
            rbac: platform.rbac().clone(),
            auth: platform.auth().clone(),
            tenancy: Arc::clone(platform.tenancy()),
            db: platform.db().clone(),
            clock: Arc::clone(platform.clock()),
            is_production: platform.settings().is_production(),
        }
    }
}

/// Brings what is missing of permissions and default roles into the database, for every organisation.
pub(crate) async fn seed(platform: &Platform) -> Result<(), Refused> {
    Access::new(platform).seed_all(&RequestContext::system("seed-rbac")).await.map(drop)
}

pub(crate) fn routes(platform: &Platform) -> Routes {
    let access = Access::new(platform);
    roles::routes(&access)
        .and(permissions::routes(&access))
        .and(service_roles::routes(&access))
        .and(groups::routes(&access))
        .and(group_roles::routes(&access))
        .and(links::routes(&access))
        .and(exceptions::routes(&access))
        .and(parents::routes(&access))
        .and(questions::routes(&access))
        .and(what_if::routes(&access))
        .and(operations::routes(&access))
}

/// What a change of the policy of the caller's organisation has written, and the header that says since which epoch it
/// counts.
fn written<T>(context: &RequestContext, written: Written<T>) -> (PolicyEpoch, T) {
    (PolicyEpoch { owner: context.principal.tenant, epoch: written.epoch }, written.value)
}
