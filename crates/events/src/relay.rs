//! Takes what is owed to subscribers.

mod lease;
mod local;
mod turn;

use std::{error::Error as StdError, future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{Events, EventsError, Sink, Subscriber, backoff, guard::guarded, service::TOLD};
use lease::Lease;
use turn::Turn;

/// How a relay works. What is out of its range counts as the nearest that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOptions {
    /// How long at most an event is owed before somebody looks, when nothing told of it. Default 1 s; 10 ms to 1 minute.
    pub poll: Duration,
    /// How long a relay may be silent until another one takes its place. Default 10 s; 100 ms to 10 minutes.
    pub lease: Duration,
    /// How many events are read at once. Default 500; 1 to 5,000.
    pub batch: u16,
    /// After how many attempts a delivery is given up. Default 12: with the default waits about half a day. From 1.
    pub attempts_max: u32,
    /// The wait after the first failed attempt, doubled after each, about. Default 1 s; 1 ms to 1 hour.
    pub retry_base: Duration,
    /// The longest such wait, about. Default 1 hour; at most 1 day.
    pub retry_max: Duration,
    /// How long a [`Subscriber`] may take for one event. Default 30 s; 10 ms to 10 minutes.
    pub timeout: Duration,
    /// How many events, each of another aggregate, a [`Subscriber`] handles at once on PostgreSQL; SQLite writes one at a time.
    /// Default 4; 1 to 64.
    pub concurrency: u16,
    /// Within what time a relay that is told to stop lets what it delivers come to its end. Default 10 s; at most 10 minutes.
    pub drain: Duration,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(10),
            batch: 500,
            attempts_max: 12,
            retry_base: Duration::from_secs(1),
            retry_max: Duration::from_secs(3_600),
            timeout: Duration::from_secs(30),
            concurrency: 4,
            drain: Duration::from_secs(10),
        }
    }
}

impl RelayOptions {
    fn within_range(mut self) -> Self {
        let (hour, minutes) = (Duration::from_secs(3_600), Duration::from_secs(600));
        self.poll = self.poll.clamp(Duration::from_millis(10), Duration::from_secs(60));
        self.lease = self.lease.clamp(Duration::from_millis(100), minutes);
        self.batch = self.batch.clamp(1, 5_000);
        self.attempts_max = self.attempts_max.max(1);
        self.retry_base = self.retry_base.clamp(Duration::from_millis(1), hour);
        self.retry_max = self.retry_max.clamp(self.retry_base, 24 * hour);
        self.timeout = self.timeout.clamp(Duration::from_millis(10), minutes);
        self.concurrency = self.concurrency.clamp(1, 64);
        self.drain = self.drain.min(minutes);
        self
    }
}

/// The waits after an outage began, about: the first, and the longest.
const OUTAGE_BASE: Duration = Duration::from_millis(100);
const OUTAGE_MAX: Duration = Duration::from_secs(5);
/// After so many turns that ended in an outage another process may try whether it fares better.
const OUTAGES_ALONE: u32 = 6;
/// Turns that something told of begin at least so far apart: many commits in a row are one turn.
const GATHER: Duration = Duration::from_millis(5);
/// How often a relay says again which types its subscriber hears.
const ASK_AGAIN: Duration = Duration::from_secs(3_600);

/// Takes what is owed to one subscriber, one relay of a deployment at a time.
///
/// Any number of processes may run one for the same subscriber. One has the lease; the others wait until nothing is heard of
/// it. Two that work at once for a moment, because one was only slow, cost duplicates and neither order nor events.
pub struct Relay {
    events: Events,
    sink: Arc<dyn Sink>,
    options: RelayOptions,
}

impl Relay {
    /// A relay to `sink`.
    #[must_use]
    pub fn new(events: Events, sink: Arc<dyn Sink>, options: RelayOptions) -> Self {
        Self { events, sink, options: options.within_range() }
    }

    /// A relay to a subscriber in this process.
    #[must_use]
    pub fn to_subscriber(events: Events, subscriber: Arc<dyn Subscriber>, options: RelayOptions) -> Self {
        let options = options.within_range();
        let sink = Arc::new(local::Local::new(events.db().clone(), subscriber, &options));
        Self { events, sink, options }
    }

    /// Writes down that the subscriber is to hear its types: whoever needs that before the first event may call it; otherwise
    /// [`run`](Self::run) does.
    ///
    /// # Errors
    /// [`EventsError::Invalid`] when a name is none; [`EventsError::Db`] otherwise.
    pub async fn register(&self) -> Result<(), EventsError> {
        self.events.subscribe(self.sink.name(), &self.sink.types()).await
    }

    /// Registers the subscriber and delivers until `stop` is over; then lets what is under way come to its end and gives the
    /// lease back. Neither errors nor panics end it.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (tell, mut stopped) = watch::channel(false);
        let mut lease = Lease::new(&self.events, self.sink.name().to_owned(), self.options.lease);
        {
            let mut work = Box::pin(self.work(&mut lease, &mut stopped));
            tokio::select! {
                biased;
                () = stop => {
                    tell.send_replace(true);
                    if tokio::time::timeout(self.options.drain, &mut work).await.is_err() {
                        tracing::warn!(subscriber = self.sink.name(), "deliveries did not end in time; they come again");
                    }
                }
                () = &mut work => {}
            }
        }
        let released = tokio::time::timeout(self.options.lease, guarded(lease.release())).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!(
                subscriber = self.sink.name(),
                "the lease could not be given back; others wait until it is over"
            );
        }
    }

    async fn work(&self, lease: &mut Lease, stopped: &mut watch::Receiver<bool>) {
        let name = self.sink.name();
        let mut hints = self.events.db().hints(TOLD);
        let mut heard = self.events.outbox().hear();
        let (mut failures, mut outages) = (0_u32, 0_u32);
        let mut asked_at: Option<Instant> = None;
        while !*stopped.borrow() {
            heard.mark_unchanged();
            let began = Instant::now();
            let is_asked = asked_at.is_some_and(|at| at.elapsed() < ASK_AGAIN);
            let turn = async {
                match asked_at {
                    None => self.register().await?,
                    Some(_) if is_asked => {}
                    Some(_) => self.events.ask_again(name, &self.sink.types()).await?,
                }
                self.turn(lease, stopped).await
            };
            // Boxed: it is large, and `run` is spawned.
            let turn = guarded(Box::pin(turn)).await;
            match &turn {
                Ok(_) => {
                    if !is_asked {
                        asked_at = Some(began);
                    }
                    if failures > 0 {
                        tracing::info!(subscriber = name, "events are relayed again");
                    }
                    failures = 0;
                }
                Err(error) => {
                    if failures == 0 {
                        let error: &dyn StdError = error;
                        tracing::warn!(error, subscriber = name, "no events can be relayed");
                    }
                    failures = failures.saturating_add(1);
                }
            }
            outages = if matches!(turn, Ok(Turn::Outage)) { outages.saturating_add(1) } else { 0 };
            let jitter = fastrand::f64();
            let (wait, is_told) = match turn {
                Ok(Turn::Again) => continue,
                // Jitter, so that relays that were started together do not look together.
                Ok(Turn::Idle { next }) => {
                    let poll = self.options.poll.mul_f64(0.75 + jitter / 4.0);
                    (next.map_or(poll, |next| next.min(poll)), true)
                }
                Ok(Turn::NotMine) => ((self.options.lease / 4).min(self.options.poll), false),
                Ok(Turn::Outage) => {
                    if outages >= OUTAGES_ALONE {
                        // If that fails the lease is over some time later.
                        let _ = guarded(lease.release()).await;
                    }
                    (backoff::wait(OUTAGE_BASE, OUTAGE_MAX, outages, jitter), false)
                }
                Err(_) => (backoff::wait(OUTAGE_BASE, OUTAGE_MAX, failures, jitter), false),
            };
            let told = async {
                tokio::select! {
                    _ = heard.changed() => {}
                    () = hints.next() => {}
                }
                tokio::time::sleep_until(began + GATHER).await;
            };
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = told, if is_told => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}
