use stylobate_core::TenantId;
use stylobate_db::Tx;

use super::Events;
use crate::{EventsError, store::removal};

impl Events {
    /// Removes up to `most` rows of what there is of a tenant that is gone: its webhooks with their deliveries, its dead letters,
    /// and its events as far as everybody has heard them. Returns how many went; 0 says that nothing is left but events that
    /// somebody is still owed: those are told before they go, so ask again later. The last event of all stays too, until
    /// another one comes after it. The transaction's scope is [`Scope::Platform`](stylobate_db::Scope), and the tenant emits
    /// nothing any more.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        most: u32,
    ) -> Result<u64, EventsError> {
        Ok(removal::remove_of(tx, tenant.as_uuid(), i64::from(most)).await?)
    }
}
