use stylobate_core::{AuditEvent, Outcome, RequestContext};
use stylobate_db::Tx;

use super::{Auth, AuthError, SCOPE};
use crate::{
    AddressKey,
    flow_limit::{self, FlowKind},
};

impl Auth {
    /// Counts a client that presents a bootstrap secret, and records one that `is_right` says is wrong. Whoever presents the right one
    /// begins anew.
    ///
    /// # Errors
    /// [`AuthError::FlowThrottled`] when the client presented wrong ones too often, whatever it presents now; [`AuthError::Db`].
    pub async fn admit_bootstrap(&self, ctx: &RequestContext, is_right: bool) -> Result<(), AuthError> {
        let (auth, asking, now) = (self.clone(), ctx.clone(), self.inner.clock.now());
        let kind = FlowKind::BootstrapByAddress;
        let count = async move |tx: &mut Tx| {
            // First, and whatever was presented: no number of guesses at once gets past the limit.
            let counted = auth.count_client(tx, kind, &asking, now).await?;
            match counted {
                Ok(()) if is_right => {
                    flow_limit::clear(tx, kind, AddressKey::new(asking.address).as_bytes()).await?;
                }
                Ok(()) => {
                    let event = AuditEvent::new(&asking, "auth.bootstrap_failed", "installation");
                    tx.audit(event.outcome(Outcome::Failure));
                }
                Err(_) => {}
            }
            Ok::<_, AuthError>(counted)
        };
        let counted = self.inner.db.transact(SCOPE, count).await?;
        counted.map_err(|exceeded| AuthError::FlowThrottled { retry_after: exceeded.retry_after })
    }
}
