//! Who may do what: roles, permissions, and the links between them and people.

mod model;
mod permissions;
mod roles;

use std::sync::Arc;

use stylobate::{db::Db, endpoints::Routes, rbac::Rbac, tenancy::Tenancy};

/// What the handlers of this room work with.
#[derive(Clone)]
struct Access {
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    db: Db,
}

pub(crate) fn routes(rbac: Rbac, tenancy: Arc<Tenancy>, db: Db) -> Routes {
    let access = Access { rbac, tenancy, db };
    roles::routes(&access).and(permissions::routes(&access))
}
