use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use stylobate_db::{Scope, Tx};
use tokio::{sync::watch, time::Instant};

use super::{Relay, lease::Lease};
use crate::{
    Delivery, Envelope, EventsError, Outcome, Refused, Report, backoff,
    guard::guarded,
    record::{ERROR_MAX, shortened},
    sink::Place,
    store::{
        owed::{self, Batch},
        settle::{self, Ending},
    },
};

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more.
    Again,
    /// There is nothing more before `next`, if at all.
    Idle { next: Option<Duration> },
    /// Another relay works for the subscriber.
    NotMine,
    /// The subscriber cannot be reached.
    Outage,
}

const SCOPE: Scope = Scope::Platform("relay events");
/// So many ends, or those of so long a time, are written at once: an event that is confirmed and not written down comes again
/// when the relay dies.
const ENDS_MAX: usize = 500;
const ENDS_FOR: Duration = Duration::from_millis(50);
/// The longest wait that a subscriber may ask for.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// The deliveries of a batch, by aggregate: an event is tried when the one before it is through.
struct Lanes {
    lanes: VecDeque<VecDeque<Arc<Delivery>>>,
}

impl Lanes {
    /// `deliveries` in order.
    fn of(deliveries: Vec<Arc<Delivery>>) -> Self {
        let mut positions = HashMap::new();
        let mut lanes: VecDeque<VecDeque<_>> = VecDeque::new();
        for delivery in deliveries {
            let position = *positions.entry(delivery.place.aggregate).or_insert_with(|| {
                lanes.push_back(VecDeque::new());
                lanes.len() - 1
            });
            if let Some(lane) = lanes.get_mut(position) {
                lane.push_back(delivery);
            }
        }
        Self { lanes }
    }

    /// The next wave: at most `most` deliveries, each of another aggregate.
    fn wave(&mut self, most: usize) -> Vec<Arc<Delivery>> {
        let taken = most.clamp(1, self.lanes.len().max(1));
        let mut wave = Vec::with_capacity(taken);
        for _ in 0..taken.min(self.lanes.len()) {
            let Some(mut lane) = self.lanes.pop_front() else { break };
            wave.extend(lane.pop_front());
            self.lanes.push_back(lane);
        }
        wave
    }

    /// Forgets lanes that are empty, and the rest of `stopped` aggregates.
    fn close(&mut self, stopped: &HashSet<i64>) {
        self.lanes.retain(|lane| lane.front().is_some_and(|next| !stopped.contains(&next.place.aggregate)));
    }
}

impl Relay {
    /// Reads what may be delivered now, and delivers it.
    pub(super) async fn turn(
        &self,
        lease: &mut Lease,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Turn, EventsError> {
        if !lease.hold().await? {
            return Ok(Turn::NotMine);
        }
        let now = self.events.clock().now().trunc_subsecs(6);
        let name = self.sink.name();
        let mut tx = self.events.db().begin_read(SCOPE).await?;
        let read = self.read(&mut tx, now).await;
        tx.rollback().await?;
        let Read { batch, rows, missing, next } = read?;
        let is_all = !batch.has_more && batch.behind.is_empty() && batch.stale.is_empty();
        if !batch.behind.is_empty() || !batch.stale.is_empty() {
            let (name, behind, stale) = (name.to_owned(), batch.behind, batch.stale);
            let put_aside = async move |tx: &mut Tx| {
                settle::park(tx, &name, &behind).await?;
                Ok::<_, EventsError>(settle::advance(tx, &name, &stale, now).await?)
            };
            self.events.db().transact(SCOPE, put_aside).await?;
        }
        if batch.due.is_empty() {
            return Ok(if is_all { Turn::Idle { next } } else { Turn::Again });
        }
        let mut ends = Ends::default();
        ends.list.extend(missing.into_iter().map(|place| (place, Ending::Done)));
        let mut deliveries = Vec::with_capacity(rows.len());
        let mut stopped_aggregates = HashSet::new();
        for (row, owed) in rows {
            if stopped_aggregates.contains(&owed.place.aggregate) {
                continue;
            }
            if owed.attempts == 0 {
                self.events.measures().picked_up(name, now - row.written_at);
            }
            match Envelope::try_from(row) {
                Ok(event) => {
                    let attempt = u32::try_from(owed.attempts).unwrap_or(u32::MAX).saturating_add(1);
                    deliveries.push(Arc::new(Delivery { event, attempt, place: owed.place }));
                }
                // Nobody will be able to read it. Those behind it come with the next batch.
                Err(error) => {
                    self.count("dead");
                    stopped_aggregates.insert(owed.place.aggregate);
                    let end = Ending::Dead { attempts: owed.attempts, error: error.to_string() };
                    ends.list.push((owed.place, end));
                }
            }
        }
        // What the batch is of could not be read: it would be the same again at once.
        if deliveries.is_empty() && ends.list.is_empty() {
            return Ok(Turn::Idle { next });
        }
        let is_whole = stopped_aggregates.is_empty();
        let turn = self.deliver(lease, stopped, Lanes::of(deliveries), &mut ends).await;
        self.write(&mut ends).await?;
        Ok(match turn? {
            Some(turn) => turn,
            None if is_all && is_whole => Turn::Idle { next },
            None => Turn::Again,
        })
    }

    /// Delivers wave by wave. Returns how the turn ends, unless all of it was delivered.
    async fn deliver(
        &self,
        lease: &mut Lease,
        stopped: &watch::Receiver<bool>,
        mut lanes: Lanes,
        ends: &mut Ends,
    ) -> Result<Option<Turn>, EventsError> {
        // Whether something is left that was not held up by another event, and whether anything came to an end.
        let (mut left_open, mut has_ended) = (false, false);
        loop {
            let wave = lanes.wave(self.sink.wave_max());
            if wave.is_empty() {
                // Nothing known of anything, and no reason: not to be asked again at once.
                let turn = if has_ended { Turn::Again } else { Turn::Outage };
                return Ok(left_open.then_some(turn));
            }
            let Report { outcomes, outage } = self.deliver_wave(lease, &wave).await?;
            let mut outcomes = outcomes.into_iter();
            let mut stop = HashSet::new();
            let now = self.events.clock().now().trunc_subsecs(6);
            for delivery in &wave {
                let outcome = outcomes.next().unwrap_or(Outcome::Unknown);
                match self.end_of(delivery, outcome, now) {
                    Some(end @ Ending::Held { .. }) => {
                        (left_open, has_ended) = (true, true);
                        stop.insert(delivery.place.aggregate);
                        ends.add(delivery.place, end);
                    }
                    Some(end) => {
                        has_ended = true;
                        lease.delivered(now);
                        ends.add(delivery.place, end);
                    }
                    None => {
                        left_open = true;
                        stop.insert(delivery.place.aggregate);
                    }
                }
            }
            lanes.close(&stop);
            if ends.are_urgent() {
                self.write(ends).await?;
            }
            let is_out = outage.is_some();
            self.events.note_outage(self.sink.name(), outage);
            if is_out {
                return Ok(Some(Turn::Outage));
            }
            if !lease.is_held() && !lease.hold().await? {
                return Ok(Some(Turn::NotMine));
            }
            if *stopped.borrow() {
                return Ok(Some(Turn::Again));
            }
        }
    }

    /// Delivers a wave, and says meanwhile that the relay lives.
    async fn deliver_wave(&self, lease: &mut Lease, wave: &[Arc<Delivery>]) -> Result<Report, EventsError> {
        let beats = async {
            let tick = self.options.lease / 4;
            loop {
                tokio::time::sleep(tick).await;
                // Whether it is lost is asked when the wave is through: what is under way comes to its end.
                if !matches!(guarded(lease.hold()).await, Ok(true)) {
                    tokio::time::sleep(tick).await;
                }
            }
        };
        let deliver = async { Ok(self.sink.deliver(wave).await) };
        tokio::select! {
            biased;
            report = guarded(deliver) => match report {
                // Its events are not to blame for certain, and are not given up for it.
                Err(EventsError::Panicked) => Ok(Report::outage("it panicked")),
                report => report,
            },
            () = beats => Err(EventsError::Panicked),
        }
    }

    /// How a delivery ends; `None` when it stays as it is.
    fn end_of(&self, delivery: &Delivery, outcome: Outcome, now: DateTime<Utc>) -> Option<Ending> {
        match outcome {
            Outcome::Delivered => {
                self.count("delivered");
                Some(Ending::Done)
            }
            Outcome::Settled => {
                self.count("delivered");
                Some(Ending::Removed)
            }
            Outcome::Unknown => None,
            Outcome::Refused(refused) => Some(self.end_of_refused(delivery, &refused, now)),
        }
    }

    fn end_of_refused(&self, delivery: &Delivery, refused: &Refused, now: DateTime<Utc>) -> Ending {
        let attempts = i64::from(delivery.attempt);
        let error = shortened(&refused.to_string(), ERROR_MAX);
        let subscriber = self.sink.name();
        if refused.is_final() || delivery.attempt >= self.options.attempts_max {
            self.count("dead");
            tracing::warn!(subscriber, event = %delivery.event.id, kind = delivery.event.kind, attempts, "an event is given up");
            return Ending::Dead { attempts, error };
        }
        self.count("refused");
        tracing::info!(subscriber, event = %delivery.event.id, kind = delivery.event.kind, attempts, "an event was refused");
        let wait =
            backoff::wait(self.options.retry_base, self.options.retry_max, delivery.attempt, fastrand::f64());
        let wait = wait.max(refused.wait().unwrap_or_default().min(WAIT_MAX));
        let due_at = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(1));
        Ending::Held { attempts, due_at: due_at.trunc_subsecs(6), error }
    }

    fn count(&self, outcome: &'static str) {
        self.events.measures().delivered(self.sink.name(), outcome);
    }

    async fn write(&self, ends: &mut Ends) -> Result<(), EventsError> {
        let list = std::mem::take(&mut ends.list);
        ends.since = None;
        // What the sink has removed from what was ready leaves nothing to write.
        let is_nothing = |(place, end): &(Place, Ending)| *end == Ending::Removed && !place.is_held;
        if list.iter().all(is_nothing) {
            return Ok(());
        }
        let now = self.events.clock().now().trunc_subsecs(6);
        let name = self.sink.name().to_owned();
        let write =
            async move |tx: &mut Tx| Ok::<_, EventsError>(settle::settle(tx, &name, &list, now).await?);
        self.events.db().transact(SCOPE, write).await
    }

    async fn read(&self, tx: &mut Tx, now: DateTime<Utc>) -> Result<Read, EventsError> {
        let name = self.sink.name();
        let mut batch = owed::read(tx, name, now, self.options.batch.into()).await?;
        let mut next = None;
        if batch.due.is_empty() {
            let due_at = owed::next_due(tx, name).await?;
            next = due_at.map(|due_at| (due_at - now).to_std().unwrap_or_default());
            return Ok(Read { batch, rows: Vec::new(), missing: Vec::new(), next });
        }
        let most = usize::from(self.options.batch);
        batch.has_more |= batch.due.len() > most;
        batch.due.truncate(most);
        let ordinals: Vec<i64> = batch.due.iter().map(|owed| owed.place.ordinal).collect();
        let found = owed::load(tx, &ordinals).await?;
        let mut missing = Vec::new();
        if found.len() < ordinals.len() {
            let there: HashSet<i64> = owed::present(tx, &ordinals).await?.into_iter().collect();
            let places = batch.due.iter().map(|owed| owed.place);
            missing.extend(places.filter(|place| !there.contains(&place.ordinal)));
            batch.has_more |= found.len() + missing.len() < ordinals.len();
        }
        let by_ordinal: HashMap<i64, owed::Owed> =
            batch.due.iter().map(|owed| (owed.place.ordinal, *owed)).collect();
        let rows = found
            .into_iter()
            .filter_map(|row| by_ordinal.get(&row.ordinal).map(|owed| (row, *owed)))
            .collect();
        if batch.due.iter().any(|owed| owed.place.is_held) || !batch.has_more {
            let due_at = owed::next_due(tx, name).await?;
            next = due_at.map(|due_at| (due_at - now).to_std().unwrap_or_default());
        }
        Ok(Read { batch, rows, missing, next })
    }
}

/// What a turn has to do.
struct Read {
    batch: Batch,
    rows: Vec<(crate::record::EventRow, owed::Owed)>,
    /// Deliveries of events that there are no longer.
    missing: Vec<Place>,
    /// How long the next wait still lasts.
    next: Option<Duration>,
}

/// Ends that are not written yet.
#[derive(Default)]
struct Ends {
    list: Vec<(Place, Ending)>,
    since: Option<Instant>,
    is_failure: bool,
}

impl Ends {
    fn add(&mut self, place: Place, end: Ending) {
        self.since.get_or_insert_with(Instant::now);
        self.is_failure |= matches!(end, Ending::Held { .. } | Ending::Dead { .. });
        self.list.push((place, end));
    }

    /// Whether they have to be written before the next wave. Those of failures do: were they forgotten, the event would be told
    /// after those behind it.
    fn are_urgent(&mut self) -> bool {
        std::mem::take(&mut self.is_failure)
            || self.list.len() >= ENDS_MAX
            || self.since.is_some_and(|since| since.elapsed() >= ENDS_FOR)
    }
}
