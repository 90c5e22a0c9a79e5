use chrono::TimeDelta;
use stylobate_core::{AuditEvent, RequestContext};
use stylobate_db::{Scope, Tx};

use super::Rbac;
use crate::{RbacError, Swept, store::expired};

/// How many rows of each kind one transaction of a sweep removes: few enough that nobody waits for it.
const BATCH_ROWS: i64 = 500;

impl Rbac {
    /// Removes assignments, overrides and access control list entries that expired longer than `kept` ago, in transactions of
    /// 500 rows each. They have had no effect since, so no epoch changes; until then they tell an administrator what
    /// somebody has lost. 30 days are a good time to keep them. Any process may call it, at any time.
    ///
    /// # Errors
    /// The database's own; what was removed before stays so.
    pub async fn sweep_expired(&self, context: &RequestContext, kept: TimeDelta) -> Result<Swept, RbacError> {
        let before = self.now() - kept.max(TimeDelta::zero());
        let mut swept = Swept::default();
        loop {
            let asking = context.clone();
            let sweep = async move |tx: &mut Tx| -> Result<Swept, RbacError> {
                let batch = expired::sweep(tx, before, BATCH_ROWS).await?;
                if batch.total() > 0 {
                    let event = AuditEvent::new(&asking, "rbac.sweep", "policy").in_tenant(None);
                    tx.audit(event.change(None::<()>, Some(batch)));
                }
                Ok(batch)
            };
            let batch = self.db.transact(Scope::Platform("sweep expired access rules"), sweep).await?;
            swept.assignments += batch.assignments;
            swept.overrides += batch.overrides;
            swept.acl_entries += batch.acl_entries;
            let counts = [batch.assignments, batch.overrides, batch.acl_entries];
            // A batch that is not full has met the end, or rows that others are changing.
            if counts.iter().all(|count| *count < BATCH_ROWS.unsigned_abs()) {
                return Ok(swept);
            }
        }
    }
}
