use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, middleware::map_request, routing::get};
use serde_json::json;
use stylobate_core::{BoxFuture, Credential, PersonId, Principal, RequestContext, SystemClock};
use stylobate_endpoints::{Feed, LIVE_BATCH, LiveItem, LiveRoutes};
use stylobate_observability::Shutdown;
use stylobate_tower_middleware::{
    ApiError, AuthenticateLayer, Authenticator, CredentialRefused, CsrfLayer, EdgeLayer, LiveConnections,
    LiveLimits, Presented, ServerConnection, SessionCookie,
};
use tokio::{net::TcpListener, sync::watch};
use tower::ServiceBuilder;

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(8);

/// A service with numbers to tell, to whoever has the token `a.b.c` or the session `ada`.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) connections: LiveConnections,
    pub(super) app: Router,
    /// How many connections hold their place in the server.
    pub(super) places: Arc<AtomicUsize>,
    judge: Arc<Judge>,
    numbers: Arc<Numbers>,
}

impl World {
    pub(super) async fn start(limits: LiveLimits) -> Self {
        let (judge, shutdown) = (Arc::new(Judge::default()), Shutdown::default());
        let connections = LiveConnections::new(judge.clone(), SessionCookie::Host, shutdown.clone(), limits);
        let numbers = Arc::new(Numbers::default());
        let routes = LiveRoutes::new(connections.clone(), numbers.clone());
        let origin = "https://app.example".parse().unwrap();
        let layers = ServiceBuilder::new()
            .layer(EdgeLayer::new(Arc::new(SystemClock)))
            .layer(AuthenticateLayer::new(judge.clone()))
            .layer(CsrfLayer::new([&origin]).unwrap());
        let router = Router::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "the routes alone, without the permissions of a product"
        )]
        let router =
            router.route("/socket", get(LiveRoutes::socket)).route("/stream", get(LiveRoutes::stream));
        let app = router.with_state(routes).layer(layers);
        let places = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&places);
        let served = app.clone().layer(map_request(move |mut request: Request| {
            request.extensions_mut().insert(ServerConnection::new(Place::take(&taken)));
            std::future::ready(request)
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let draining = shutdown.token();
        tokio::spawn(async move {
            let served = served.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, served).with_graceful_shutdown(draining.cancelled_owned()).await
        });
        Self { address, shutdown, connections, app, places, judge, numbers }
    }

    /// Tells numbers up to `last`.
    pub(super) fn count_to(&self, last: u32) {
        *self.numbers.last.lock().unwrap() = last;
        self.numbers.changed.send_modify(|changes| *changes += 1);
    }

    pub(super) fn revoke(&self) {
        self.judge.0.store(1, Ordering::SeqCst);
    }

    pub(super) fn restore(&self) {
        self.judge.0.store(0, Ordering::SeqCst);
    }

    /// Breaks the feed, has `last` counted to, and mends it without another word once it has failed those who asked.
    pub(super) async fn fail_to_count_to(&self, last: u32) {
        let failures = self.numbers.failures.load(Ordering::SeqCst);
        self.numbers.is_broken.store(true, Ordering::SeqCst);
        self.count_to(last);
        let failing = async {
            while self.numbers.failures.load(Ordering::SeqCst) == failures {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, failing).await.expect("nobody asks the feed");
        self.numbers.is_broken.store(false, Ordering::SeqCst);
    }

    /// Waits until no connection is open.
    pub(super) async fn is_left(&self) {
        let left = async {
            while self.connections.count() > 0 || self.places.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, left).await.expect("places are not given back");
    }

    /// How often somebody began.
    pub(super) fn beginnings(&self) -> usize {
        self.numbers.beginnings.load(Ordering::SeqCst)
    }
}

struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>) -> Self {
        places.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Judge(AtomicU8);

impl Authenticator for Judge {
    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>> {
        let person = PersonId::from_uuid(uuid::Uuid::from_u128(7));
        let credential = match presented {
            Presented::Bearer("a.b.c") => Some(Credential::Bearer),
            Presented::Session("ada") => Some(Credential::Cookie),
            _ => None,
        };
        let credential = credential.filter(|_| self.0.load(Ordering::SeqCst) == 0);
        Box::pin(async move {
            let credential = credential.ok_or(CredentialRefused::Invalid)?;
            Ok(Principal { credential, ..Principal::person(person) })
        })
    }
}

struct Numbers {
    last: Mutex<u32>,
    changed: watch::Sender<u64>,
    is_broken: AtomicBool,
    failures: AtomicUsize,
    beginnings: AtomicUsize,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            changed: watch::Sender::new(0),
            is_broken: AtomicBool::new(false),
            failures: AtomicUsize::new(0),
            beginnings: AtomicUsize::new(0),
        }
    }
}

impl Feed for Numbers {
    fn begin<'a>(
        &'a self,
        _: &'a RequestContext,
        seen: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ApiError>> {
        Box::pin(async move {
            self.beginnings.fetch_add(1, Ordering::SeqCst);
            let last = *self.last.lock().unwrap();
            let Some(seen) = seen else { return Ok(last.to_string()) };
            match seen.parse::<u32>() {
                Ok(seen) => Ok(seen.min(last).to_string()),
                Err(_) => Err(ApiError::field("after", "invalid", "is no place")),
            }
        })
    }

    fn after<'a>(
        &'a self,
        _: &'a RequestContext,
        after: &'a str,
    ) -> BoxFuture<'a, Result<Vec<LiveItem>, ApiError>> {
        Box::pin(async move {
            if self.is_broken.load(Ordering::SeqCst) {
                self.failures.fetch_add(1, Ordering::SeqCst);
                return Err(stylobate_core::Problem::new(503, "database_unavailable").into());
            }
            let (after, last) = (after.parse::<u32>().unwrap(), *self.last.lock().unwrap());
            let item = |n: u32| LiveItem { id: n.to_string(), kind: "number", data: json!({ "n": n }) };
            // Fewer than may be: that says nothing about whether there are more.
            Ok((after + 1..=last).take(LIVE_BATCH as usize / 2).map(item).collect())
        })
    }

    fn changes(&self, _: &RequestContext) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
