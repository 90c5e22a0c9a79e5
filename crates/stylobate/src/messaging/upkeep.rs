use std::{error::Error as StdError, future::Future, path::PathBuf, time::Duration};

use stylobate_notify::{FileTransport, Notifier};

/// How often it is looked for what is kept no longer.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked for messages whose job was called off or given up, and how long those have been due by then.
const LOOK_EVERY: Duration = Duration::from_secs(300);
const OVERDUE: Duration = Duration::from_secs(600);
/// How often it is looked at what is pending, for metrics.
#[cfg(feature = "metrics")]
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Sees to messages that were left behind, and removes what is kept no longer, until `stop`.
pub(crate) async fn keep_up(
    notifier: &Notifier,
    outbox: Option<PathBuf>,
    kept: Duration,
    stop: impl Future<Output = ()>,
) {
    let outbox = outbox.map(FileTransport::new);
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
    let prune = async {
        loop {
            tokio::time::sleep(PRUNE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
            match notifier.keep_up(kept, Notifier::NOTIFICATIONS_KEPT).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old messages are removed"),
                Err(error) => {
                    let error: &dyn StdError = &error;
                    tracing::warn!(error, "old messages cannot be removed");
                }
            }
            if let Some(outbox) = &outbox
                && let Err(error) = outbox.remove_older(kept).await
            {
                let error: &dyn StdError = &error;
                tracing::warn!(error, "old mails cannot be removed from the outbox");
            }
        }
    };
    let measure = async {
        #[cfg(feature = "metrics")]
        loop {
            if let Err(error) = notifier.measure().await {
                tracing::warn!(code = error.code(), "what is pending cannot be measured");
            }
            tokio::time::sleep(MEASURE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
        }
        #[cfg(not(feature = "metrics"))]
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = stop => {}
        () = measure => {}
        () = look => {}
        () = prune => {}
    }
}
