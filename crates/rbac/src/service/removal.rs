//! The end of a tenant's policy.

use std::{num::NonZeroU32, sync::Arc};

use stylobate_core::TenantId;
use stylobate_db::Tx;

use super::Rbac;
use crate::{
    RbacError,
    store::{epochs, removal},
};

impl Rbac {
    /// Removes up to `limit` rows of a tenant that is gone, and tells how many; 0 says that none is left. They are its policy:
    /// assignments, overrides, list entries, groups and who is in them, roles, permissions of its own, casbin's rules, and in a
    /// transaction of its own the epoch. Nothing of it is on record: whoever removes the tenant writes that down.
    ///
    /// The snapshot goes from memory with the commit, and other processes read a policy that gives less with each step. What a
    /// rule denied may be allowed between two of them, so the tenant's sessions and keys have ended before.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, RbacError> {
        // Keeps writers out, and has other processes read the policy anew.
        let epoch = epochs::bump_written(tx, Some(tenant), self.now()).await?;
        let mut removed = removal::delete_some(tx, tenant, limit.get()).await?;
        if removed == 0 {
            removed = epochs::delete(tx, tenant).await?;
        }
        if let Some(epoch) = epoch {
            self.note_on_commit(tx, vec![(Some(tenant), epoch)]);
        }
        let engine = Arc::clone(&self.engine);
        tx.on_commit(move || engine.remove(tenant));
        Ok(removed)
    }
}
