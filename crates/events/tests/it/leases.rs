use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use stylobate_db::Tx;
use stylobate_events::{MIGRATIONS, Outcome, Relay, RelayOptions, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{PLATFORM, Recorder, World, options, system, until};

async fn one_relay_works_and_another_takes_over_when_it_dies(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (Recorder::new("all"), Recorder::new("all"));
    let first = world.relay(&one);
    until("nobody works", async || {
        world.events.counts().await.unwrap().iter().any(|counts| counts.is_served)
    })
    .await;
    let second = world.relay(&other);
    for n in 1..=20 {
        world.emit("a", n).await;
    }
    world.drained("all").await;
    assert_eq!((one.count(), other.count()), (20, 0));
    first.kill().await;
    world.emit("a", 21).await;
    world.drained("all").await;
    assert_eq!((one.count(), other.numbers("a")), (20, vec![21]));
    // One that is stopped gives the lease back.
    let third = world.relay(&one);
    second.stop().await;
    world.emit("a", 22).await;
    world.drained("all").await;
    assert_eq!(one.numbers("a").last(), Some(&22));
    third.stop().await;
}
both_engines!(one_relay_works_and_another_takes_over_when_it_dies, &[&MIGRATIONS]);

// C49: a slow relay keeps nothing that it has lost.
async fn a_relay_that_loses_its_lease_leaves_the_rest_to_others(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["a"], 100).await;
    let slow = Recorder::answering("all", |_| {
        std::thread::sleep(Duration::from_millis(20));
        Outcome::Delivered
    });
    let first = world.relay(&slow);
    until("nobody began", async || slow.count() > 2).await;
    let take = async |tx: &mut Tx| {
        tx.q("UPDATE event_subscribers SET lease_token = $1, lease_beat = lease_beat + 1")
            .bind(uuid::Uuid::from_u128(7))
            .run()
            .await
    };
    world.test_db.transact(PLATFORM, take).await.unwrap();
    // It learns of it at its next sign of life, and tries to get the lease back when nothing is heard of the other.
    let keep = async || {
        world
            .test_db
            .transact(PLATFORM, async |tx: &mut Tx| {
                tx.q("UPDATE event_subscribers SET lease_beat = lease_beat + 1").run().await
            })
            .await
            .unwrap();
    };
    let (mut last, mut still) = (0, 0);
    until("it works on without a lease", async || {
        keep().await;
        let waves = slow.waves.load(Ordering::SeqCst);
        still = if waves == last { still + 1 } else { 0 };
        last = waves;
        still > 30
    })
    .await;
    assert!(slow.count() < 100, "{}", slow.count());
    world.drained("all").await;
    let numbers = slow.numbers("a");
    let mut firsts = Vec::new();
    for n in numbers {
        if !firsts.contains(&n) {
            firsts.push(n);
        }
    }
    assert_eq!(firsts, (1..=100).collect::<Vec<_>>());
    first.stop().await;
}
both_engines!(a_relay_that_loses_its_lease_leaves_the_rest_to_others, &[&MIGRATIONS]);

async fn a_wave_that_takes_long_does_not_cost_the_lease(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["a"], 3).await;
    let slow = Arc::new(Slow);
    let short = RelayOptions { lease: Duration::from_millis(300), ..options() };
    let first = world.run(Relay::new(world.events.clone(), slow, short));
    until("nobody works", async || world.counts("all").await.is_served).await;
    let other = Recorder::new("all");
    let second = world.relay(&other);
    world.drained("all").await;
    assert_eq!(other.count(), 0);
    first.stop().await;
    second.stop().await;
}
both_engines!(a_wave_that_takes_long_does_not_cost_the_lease, &[&MIGRATIONS]);

/// Takes longer for a wave than its relay's lease lasts.
struct Slow;

impl stylobate_events::Sink for Slow {
    fn name(&self) -> &str {
        "all"
    }

    fn types(&self) -> Types {
        Types::All
    }

    fn deliver<'a>(
        &'a self,
        wave: &'a [Arc<stylobate_events::Delivery>],
    ) -> stylobate_core::BoxFuture<'a, stylobate_events::Report> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            stylobate_events::Report::of(wave.iter().map(|_| Outcome::Delivered).collect())
        })
    }
}

async fn a_subscriber_that_is_removed_is_owed_nothing_more(db: TestDb) {
    let world = World::new(db).await;
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    all.cut_off(Some("away"));
    world.emit_many(&["a"], 2_500).await;
    until("nobody works", async || world.counts("all").await.is_served).await;
    // Not while it is wanted; and of a relay that was killed nothing is heard for a lease.
    let remove = async || world.events.unsubscribe(&system(), "all", options().lease * 2).await;
    assert_eq!(remove().await.unwrap_err().code(), "subscriber_served");
    assert_eq!(world.counts("all").await.owed, 2_500);
    relay.kill().await;
    remove().await.unwrap();
    assert_eq!(remove().await.unwrap_err().code(), "not_found");
    all.cut_off(None);
    world.emit("a", 1).await;
    assert_eq!((world.count("event_deliveries").await, world.events.counts().await.unwrap()), (0, vec![]));
    // It comes back with its program, and goes at once when that has ended.
    let relay = world.relay(&all);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    relay.stop().await;
    world.events.unsubscribe(&system(), "all", Duration::from_secs(60)).await.unwrap();
    let relay = world.relay(&all);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    let before = all.count();
    world.emit("b", 7).await;
    world.drained("all").await;
    assert_eq!((all.numbers("b"), all.count()), (vec![7], before + 1));
    relay.stop().await;
}
both_engines!(a_subscriber_that_is_removed_is_owed_nothing_more, &[&MIGRATIONS]);
