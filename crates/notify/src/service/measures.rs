#[cfg(feature = "metrics")]
mod observe;

use chrono::TimeDelta;
use stylobate_db::Tx;

use super::Notifier;
use crate::{DeliveryState, Medium};

/// What a process has seen of deliveries, for whoever measures. Without the feature `metrics`: nothing.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    #[cfg(feature = "metrics")]
    instruments: std::sync::OnceLock<observe::Instruments>,
    #[cfg(feature = "metrics")]
    seen: std::sync::Arc<parking_lot::Mutex<Option<observe::Seen>>>,
}

impl Notifier {
    /// Notes, once `tx` has committed, how a delivery is left whose message was accepted so long ago; one that is still pending is
    /// to be tried again.
    pub(super) fn note_on_commit(&self, tx: &mut Tx, medium: Medium, left: DeliveryState, age: TimeDelta) {
        #[cfg(feature = "metrics")]
        {
            let this = self.clone();
            tx.on_commit(move || this.inner.measures.record(medium, left, age));
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (self, tx, medium, left, age);
    }
}
