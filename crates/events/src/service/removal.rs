use std::num::NonZeroU32;

use stylobate_core::TenantId;
use stylobate_db::Tx;

use super::Events;
use crate::{EventsError, store::removal};

impl Events {
    /// Removes up to `limit` rows of a tenant that is gone, and tells how many; 0 says that none is left but those that something
    /// waits for: events that somebody is still owed, and the last event of all until another one comes after it. They are its
    /// webhooks with their deliveries, its dead letters and its events. The transaction's scope is
    /// [`Scope::Platform`](stylobate_db::Scope), and the tenant emits nothing any more.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, EventsError> {
        Ok(removal::remove_of(tx, tenant.as_uuid(), i64::from(limit.get())).await?)
    }
}
