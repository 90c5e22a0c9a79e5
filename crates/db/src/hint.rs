use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Hears that something has changed: wakes a loop that would otherwise look only once in a while.
///
/// A *hint* names a topic and says nothing else; whoever hears it looks for itself. Transactions give hints with
/// [`Tx::hint`](crate::Tx::hint), [`Db::hints`](crate::Db::hints) hears them. Rules:
/// 1. A hint comes after the commit of its transaction, and not at all when that rolls back.
/// 2. Hints may be lost (a connection broke, a pooler between is no session) and may come without a cause. Looking once
///    in a while stays the guarantee.
/// 3. Any number of hints of one topic while nobody waits are one.
///
/// On PostgreSQL they reach all processes, by `NOTIFY`; on SQLite the clones of one handle.
#[derive(Debug)]
pub struct Hints {
    heard: watch::Receiver<()>,
}

impl Hints {
    /// Waits for the next hint, or returns at once when one came since the last call. Safe to give up half-way.
    pub async fn next(&mut self) {
        if self.heard.changed().await.is_err() {
            // The database is gone, and with it everybody who could hint.
            std::future::pending::<()>().await;
        }
    }
}

/// Who waits for which topic.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    senders: Mutex<HashMap<&'static str, watch::Sender<()>>>,
}

impl Topics {
    fn senders(&self) -> MutexGuard<'_, HashMap<&'static str, watch::Sender<()>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hear(&self, topic: &'static str) -> Hints {
        let heard = self.senders().entry(topic).or_insert_with(|| watch::channel(()).0).subscribe();
        Hints { heard }
    }

    pub(crate) fn wake(&self, topic: &str) {
        if let Some(sender) = self.senders().get(topic) {
            sender.send_replace(());
        }
    }

    /// After a time in which hints may have been missed.
    #[cfg(feature = "postgres")]
    pub(crate) fn wake_all(&self) {
        self.senders().values().for_each(|sender| {
            sender.send_replace(());
        });
    }
}
