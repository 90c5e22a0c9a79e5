//! Hints across processes: `NOTIFY` at the commit, and one connection that listens.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::task::AbortHandle;

use crate::hint::Topics;

/// The channel of all topics: they are the payload, so that one connection hears them all.
const CHANNEL: &str = "stylobate_hints";
/// How long to wait before listening again after the connection broke, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The task that listens, from the first time that somebody wants to hear.
#[derive(Debug, Default)]
pub(crate) struct Listener(OnceLock<AbortHandle>);

impl Listener {
    /// Listens, unless that goes on already. The connection is not one of `pool`, which may be small and busy.
    pub(crate) fn start(&self, pool: &PgPool, topics: &Arc<Topics>) {
        self.0.get_or_init(|| {
            let own = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(CONNECT_TIMEOUT)
                .connect_lazy_with((*pool.connect_options()).clone());
            tokio::spawn(listen_for_ever(own, Arc::clone(topics))).abort_handle()
        });
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The statement that gives hints when its transaction commits. PostgreSQL itself leaves out what is said twice.
pub(crate) fn notify(topics: &[&'static str]) -> String {
    let mut statement = String::new();
    for topic in topics {
        statement.push_str("SELECT pg_notify('");
        statement.push_str(CHANNEL);
        statement.push_str("', '");
        statement.push_str(&topic.replace('\'', "''"));
        statement.push_str("'); ");
    }
    statement
}

async fn listen_for_ever(pool: PgPool, topics: Arc<Topics>) {
    let mut pause = PAUSE_MIN;
    loop {
        if let Err(error) = listen(&pool, &topics, &mut pause).await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "hints of other processes are not heard");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until the connection breaks.
async fn listen(pool: &PgPool, topics: &Topics, pause: &mut Duration) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    *pause = PAUSE_MIN;
    // What was said until now was not heard.
    topics.wake_all();
    while let Some(hint) = listener.try_recv().await? {
        topics.wake(hint.payload());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_topic_is_text_and_nothing_else() {
        assert_eq!(super::notify(&[]), "");
        assert_eq!(super::notify(&["o'clock"]), "SELECT pg_notify('stylobate_hints', 'o''clock'); ");
    }
}
