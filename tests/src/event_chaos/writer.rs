use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, SystemClock};
use stylobate_db::{ConstraintKind, Db, Error, Participant, Pending, Takes, Tx};
use stylobate_events::{Events, Kept, Outbox};

use super::{
    note::{self, Note},
    task::connected,
};
use crate::strike::{Strike, now_ms, write_line};

/// What a writer process does: it tells of the notes `from` to `to`, and ends or dies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Writing {
    pub(super) writer: u32,
    pub(super) from: u32,
    /// Not told of any more.
    pub(super) to: u32,
    pub(super) seed: u64,
    /// Where it kills itself in its last transaction.
    pub(super) crash: Option<Crash>,
}

/// Where in a transaction its process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Crash {
    /// Its events and what is owed of them are written and not committed.
    Uncommitted,
    /// The database has acknowledged the commit, and nobody has heard of it.
    Committed,
}

/// Kills its process at `place`, if that is where it is to die, in its last transaction.
struct Striker {
    place: Crash,
    crash: Option<Crash>,
    is_last: Arc<AtomicBool>,
}

impl Striker {
    fn reach(&self, place: Crash, pending: &Pending) {
        if self.place == place && self.crash == Some(place) && self.is_last.load(Ordering::Relaxed) {
            let numbers: Vec<String> =
                pending.events.iter().filter_map(|event| Some(event.data.get("n")?.to_string())).collect();
            write_line(&format!("crash {place:?} {} {}", now_ms(), numbers.join(" ")));
            Strike::Kill.happen();
        }
    }
}

impl Participant for Striker {
    fn takes(&self) -> Takes {
        Takes::default()
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, pending: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        self.reach(Crash::Uncommitted, pending);
        Box::pin(async { Ok(()) })
    }

    fn after_commit(&self, pending: &Pending) {
        self.reach(Crash::Committed, pending);
    }
}

impl Writing {
    pub(super) async fn work(self, url: &str) {
        let is_last = Arc::new(AtomicBool::new(false));
        let striker = |place| Arc::new(Striker { place, crash: self.crash, is_last: Arc::clone(&is_last) });
        let outbox = Arc::new(Outbox::new(note::catalogue(), Arc::new(SystemClock)));
        // One hears of a commit before the outbox does, and wakes nobody; the other comes after what the outbox writes.
        let participants: [Arc<dyn Participant>; 3] =
            [striker(Crash::Committed), Arc::<Outbox>::clone(&outbox), striker(Crash::Uncommitted)];
        let db = connected(url, &participants).await;
        let events = Events::new(db.clone(), outbox, Arc::new(SystemClock));
        tokio::select! {
            () = events.keep_up(Kept::default(), std::future::pending()) => {}
            () = self.tell(&db, &is_last) => {}
        }
    }

    async fn tell(&self, db: &Db, is_last: &AtomicBool) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut next = self.from;
        while next < self.to {
            let until = (next + random.u32(1..=4)).min(self.to);
            let notes: Vec<Note> = (next..until).map(|n| Note::random(n, self.writer, &mut random)).collect();
            next = until;
            is_last.store(next == self.to, Ordering::Relaxed);
            match random.u8(..12) {
                0 if next < self.to => give_up(db, &notes).await,
                1 if next < self.to => fail(db, &notes).await,
                _ => commit(db, &notes).await,
            }
            tokio::time::sleep(Duration::from_millis(random.u64(..20))).await;
        }
    }
}

/// Commits, until the database has acknowledged it. A commit that was never answered may have arrived: then the rows are there.
async fn commit(db: &Db, notes: &[Note]) {
    loop {
        match try_commit(db, notes, false).await {
            Ok(()) => break,
            Err(Error::Constraint { kind: ConstraintKind::Unique, .. }) => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    write_line(&format!("committed {}", numbers(notes)));
}

async fn try_commit(db: &Db, notes: &[Note], must_fail: bool) -> Result<(), Error> {
    let Some(first) = notes.first() else { return Ok(()) };
    let scope = note::scope_of(first.writer);
    let notes = notes.to_vec();
    let tell = async move |tx: &mut Tx| {
        for note in &notes {
            note.insert(tx).await?;
            tx.emit(note.event());
        }
        if must_fail && let Some(last) = notes.last() {
            tx.emit(last.unheard_of());
        }
        Ok(())
    };
    db.transact(scope, tell).await
}

/// Emits, and rolls back.
async fn give_up(db: &Db, notes: &[Note]) {
    let Some(first) = notes.first() else { return };
    let Ok(mut tx) = db.begin(note::scope_of(first.writer)).await else { return };
    for note in notes {
        // Busy or not, it is rolled back.
        let _ = note.insert(&mut tx).await;
        tx.emit(note.event());
    }
    let _ = tx.rollback().await;
    write_line(&format!("dropped {}", numbers(notes)));
}

/// Emits something by which the commit fails, beside what is sound.
async fn fail(db: &Db, notes: &[Note]) {
    let failed = try_commit(db, notes, true).await;
    assert!(failed.is_err(), "a commit with an event of no type went through");
    write_line(&format!("dropped {}", numbers(notes)));
}

fn numbers(notes: &[Note]) -> String {
    notes.iter().map(|note| note.n.to_string()).collect::<Vec<_>>().join(" ")
}
