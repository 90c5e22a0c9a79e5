//! Who may do what: roles, permissions, the links between them and people, exceptions beside them, and the questions that
//! they answer.

mod model;
mod operations;
mod permissions;
mod questions;
mod roles;
mod target;
mod what_if;

use std::sync::Arc;

use stylobate::{Platform, db::Db, endpoints::Routes, rbac::Rbac, tenancy::Tenancy};

/// What the handlers of this room work with.
#[derive(Clone)]
struct Access {
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    db: Db,
    is_production: bool,
}

pub(crate) fn routes(platform: &Platform) -> Routes {
    let access = Access {
        rbac: platform.rbac().clone(),
        tenancy: Arc::clone(platform.tenancy()),
        db: platform.db().clone(),
        is_production: platform.settings().is_production(),
    };
    roles::routes(&access)
        .and(permissions::routes(&access))
        .and(questions::routes(&access))
        .and(what_if::routes(&access))
        .and(operations::routes(&access))
}
