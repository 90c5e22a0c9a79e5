//! Planning and delivering what is due, for whoever has no queue of jobs, and for what such a queue left behind.

use std::{
    collections::HashMap,
    future::{Future, pending},
    time::Duration,
};

use chrono::TimeDelta;
use stylobate_core::{MessageDeliveryId, MessageId};
use stylobate_db::Scope;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::Notifier;
use crate::{
    NotifierError,
    store::due::{self, OtherSide},
};

/// How many messages and how many deliveries a turn has at most.
const TURN_MAX: usize = 256;
/// How many deliveries are under way at once, how many of them to one other side, and how many messages are planned beside them.
const DELIVERIES_AT_ONCE: usize = 16;
const TO_ONE_AT_ONCE: usize = 4;
const PLANS_AT_ONCE: usize = 8;

/// How long it takes at most until a message is noticed, and how long nothing is begun after the database failed.
const POLL: Duration = Duration::from_secs(1);
/// How long what is under way has to come to its end: less than what service managers wait for.
const DRAIN: Duration = Duration::from_secs(25);

impl Notifier {
    /// Plans and delivers what is due, up to 256 of each, no more than 4 at once to a channel or by a medium. Returns how many it saw
    /// to.
    ///
    /// # Errors
    /// The database's own, when it cannot be asked what is due. What goes wrong with one of them is logged, and the others go on; it
    /// is put off by 10 s at first and 8 h at last, and given up after 9 times (a message that cannot be planned, after a day).
    pub async fn deliver_due(&self) -> Result<usize, NotifierError> {
        self.deliver_overdue(Duration::ZERO).await
    }

    /// The same with what has been due for `by`: for services whose queue of jobs does it, where a job may have been called off or
    /// given up. Call it every few minutes.
    ///
    /// # Errors
    /// As [`deliver_due`](Self::deliver_due).
    pub async fn deliver_overdue(&self, by: Duration) -> Result<usize, NotifierError> {
        let mut window = Window::new(self, by, TURN_MAX);
        let (mut seen_to, mut filled, mut is_stuck) = (0, Ok(()), false);
        loop {
            if filled.is_ok() && !is_stuck {
                filled = window.fill().await;
            }
            // What was begun comes to its end, whatever else fails.
            let Some(joined) = window.tasks.join_next_with_id().await else {
                return filled.map(|()| seen_to);
            };
            match window.ended(joined).await {
                Ended::SeenTo => seen_to += 1,
                Ended::PutOff => {}
                Ended::Stuck => is_stuck = true,
            }
        }
    }

    /// Plans and delivers as it becomes due, and keeps up, until `stop`: for services without a queue of jobs. What is under way then
    /// has 25 s to come to its end; what does not is made again when its lease has run out.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut window = Window::new(self, Duration::ZERO, usize::MAX);
        tokio::select! {
            biased;
            () = stop => {}
            () = window.roll() => {}
            () = self.keep_up_until(Self::DELIVERIES_KEPT, Self::NOTIFICATIONS_KEPT, pending()) => {}
        }
        let drained = timeout(DRAIN, async { while window.tasks.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(deliveries = window.tasks.len(), "deliveries are left half done");
        }
    }

    async fn put_off(self, due: Due, code: &'static str) -> Result<(), NotifierError> {
        // In a task, so that a panic is told like any error.
        let put_off = tokio::spawn(async move {
            match due {
                Due::Plan(id) => self.put_off_message(id).await,
                Due::Deliver(id) => self.put_off_delivery(id, code).await,
            }
        });
        put_off.await.unwrap_or(Err(NotifierError::Panicked))
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Plan(MessageId),
    Deliver(MessageDeliveryId),
}

/// What became of one that was due.
enum Ended {
    SeenTo,
    /// It failed, and comes back later.
    PutOff,
    /// It failed, and is due still.
    Stuck,
}

/// What is under way: as soon as something ends, something else begins.
struct Window<'a> {
    notifier: &'a Notifier,
    /// How long it has been due at least.
    by: TimeDelta,
    plans_left: usize,
    deliveries_left: usize,
    tasks: JoinSet<Result<(), NotifierError>>,
    under_way: HashMap<Id, (Due, Option<OtherSide>)>,
}

impl<'a> Window<'a> {
    fn new(notifier: &'a Notifier, by: Duration, most: usize) -> Self {
        Self {
            notifier,
            by: TimeDelta::from_std(by).unwrap_or(TimeDelta::days(1)),
            plans_left: most,
            deliveries_left: most,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    async fn roll(&mut self) {
        loop {
            let filled = self.fill().await;
            if let Err(error) = &filled {
                tracing::warn!(code = error.code(), %error, "messages cannot be delivered");
            }
            let mut is_stuck = filled.is_err() || self.tasks.is_empty();
            if let Ok(Some(joined)) = timeout(POLL, self.tasks.join_next_with_id()).await {
                is_stuck |= matches!(self.ended(joined).await, Ended::Stuck);
            }
            while let Some(joined) = self.tasks.try_join_next_with_id() {
                is_stuck |= matches!(self.ended(joined).await, Ended::Stuck);
            }
            if is_stuck {
                sleep(POLL).await;
            }
        }
    }

    /// Begins what is due, as far as there is room.
    async fn fill(&mut self) -> Result<(), NotifierError> {
        const SCOPE: Scope = Scope::Platform("look for messages that are due");
        let time = self.notifier.now() - self.by;
        let db = &self.notifier.inner.db;
        let plans = self.under_way.values().filter(|(_, to)| to.is_none()).count();
        let room = (PLANS_AT_ONCE.saturating_sub(plans)).min(self.plans_left);
        if room > 0 {
            let mut tx = db.begin_read(SCOPE).await?;
            // As many as are under way may be among them.
            let found = due::messages(&mut tx, time, page(PLANS_AT_ONCE)).await?;
            tx.rollback().await?;
            for id in found.into_iter().filter(|id| !self.has(Due::Plan(*id))).take(room).collect::<Vec<_>>()
            {
                self.plans_left -= 1;
                self.begin(Due::Plan(id), None);
            }
        }
        loop {
            let others: Vec<&OtherSide> = self.under_way.values().filter_map(|(_, to)| to.as_ref()).collect();
            let room = DELIVERIES_AT_ONCE.saturating_sub(others.len()).min(self.deliveries_left);
            let is_full =
                |one: &OtherSide| others.iter().filter(|other| **other == one).count() >= TO_ONE_AT_ONCE;
            let mut full: Vec<OtherSide> = Vec::new();
            for one in &others {
                if is_full(one) && !full.contains(one) {
                    full.push((*one).clone());
                }
            }
            if room == 0 {
                return Ok(());
            }
            let mut tx = db.begin_read(SCOPE).await?;
            let found = due::deliveries(&mut tx, time, page(DELIVERIES_AT_ONCE), &full).await?;
            tx.rollback().await?;
            let mut begun = 0;
            for (id, to) in found {
                let to_one = self.under_way.values().filter(|(_, other)| other.as_ref() == Some(&to)).count();
                if begun < room && to_one < TO_ONE_AT_ONCE && !self.has(Due::Deliver(id)) {
                    self.deliveries_left -= 1;
                    self.begin(Due::Deliver(id), Some(to));
                    begun += 1;
                }
            }
            // Else there may be more behind those of another side that has enough now.
            if begun == 0 {
                return Ok(());
            }
        }
    }

    fn has(&self, due: Due) -> bool {
        self.under_way.values().any(|(one, _)| *one == due)
    }

    fn begin(&mut self, due: Due, to: Option<OtherSide>) {
        let notifier = self.notifier.clone();
        let task = self.tasks.spawn(async move {
            match due {
                Due::Plan(id) => notifier.plan(id).await.map(drop),
                Due::Deliver(id) => notifier.deliver(id).await.map(drop),
            }
        });
        self.under_way.insert(task.id(), (due, to));
    }

    async fn ended(&mut self, joined: Result<(Id, Result<(), NotifierError>), JoinError>) -> Ended {
        let (id, done) = joined.unwrap_or_else(|error| (error.id(), Err(NotifierError::Panicked)));
        let Some((due, _)) = self.under_way.remove(&id) else { return Ended::SeenTo };
        let Err(error) = done else { return Ended::SeenTo };
        tracing::warn!(code = error.code(), %error, "a message could not be seen to");
        // The next one would fare no better.
        if matches!(&error, NotifierError::Db(error) if error.is_outage()) {
            return Ended::Stuck;
        }
        match self.notifier.clone().put_off(due, error.code()).await {
            Ok(()) => Ended::PutOff,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "a message could not be put off");
                Ended::Stuck
            }
        }
    }
}

/// So many that all that are under way may be among them.
fn page(at_once: usize) -> i64 {
    i64::try_from(2 * at_once).unwrap_or(i64::MAX)
}
