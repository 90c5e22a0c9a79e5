//! Who is told at once when a notification comes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::{Clock, PersonId};
use stylobate_db::{Db, Engine, Scope, Tx};
use tokio::sync::{Notify, watch};

use crate::{
    Notification, NotifierError,
    store::notifications::{self, View},
};

const SCOPE: Scope = Scope::Platform("tell people of their notifications");

/// What processes wake each other by.
const TOPIC: &str = "notifications";
/// How long hints are gathered: transactions with hints commit one after the other on PostgreSQL, and thousands come at once.
const GATHER: Duration = Duration::from_millis(25);
/// How long it takes at most until a notification is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How long a turn is waited with after the one before, however many hints come.
const PAUSE: Duration = Duration::from_millis(50);
/// How far behind the one before a look goes back: longer than any transaction takes to commit after it has drawn its time, and
/// clocks differ.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(60);
/// The same for looks between those once a second: what is found late by these is found by the next of those.
const GLANCE_BACK: TimeDelta = TimeDelta::seconds(2);
/// How much is looked through after an outage. Past that, all who listen are told to look for themselves.
const LOOK_BACK_MAX: TimeDelta = TimeDelta::minutes(10);
/// How many notifications one call returns.
const BATCH: i64 = 100;

/// Whoever listens in this process. One task looks for all of them, for as long as there is anybody.
#[derive(Clone)]
pub(crate) struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    clock: Arc<dyn Clock>,
    listening: Mutex<Listening>,
    is_hint_due: AtomicBool,
    /// Wakes those who look in this process.
    woken: Notify,
}

#[derive(Default)]
struct Listening {
    /// The position of the last notification that is known to be there, for as long as anybody hears of it.
    people: HashMap<PersonId, watch::Sender<u64>>,
    is_looked_for: bool,
}

impl Live {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            db,
            clock,
            listening: Mutex::default(),
            is_hint_due: AtomicBool::new(false),
            woken: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A notification of somebody was committed here: everybody is to look.
    pub(crate) fn changed(&self) {
        if self.shared.db.engine() == Engine::Sqlite {
            // Nobody else serves this database, and a hint would take a turn at its one writer.
            self.shared.woken.notify_one();
            return;
        }
        if self.shared.is_hint_due.swap(true, Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(GATHER).await;
            // What comes from now on is for the next hint.
            shared.is_hint_due.store(false, Ordering::SeqCst);
            let hint = async move |tx: &mut Tx| {
                tx.hint(TOPIC);
                Ok::<_, stylobate_db::Error>(())
            };
            if let Err(error) = shared.db.transact(SCOPE, hint).await {
                // They look once a second anyway.
                tracing::debug!(code = error.code(), %error, "nobody is told of a notification at once");
            }
        });
    }

    /// Changes when there may be another notification of `person`: its value is the position of the last that was looked at.
    pub(crate) fn changes(&self, person: PersonId) -> watch::Receiver<u64> {
        let mut listening = self.shared.listening.lock();
        let heard = listening.people.entry(person).or_default().subscribe();
        if !listening.is_looked_for {
            listening.is_looked_for = true;
            tokio::spawn(look(Arc::clone(&self.shared)));
        }
        heard
    }

    /// The position of the last notification of `person`.
    pub(crate) async fn last_position(&self, person: PersonId) -> Result<i64, NotifierError> {
        let mut tx = self.shared.db.begin_read(SCOPE).await?;
        let last = notifications::last_position(&mut tx, person).await?;
        tx.rollback().await?;
        Ok(last)
    }

    /// What follows `position`, at most 100, oldest first.
    pub(crate) async fn after(&self, view: View, position: i64) -> Result<Vec<Notification>, NotifierError> {
        let mut tx = self.shared.db.begin_read(SCOPE).await?;
        let found = notifications::after(&mut tx, view, position, BATCH).await?;
        tx.rollback().await?;
        Ok(found)
    }
}

/// When it was looked, so that nothing falls between two looks however long the database is away.
struct Looks {
    /// When the last good look began, and when the last that went [`LOOK_BACK`].
    last: DateTime<Utc>,
    last_far: DateTime<Utc>,
}

/// Looks for notifications of those who listen, until nobody does.
async fn look(shared: Arc<Shared>) {
    let mut hints = shared.db.hints(TOPIC);
    let now = shared.clock.now();
    let mut looks = Looks { last: now, last_far: now };
    loop {
        {
            let mut listening = shared.listening.lock();
            listening.people.retain(|_, known| known.receiver_count() > 0);
            if listening.people.is_empty() {
                listening.is_looked_for = false;
                return;
            }
        }
        if let Err(error) = look_once(&shared, &mut looks).await {
            tracing::warn!(code = error.code(), %error, "notifications cannot be looked for");
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = hints.next() => {}
            () = shared.woken.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn look_once(shared: &Shared, looks: &mut Looks) -> Result<(), stylobate_db::Error> {
    let now = shared.clock.now();
    // A clock that was set back counts like one that went on.
    let is_far = (now - looks.last_far).abs() >= TimeDelta::seconds(1);
    let since = if is_far { looks.last_far.min(now) - LOOK_BACK } else { looks.last.min(now) - GLANCE_BACK };
    let is_too_far = now - since > LOOK_BACK_MAX;
    let mut tx = shared.db.begin_read(SCOPE).await?;
    let changed =
        notifications::changed_since(&mut tx, if is_too_far { now - LOOK_BACK } else { since }).await?;
    tx.rollback().await?;
    looks.last = now;
    if is_far {
        looks.last_far = now;
    }
    let listening = shared.listening.lock();
    if is_too_far {
        listening.people.values().for_each(|known| known.send_modify(|_| ()));
    }
    for (person, last) in changed {
        if let Some(known) = listening.people.get(&person) {
            let last = u64::try_from(last).unwrap_or_default();
            known.send_if_modified(|known| {
                let is_news = last > *known;
                *known = last.max(*known);
                is_news
            });
        }
    }
    Ok(())
}
