//! Routes whose answer goes on: what is new is told as it comes, over a WebSocket (RFC 6455) or as a stream of server-sent
//! events (WHATWG HTML §9.2).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stylobate_core::{BoxFuture, RequestContext};
use stylobate_tower_middleware::{ApiError, LiveConnections};
use tokio::sync::watch;

mod socket;
mod stream;
mod telling;

/// How many items a [`Feed`] is asked for at a time.
pub const LIVE_BATCH: u32 = 100;

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveItem {
    /// Its place in what is told: whoever comes back with it is told what follows. No longer than 64 visible ASCII characters.
    pub id: String,
    /// What kind of thing it is: `type` in a message of a socket, `event` in a stream. A name that the program chooses.
    pub kind: &'static str,
    /// What it says.
    pub data: Value,
}

/// What is told, and to whom.
pub trait Feed: Send + Sync + 'static {
    /// The place where a connection begins for whoever asks: the one that was `seen`, but no further than that of the newest item,
    /// and that one for those who have seen nothing. A place that means nothing is refused with a 422 of the field `after`.
    ///
    /// The future fails with what the route is to answer.
    fn begin<'a>(
        &'a self,
        context: &'a RequestContext,
        seen: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ApiError>>;

    /// What follows `after`, oldest first, at most [`LIVE_BATCH`]; nothing when there is no more.
    ///
    /// When the future fails, it is asked again about a second later.
    fn after<'a>(
        &'a self,
        context: &'a RequestContext,
        after: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LiveItem>, ApiError>>;

    /// Changes when there may be something new for whoever asks. It may change for no reason, and one change may stand for many.
    fn changes(&self, context: &RequestContext) -> watch::Receiver<u64>;
}

/// The query of live routes.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct LiveQuery {
    /// The `id` of the last item that was seen: what follows is told first. Left out, only what is new is told.
    after: Option<String>,
}

/// What the live routes of one feed share.
#[derive(Clone)]
pub struct LiveRoutes {
    connections: LiveConnections,
    feed: Arc<dyn Feed>,
}

impl LiveRoutes {
    /// Tells what `feed` has over `connections`.
    #[must_use]
    pub fn new(connections: LiveConnections, feed: Arc<dyn Feed>) -> Self {
        Self { connections, feed }
    }
}

impl std::fmt::Debug for LiveRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveRoutes").field("connections", &self.connections).finish_non_exhaustive()
    }
}
