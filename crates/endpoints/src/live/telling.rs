use std::{collections::VecDeque, sync::Arc, time::Duration};

use stylobate_core::RequestContext;
use stylobate_tower_middleware::ApiError;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Feed, LiveItem};

/// How long a feed that failed is left alone, up to half as long again, so that not all who wait come at once.
const AGAIN_AFTER_MS: u64 = 1_000;

/// What one connection is told, in order.
pub(super) struct Telling {
    feed: Arc<dyn Feed>,
    context: Arc<RequestContext>,
    changes: watch::Receiver<u64>,
    /// The place of what was told last.
    after: String,
    waiting: VecDeque<LiveItem>,
    /// There may be more than what waits.
    is_due: bool,
    not_before: Option<Instant>,
}

impl Telling {
    /// Begins after what was `seen`.
    pub(super) async fn begin(
        feed: Arc<dyn Feed>,
        context: Arc<RequestContext>,
        seen: Option<&str>,
    ) -> Result<Self, ApiError> {
        // First: what comes from now on is heard of.
        let changes = feed.changes(&context);
        let after = feed.begin(&context, seen).await?;
        let waiting = VecDeque::new();
        Ok(Self { feed, context, changes, after, waiting, is_due: true, not_before: None })
    }

    /// The next item, once there is one; `None` when the feed is gone. Safe to give up half-way.
    pub(super) async fn next(&mut self) -> Option<LiveItem> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                self.after.clone_from(&item.id);
                return Some(item);
            }
            if !self.is_due {
                self.changes.changed().await.ok()?;
                self.is_due = true;
            }
            if let Some(not_before) = self.not_before {
                sleep_until(not_before).await;
                self.not_before = None;
            }
            self.changes.mark_unchanged();
            match self.feed.after(&self.context, &self.after).await {
                Ok(items) => {
                    // After a batch there may be another one.
                    self.is_due = !items.is_empty();
                    self.waiting = items.into();
                }
                // Its cause is in the log. It stays due.
                Err(error) => {
                    tracing::warn!(code = %error.problem().code, "what is new could not be read");
                    let wait = AGAIN_AFTER_MS + fastrand::u64(..AGAIN_AFTER_MS / 2);
                    self.not_before = Some(Instant::now() + Duration::from_millis(wait));
                }
            }
        }
    }
}
