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

pub(crate) fn routes(platform: &Platform) -> Routes {
    let access = Access {
        rbac: platform.rbac().clone(),
        auth: platform.auth().clone(),
        tenancy: Arc::clone(platform.tenancy()),
        db: platform.db().clone(),
        clock: Arc::clone(platform.clock()),
        is_production: platform.settings().is_production(),
    };
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
