use std::num::NonZeroU32;

use stylobate_core::TenantId;
use stylobate_db::Tx;

use crate::{
    Jobs, JobsError,
    store::{schedules, upkeep},
};

impl Jobs {
    /// Removes up to `limit` rows of a tenant that is gone, and tells how many; 0 says that none is left but those that something
    /// waits for: jobs in the queues `kept`, without which something else would not come to its end. They are its schedules and
    /// jobs, whatever has become of these. Who works on one finds its lease gone and writes nothing. The transaction's scope is
    /// the tenant's or the platform's.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        kept: &[&str],
        limit: NonZeroU32,
    ) -> Result<u64, JobsError> {
        let most = i64::from(limit.get());
        // First: they ask for further jobs.
        let removed = schedules::remove_of(tx, tenant.as_uuid(), most).await?;
        if removed > 0 {
            return Ok(removed);
        }
        Ok(upkeep::remove_of(tx, tenant.as_uuid(), kept, most).await?)
    }
}
