use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, SystemClock};
use stylobate_db::{Participant, Tx};
use stylobate_events::{
    AmqpUrl, Broker, Delivery, Envelope, Events, Kept, Outbox, Outcome, Publisher, PublisherOptions, Refused,
    Relay, RelayOptions, Report, Sink, Subscriber, Types,
};

use super::{
    note::{self, KIND},
    task::connected,
};
use crate::strike::{Strike, write_line};

/// The subscriber in process.
pub(super) const HEARER: &str = "chaos-hearer";

/// Where in the life of a delivery its process is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Point {
    /// The batch is read, and nothing is published.
    Read,
    /// Some of it is on its way to the broker.
    Publishing,
    /// The broker has confirmed, and the outbox does not know.
    Confirmed,
    /// The outbox is being told, or has been.
    Settling,
    /// A handler in process has done its work, which is not committed.
    Handled,
    /// Its work is being committed, or has been.
    Committing,
}

impl Point {
    pub(super) const ALL: [Self; 6] =
        [Self::Read, Self::Publishing, Self::Confirmed, Self::Settling, Self::Handled, Self::Committing];

    /// The `n`th, round and round.
    pub(super) fn nth(n: u32) -> Self {
        Self::ALL[n as usize % Self::ALL.len()]
    }

    fn is_in_process(self) -> bool {
        matches!(self, Self::Handled | Self::Committing)
    }
}

/// One strike to come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Blow {
    pub(super) point: Point,
    pub(super) strike: Strike,
    /// How often its point is passed before.
    pub(super) after: u32,
}

/// What a relay process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Relaying {
    pub(super) lease_ms: u64,
    pub(super) broker: String,
    /// What it does to itself, one after the other.
    pub(super) blows: VecDeque<Blow>,
}

impl Relaying {
    pub(super) async fn work(self, url: &str) {
        let outbox = Arc::new(Outbox::new(note::catalogue(), Arc::new(SystemClock)));
        let participants: [Arc<dyn Participant>; 1] = [Arc::<Outbox>::clone(&outbox)];
        let db = connected(url, &participants).await;
        let events = Events::new(db, outbox, Arc::new(SystemClock));
        let fate = Arc::new(Fate { blows: Mutex::new(self.blows) });
        let struck = Struck { publisher: publisher(&self.broker), fate: Arc::clone(&fate) };
        let options = RelayOptions {
            lease: Duration::from_millis(self.lease_ms),
            poll: Duration::from_millis(250),
            // Nothing is given up here: whatever fails, fails because of what is done to the broker.
            attempts_max: u32::MAX,
            retry_base: Duration::from_millis(50),
            retry_max: Duration::from_millis(500),
            ..RelayOptions::default()
        };
        let hearer = Arc::new(Hearer { fate });
        let to_broker = Relay::new(events.clone(), Arc::new(struck), options.clone());
        let to_hearer = Relay::to_subscriber(events.clone(), hearer, options);
        tokio::join!(
            to_broker.run(std::future::pending()),
            to_hearer.run(std::future::pending()),
            events.keep_up(Kept::default(), std::future::pending())
        );
    }
}

pub(super) fn publisher(broker: &str) -> Publisher {
    let broker = Broker::new(AmqpUrl::parse(broker).expect("the address of a broker"));
    Publisher::new(broker, &note::catalogue(), PublisherOptions::default()).expect("a publisher")
}

/// What the process still does to itself.
struct Fate {
    blows: Mutex<VecDeque<Blow>>,
}

impl Fate {
    /// The next blow, when one of `points` is its own and has been passed often enough.
    fn due(&self, is_in_process: bool) -> Option<Blow> {
        let mut blows = self.blows.lock().unwrap_or_else(PoisonError::into_inner);
        let next = blows.front_mut().filter(|next| next.point.is_in_process() == is_in_process)?;
        if next.after > 0 {
            next.after -= 1;
            return None;
        }
        blows.pop_front()
    }

    /// Keeps one for the next time.
    fn put_off(&self, blow: Blow) {
        self.blows.lock().unwrap_or_else(PoisonError::into_inner).push_front(blow);
    }
}

impl Blow {
    fn fall(self) {
        let Self { point, strike, .. } = self;
        let word = if strike == Strike::Kill { "killed" } else { "froze" };
        write_line(&format!("{word} {point:?}"));
        strike.happen();
    }

    /// Within the few milliseconds that it takes to write, or before, or after.
    fn fall_soon(self) {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(..5_000))).await;
            self.fall();
        });
    }
}

/// A publisher whose process is struck.
struct Struck {
    publisher: Publisher,
    fate: Arc<Fate>,
}

impl Sink for Struck {
    fn name(&self) -> &str {
        self.publisher.name()
    }

    fn types(&self) -> Types {
        self.publisher.types()
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let blow = self.fate.due(false);
            let at = |point| blow.filter(|blow| blow.point == point);
            if let Some(blow) = at(Point::Read) {
                blow.fall();
            }
            let mut deliver = pin!(self.publisher.deliver(wave));
            if let Some(blow) = at(Point::Publishing) {
                let soon = Duration::from_micros(fastrand::u64(..2_000));
                // When all is confirmed before, it comes a moment late.
                if let Ok(report) = tokio::time::timeout(soon, &mut deliver).await {
                    blow.fall();
                    return report;
                }
                blow.fall();
            }
            let report = deliver.await;
            let is_any = report.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Delivered));
            match blow {
                Some(blow) if blow.point == Point::Confirmed && is_any => blow.fall(),
                Some(blow) if blow.point == Point::Settling && is_any => blow.fall_soon(),
                Some(blow) if matches!(blow.point, Point::Confirmed | Point::Settling) => {
                    self.fate.put_off(blow);
                }
                _ => {}
            }
            report
        })
    }
}

/// Notes what it hears, in a process that is struck.
struct Hearer {
    fate: Arc<Fate>,
}

impl Subscriber for Hearer {
    fn name(&self) -> &'static str {
        HEARER
    }

    fn types(&self) -> Types {
        Types::named([KIND])
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            let n = note::number_in(event).ok_or_else(|| Refused::never("it has no number"))?;
            tx.q("INSERT INTO chaos_heard (n, sequence) VALUES ($1, $2)")
                .bind(n)
                .bind(i64::try_from(event.sequence).unwrap_or(i64::MAX))
                .run()
                .await?;
            match self.fate.due(true) {
                Some(blow) if blow.point == Point::Handled => blow.fall(),
                Some(blow) => blow.fall_soon(),
                None => {}
            }
            Ok(())
        })
    }
}
