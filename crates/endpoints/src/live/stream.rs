use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use stylobate_tower_middleware::{
    ApiError, Context, CurrentPrincipal, LiveConnection, ServerConnection, StrictQuery, TrustedOrigin,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{LiveItem, LiveQuery, LiveRoutes, telling::Telling};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Comments that keep proxies from closing what is silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long a client may take to read what was written before.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to read the rest, once the stream has ended.
const END_WITHIN: Duration = Duration::from_secs(1);

impl LiveRoutes {
    /// The handler of a route with a stream of server-sent events. `Last-Event-ID`, which browsers send when they come back, goes
    /// before `after`. The stream ends when the credential does, and when the process stops; browsers come back by themselves.
    /// Whoever takes longer than 10 s to read is disconnected, where the server has a [`ServerConnection`].
    ///
    /// # Errors
    /// 401; 403 `csrf` for pages of other origins; those of the feed; 429 `too_many_connections`; 503 `draining`.
    pub async fn stream(
        State(routes): State<Self>,
        server: Option<Extension<ServerConnection>>,
        headers: HeaderMap,
        context: Context,
        _principal: CurrentPrincipal,
        _origin: TrustedOrigin,
        StrictQuery(query): StrictQuery<LiveQuery>,
    ) -> Result<Response, ApiError> {
        let connection = routes.connections.open(&headers, &context.principal)?;
        let last = headers.get(LAST_EVENT_ID).and_then(|last| last.to_str().ok());
        let seen = last.or(query.after.as_deref());
        let telling = Telling::begin(routes.feed, context.into_inner(), seen).await?;
        // Boxed: a channel makes room for 32 at once, however few it takes.
        let (items, taken) = mpsc::channel::<Box<LiveItem>>(1);
        let (is_read, read) = oneshot::channel::<Infallible>();
        let server = server.map(|Extension(server)| server);
        tokio::spawn(tell(telling, connection, items, read, server));
        let events = stream::unfold((taken, is_read), |(mut taken, is_read)| async move {
            let LiveItem { id, kind, data } = *taken.recv().await?;
            let event = Event::default().id(id).event(kind).data(data.to_string());
            Some((Ok::<_, Infallible>(event), (taken, is_read)))
        });
        let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE));
        let mut response = sse.into_response();
        // `Sse` says `no-cache`, which lets caches keep what one person is told.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Tells what there is until the connection has to end. It is a task of its own: a body is not asked for more while what it said
/// before is unread, and a client that does not read must not outlive its session.
async fn tell(
    mut telling: Telling,
    mut connection: LiveConnection,
    items: mpsc::Sender<Box<LiveItem>>,
    read: oneshot::Receiver<Infallible>,
    server: Option<ServerConnection>,
) {
    let told = async {
        loop {
            let item = tokio::select! {
                () = items.closed() => return,
                item = telling.next() => item,
            };
            let Some(item) = item else { return };
            if !matches!(timeout(READ_WITHIN, items.send(Box::new(item))).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _ = connection.ended() => {}
        () = told => {}
    }
    drop(items);
    // The body goes when it is read to its end, or with the connection.
    if timeout(END_WITHIN, read).await.is_err()
        && let Some(server) = server
    {
        server.abort();
    }
}
