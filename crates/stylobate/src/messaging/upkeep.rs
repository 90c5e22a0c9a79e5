use std::{error::Error as StdError, future::Future, path::PathBuf, time::Duration};

use stylobate_notify::{FileTransport, Notifier};

/// How often it is looked for mails in the outbox that are kept no longer.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Removes what is kept no longer, and measures, until `stop`. Sends nothing.
pub(crate) async fn keep_up(
    notifier: &Notifier,
    outbox: Option<PathBuf>,
    kept: Duration,
    stop: impl Future<Output = ()>,
) {
    let prune_outbox = async {
        let Some(outbox) = outbox.map(FileTransport::new) else { return std::future::pending().await };
        loop {
            tokio::time::sleep(PRUNE_EVERY).await;
            if let Err(error) = outbox.remove_older(kept).await {
                let error: &dyn StdError = &error;
                tracing::warn!(error, "old mails cannot be removed from the outbox");
            }
        }
    };
    tokio::select! {
        biased;
        () = notifier.keep_up_until(kept, Notifier::NOTIFICATIONS_KEPT, stop) => {}
        () = prune_outbox => {}
    }
}
