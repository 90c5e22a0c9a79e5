use std::{error::Error as StdError, future::Future, path::PathBuf, time::Duration};

use stylobate_notify::{FileTransport, Notifier};

/// How often it is looked for mails in the outbox that are kept no longer.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked for messages whose job was called off or given up, and how long those have been due by then.
const LOOK_EVERY: Duration = Duration::from_secs(300);
const OVERDUE: Duration = Duration::from_secs(600);

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

/// Delivers messages that were left behind, until `stop`: for who works on jobs, and so has what messages are sent with.
pub(crate) async fn deliver_overdue(notifier: &Notifier, stop: impl Future<Output = ()>) {
    let look = async {
        loop {
            // Jitter, so that processes that were started together do not do it together.
            tokio::time::sleep(LOOK_EVERY.mul_f64(0.5 + fastrand::f64())).await;
            match notifier.deliver_overdue(OVERDUE).await {
                Ok(0) => {}
                Ok(found) => tracing::warn!(found, "messages had been left behind"),
                Err(error) => {
                    tracing::warn!(code = error.code(), "no look for messages that were left behind");
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop => {}
        () = look => {}
    }
}
