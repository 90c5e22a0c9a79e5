use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::{Instant, sleep};

/// How long a connection is kept for the next mail.
const KEPT: Duration = Duration::from_secs(30);
/// How many are kept.
const KEPT_MAX: usize = 4;

/// Connections that wait for the next mail. Only one whose last command was answered comes here: one that was given up in the middle
/// would take the late answer for that of the next command.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<(Instant, AsyncSmtpConnection)>>);

impl Idle {
    /// The one that was used last.
    pub(super) fn take(&self) -> Option<AsyncSmtpConnection> {
        self.forget_old();
        self.lock().pop().map(|(_, connection)| connection)
    }

    pub(super) fn keep(self: &Arc<Self>, connection: AsyncSmtpConnection) {
        if connection.has_broken() {
            return;
        }
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            return;
        }
        kept.push((Instant::now(), connection));
        if kept.len() == 1 {
            // Until none is kept: servers do not like clients that say nothing.
            let idle = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    sleep(KEPT).await;
                    let Some(idle) = idle.upgrade() else { return };
                    if idle.forget_old() {
                        return;
                    }
                }
            });
        }
    }

    /// Says whether none is left.
    fn forget_old(&self) -> bool {
        let mut kept = self.lock();
        kept.retain(|(since, _)| since.elapsed() < KEPT);
        kept.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, AsyncSmtpConnection)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
