//! Hearing notifications as they come.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stylobate_core::{Clock, Message, SystemClock, TenantId};
use stylobate_db::Engine;
use stylobate_notify::{MIGRATIONS, Notifier};
use stylobate_testkit::{ManualClock, TestDb, both_engines};
use tokio::{sync::watch, time::timeout};

use super::world::{PATIENCE, PLATFORM, World, sibling};

/// Somebody who listens.
struct Reader {
    notifier: Notifier,
    person: stylobate_core::PersonId,
    tenant: Option<TenantId>,
    position: i64,
    changes: watch::Receiver<u64>,
}

impl Reader {
    /// Listens for what comes from now on.
    async fn new(world: &World, tenant: Option<TenantId>) -> Self {
        let (notifier, person) = (world.notifier.clone(), world.ada);
        let changes = notifier.changes(person);
        let position = notifier.last_position(person).await.unwrap();
        Self { notifier, person, tenant, position, changes }
    }

    fn at(self, position: i64) -> Self {
        Self { position, ..self }
    }

    /// The titles that are heard next, at most ten seconds later.
    async fn heard(&mut self) -> Vec<String> {
        loop {
            self.changes.mark_unchanged();
            let found = self.notifier.notifications_after(self.person, self.tenant, self.position).await;
            let found = found.unwrap();
            assert!(found.len() <= 100);
            if let Some(last) = found.last() {
                self.position = last.position;
                return found.into_iter().map(|one| one.title).collect();
            }
            let changed = timeout(PATIENCE, self.changes.changed()).await;
            changed.expect("something to be heard").unwrap();
        }
    }
}

async fn whoever_listens_hears_what_comes_and_only_that(db: TestDb) {
    let world = World::new(db).await;
    world.planned(world.alert("before")).await;
    let (mut here, mut everywhere) =
        (Reader::new(&world, Some(world.tenant)).await, Reader::new(&world, None).await);
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    let values = json!({ "rule": "of bob", "path": "/" });
    world.planned(Message::to_person("alert.triggered", bob).in_tenant(world.tenant).with(values)).await;
    world.planned(world.alert("elsewhere").in_tenant(TenantId::new(SystemClock.now()))).await;
    world.planned(world.alert("here")).await;
    assert_eq!(here.heard().await, ["Alert: here"]);
    let mut all = everywhere.heard().await;
    while all.len() < 2 {
        all.extend(everywhere.heard().await);
    }
    assert_eq!(all, ["Alert: elsewhere", "Alert: here"]);
    world.planned(world.alert("next")).await;
    assert_eq!(here.heard().await, ["Alert: next"]);
    assert_eq!(everywhere.heard().await, ["Alert: next"]);
}
both_engines!(whoever_listens_hears_what_comes_and_only_that, &[&MIGRATIONS]);

async fn whoever_comes_back_misses_nothing_and_hears_nothing_twice(db: TestDb) {
    let world = World::new(db).await;
    let mut reader = Reader::new(&world, None).await;
    world.planned(world.alert("1")).await;
    assert_eq!(reader.heard().await, ["Alert: 1"]);
    let position = reader.position;
    drop(reader);
    for n in 2..5 {
        world.planned(world.alert(&n.to_string())).await;
    }
    let mut again = Reader::new(&world, None).await.at(position);
    assert_eq!(again.heard().await, ["Alert: 2", "Alert: 3", "Alert: 4"]);
    let mut first = Reader::new(&world, None).await.at(0);
    assert_eq!(first.heard().await.len(), 4);
    world.planned(world.alert("5")).await;
    for reader in [&mut again, &mut first] {
        assert_eq!(reader.heard().await, ["Alert: 5"]);
    }
}
both_engines!(whoever_comes_back_misses_nothing_and_hears_nothing_twice, &[&MIGRATIONS]);

async fn a_slow_reader_reads_everything_later(db: TestDb) {
    let world = World::new(db).await;
    let mut reader = Reader::new(&world, None).await;
    for n in 0..120 {
        world.planned(world.alert(&n.to_string())).await;
    }
    let mut all = Vec::new();
    while all.len() < 120 {
        all.extend(reader.heard().await);
    }
    assert_eq!(all, (0..120).map(|n| format!("Alert: {n}")).collect::<Vec<_>>());
    world.planned(world.alert("last")).await;
    assert_eq!(reader.heard().await, ["Alert: last"]);
}
both_engines!(a_slow_reader_reads_everything_later, &[&MIGRATIONS]);

async fn what_another_process_says_is_heard(db: TestDb) {
    let world = World::new(db).await;
    let other = sibling(&world, |builder| builder).await;
    let mut reader = Reader::new(&world, None).await;
    let id = match other.notify(world.alert("from afar")).await.unwrap() {
        stylobate_notify::Accepted::New(id) => id,
        stylobate_notify::Accepted::Already => panic!("new"),
    };
    other.plan(id).await.unwrap();
    assert_eq!(reader.heard().await, ["Alert: from afar"]);
    // The last who listens ends the looking, and the next begins it anew.
    drop(reader);
    let mut reader = Reader::new(&world, None).await;
    world.planned(world.alert("again")).await;
    assert_eq!(reader.heard().await, ["Alert: again"]);
}
both_engines!(what_another_process_says_is_heard, &[&MIGRATIONS]);

/// A clock that tells when it is read: who looks for notifications does so once, when a look begins.
#[derive(Debug)]
struct ReadClock {
    clock: ManualClock,
    reads: watch::Sender<usize>,
}

impl ReadClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { clock: ManualClock::new(), reads: watch::Sender::new(0) })
    }

    /// Waits until a look that begins from now on has ended, while nobody else reads the clock: the next has begun then.
    async fn until_looked(&self) {
        let mut reads = self.reads.subscribe();
        let begun = *reads.borrow_and_update();
        let looked = timeout(PATIENCE, reads.wait_for(|reads| *reads >= begun + 2)).await;
        looked.expect("nobody looks").unwrap();
    }
}

impl Clock for ReadClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.clock.now();
        self.reads.send_modify(|reads| *reads += 1);
        now
    }
}

/// However long the database is away: what was written just before, and is seen only when it is back, is told.
async fn an_outage_leaves_nothing_untold(db: TestDb) {
    let read = ReadClock::new();
    let clock = Arc::clone(&read);
    let world = World::with(db, |builder| builder.clock(clock)).await;
    let owner = world.test_db.open_as_owner().await;
    for (title, outage) in [("short", TimeDelta::minutes(3)), ("long", TimeDelta::hours(3))] {
        let mut reader = Reader::new(&world, None).await;
        world.planned(world.alert(&format!("before the {title} one"))).await;
        assert_eq!(reader.heard().await, [format!("Alert: before the {title} one")]);
        let (written, last) = (read.clock.now(), reader.position);
        let mut tx = owner.begin(PLATFORM).await.unwrap();
        tx.q("ALTER TABLE notifications RENAME TO away").run().await.unwrap();
        tx.commit().await.unwrap();
        read.clock.advance(outage);
        // That look failed.
        read.until_looked().await;
        let mut tx = owner.begin(PLATFORM).await.unwrap();
        tx.q("ALTER TABLE away RENAME TO notifications").run().await.unwrap();
        tx.q("INSERT INTO notifications (id, lane, person_id, position, category, severity, kind, title, body, created_at)
              SELECT $1, lane, person_id, position + 1, category, severity, kind, $2, body, $3
              FROM notifications WHERE person_id = $4 AND position = $5")
            .bind(uuid::Uuid::from_u128(u128::from(title == "long") + 1))
            .bind(title.to_owned())
            .bind(written)
            .bind(world.ada.as_uuid())
            .bind(last)
            .run()
            .await
            .unwrap();
        reader.changes.mark_unchanged();
        tx.commit().await.unwrap();
        let changed = timeout(PATIENCE, reader.changes.changed()).await;
        changed.expect("something to be heard").unwrap();
        assert_eq!(reader.heard().await, [title]);
    }
}
both_engines!(an_outage_leaves_nothing_untold, &[&MIGRATIONS]);

/// SQLite has one writer and one process: waking that process is no turn of the writer's.
async fn where_one_process_serves_nothing_is_written_to_wake_it(db: TestDb) {
    let read = ReadClock::new();
    let clock = Arc::clone(&read);
    let world = World::with(db, |builder| builder.clock(clock)).await;
    let mut hints = world.db.hints("notifications");
    let mut reader = Reader::new(&world, None).await;
    world.planned(world.alert("one")).await;
    assert_eq!(reader.heard().await, ["Alert: one"]);
    if world.db.engine() == Engine::Sqlite {
        // A hint would come within milliseconds, and looks come once a second.
        read.until_looked().await;
        assert!(timeout(Duration::ZERO, hints.next()).await.is_err(), "a hint");
    } else {
        timeout(PATIENCE, hints.next()).await.expect("a hint");
    }
}
both_engines!(where_one_process_serves_nothing_is_written_to_wake_it, &[&MIGRATIONS]);
