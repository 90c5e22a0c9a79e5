use std::sync::Arc;

use stylobate_core::{Clock, TenantId};
use stylobate_db::Scope;

use crate::Error;

/// Organisations and who belongs to them. Works inside the caller's transaction and records every change with it.
///
/// Who may change what is decided by the caller; the tenant it passes comes from the principal, never from a request's
/// body. A transaction in a tenant's scope changes that tenant only; reading or removing those of a person
/// over all tenants needs [`Scope::Platform`].
#[derive(Debug, Clone)]
pub struct Tenancy {
    clock: Arc<dyn Clock>,
}

impl Tenancy {
    /// A service that dates changes by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// Where the present comes from.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// Row-level security holds this on PostgreSQL; held here as well, both engines answer alike.
pub(crate) fn own(scope: Scope, tenant: TenantId) -> Result<(), Error> {
    match scope.tenant() {
        Some(own) if own != tenant => Err(Error::ForeignTenant),
        _ => Ok(()),
    }
}
