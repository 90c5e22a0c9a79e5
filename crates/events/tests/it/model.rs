//! Relays that die, are cut off and meet failures at random: what comes first comes in order, and nothing is lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use stylobate_core::BoxFuture;
use stylobate_events::{Delivery, MIGRATIONS, Outcome, Refused, Relay, RelayOptions, Report, Sink, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{World, event, number, system};

/// A broker shared by relays: it keeps what arrives, and fails as a seed says.
struct Broker {
    arrived: Mutex<Vec<(String, u64)>>,
    chance: Mutex<chance::Chance>,
}

/// A small generator of the test's own, seeded.
mod chance {
    pub(crate) struct Chance(pub(crate) u64);

    impl Chance {
        pub(crate) fn below(&mut self, most: u64) -> u64 {
            // SplitMix64.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % most
        }
    }
}

impl Broker {
    fn below(&self, most: u64) -> u64 {
        self.chance.lock().unwrap().below(most)
    }
}

impl Sink for Broker {
    fn name(&self) -> &str {
        "broker"
    }

    fn types(&self) -> Types {
        Types::All
    }

    fn wave_max(&self) -> usize {
        3
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for delivery in wave {
                if self.below(4) == 0 {
                    tokio::time::sleep(Duration::from_millis(self.below(4))).await;
                }
                match self.below(20) {
                    // Cut off before the publish, and after it: it arrived, and nobody knows.
                    0 => return Report::of(outcomes).ended_by("cut off"),
                    1 => {
                        self.arrive(delivery);
                        return Report::of(outcomes).ended_by("cut off");
                    }
                    2 => outcomes.push(Outcome::Refused(Refused::later("not now"))),
                    3 => outcomes.push(Outcome::Unknown),
                    4 => panic!("a bug in a sink"),
                    _ => {
                        self.arrive(delivery);
                        outcomes.push(Outcome::Delivered);
                    }
                }
            }
            Report::of(outcomes)
        })
    }
}

impl Broker {
    fn arrive(&self, delivery: &Delivery) {
        let event = &delivery.event;
        self.arrived.lock().unwrap().push((event.subject.clone(), number(event)));
    }
}

const SUBJECTS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn nothing_is_lost_and_what_comes_first_comes_in_order(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    world.events.subscribe("broker", &Types::All).await.unwrap();
    let seed = match std::env::var("STYLOBATE_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed,
        None => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    let broker = Arc::new(Broker { arrived: Mutex::default(), chance: Mutex::new(chance::Chance(seed)) });
    let options = RelayOptions {
        poll: Duration::from_millis(10),
        // Shorter than what a wave may take: relays take over from each other, and two work at once.
        lease: Duration::from_millis(100),
        batch: 7,
        attempts_max: 1_000_000,
        retry_base: Duration::from_millis(1),
        retry_max: Duration::from_millis(3),
        ..RelayOptions::default()
    };
    let writer = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            for n in 1..=40 {
                let events = SUBJECTS.iter().map(|subject| event(&system(), subject, n)).collect();
                world.try_emit(crate::world::PLATFORM, events).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        })
    };
    let start = || {
        let sink: Arc<dyn Sink> = Arc::<Broker>::clone(&broker);
        world.run(Relay::new(world.events.clone(), sink, options.clone()))
    };
    let mut relays = vec![start(), start()];
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(20 + broker.below(60))).await;
        // Whoever has the lease loses it now and then, as one does that was only slow.
        if broker.below(3) == 0 {
            let free = async |tx: &mut stylobate_db::Tx| {
                tx.q("UPDATE event_subscribers SET lease_token = NULL, lease_beat = lease_beat + 1")
                    .run()
                    .await
            };
            world.test_db.transact(crate::world::PLATFORM, free).await.unwrap();
        }
        let victim = usize::try_from(broker.below(2)).unwrap();
        relays.swap_remove(victim).kill().await;
        relays.push(start());
    }
    writer.await.unwrap();
    world.drained("broker").await;
    for relay in relays {
        relay.stop().await;
    }
    let mut firsts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let arrived = std::mem::take(&mut *broker.arrived.lock().unwrap());
    for (subject, n) in arrived {
        let seen = firsts.entry(subject).or_default();
        if !seen.contains(&n) {
            seen.push(n);
        }
    }
    for subject in SUBJECTS {
        assert_eq!(firsts[subject], (1..=40).collect::<Vec<_>>(), "{subject}, seed {seed}");
    }
    assert_eq!(world.count("event_holds").await, 0);
}
both_engines!(nothing_is_lost_and_what_comes_first_comes_in_order, &[&MIGRATIONS]);
