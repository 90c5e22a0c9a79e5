use stylobate_core::TenantId;
use stylobate_db::Tx;

use crate::{
    Jobs, JobsError,
    store::{schedules, upkeep},
};

impl Jobs {
    /// Removes up to `most` schedules and jobs of a tenant that is gone, whatever has become of them, and returns how many; 0 says
    /// that nothing is left but what waits in the queues `kept`: for jobs without which something else would not come to its end.
    /// Who works on one of them finds its lease gone and writes nothing. The transaction's scope is the tenant's or the
    /// platform's.
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        kept: &[&str],
        most: u32,
    ) -> Result<u64, JobsError> {
        // First: they ask for further jobs.
        let removed = schedules::remove_of(tx, tenant.as_uuid(), i64::from(most)).await?;
        if removed > 0 {
            return Ok(removed);
        }
        Ok(upkeep::remove_of(tx, tenant.as_uuid(), kept, i64::from(most)).await?)
    }
}
