use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stylobate_core::{HealthCheck as _, HealthStatus};
use stylobate_events::{EventsHealth, Kept, MIGRATIONS, Outcome, Refused, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{Echo, PLATFORM, Recorder, World, as_tenant, event, number, system, tenant, until};

async fn events_reach_who_hears_them_soon_after_the_commit_and_in_order(db: TestDb) {
    let world = World::new(db).await;
    let (all, some) = (Recorder::new("all"), Recorder::hearing("some", &["note.read"]));
    let relays = [world.relay(&all), world.relay(&some)];
    until("nobody registered", async || world.events.counts().await.unwrap().len() == 2).await;
    world.emit_many(&["a", "b", "c"], 40).await;
    let mut read = event(&system(), "a", 41);
    read.kind = "note.read";
    world.try_emit(PLATFORM, vec![read]).await.unwrap();
    world.drained("all").await;
    world.drained("some").await;
    assert_eq!(all.numbers("a"), (1..=41).collect::<Vec<_>>());
    assert_eq!(all.numbers("b"), (1..=40).collect::<Vec<_>>());
    assert_eq!((all.count(), some.count(), some.numbers("a")), (121, 1, vec![41]));
    let sequences: Vec<u64> = all
        .told
        .lock()
        .unwrap()
        .iter()
        .filter(|event| event.subject == "c")
        .map(|event| event.sequence)
        .collect();
    assert_eq!(sequences, (1..=40).collect::<Vec<_>>());
    for relay in relays {
        relay.stop().await;
    }
    let counts = world.counts("all").await;
    assert!(
        !counts.is_served && counts.last_delivered_at.is_some() && counts.oldest_at.is_none(),
        "{counts:?}"
    );
}
both_engines!(events_reach_who_hears_them_soon_after_the_commit_and_in_order, &[&MIGRATIONS]);

async fn who_was_away_is_told_what_it_missed_and_who_comes_later_is_not(db: TestDb) {
    let world = World::new(db).await;
    world.emit("a", 1).await;
    world.events.subscribe("early", &Types::All).await.unwrap();
    world.emit("a", 2).await;
    world.events.subscribe("late", &Types::All).await.unwrap();
    world.emit("a", 3).await;
    let (early, late) = (Recorder::new("early"), Recorder::new("late"));
    let relays = [world.relay(&early), world.relay(&late)];
    world.drained("early").await;
    world.drained("late").await;
    assert_eq!((early.numbers("a"), late.numbers("a")), (vec![2, 3], vec![3]));
    for relay in relays {
        relay.stop().await;
    }
    world.emit("a", 4).await;
    assert_eq!(world.counts("early").await.owed, 1);
    let relay = world.relay(&early);
    world.drained("early").await;
    assert_eq!(early.numbers("a"), [2, 3, 4]);
    relay.stop().await;
}
both_engines!(who_was_away_is_told_what_it_missed_and_who_comes_later_is_not, &[&MIGRATIONS]);

async fn events_of_another_process_are_heard_of(db: TestDb) {
    let world = World::new(db).await;
    let (other, events, _) = World::another(&world.test_db).await;
    let keeping_up = tokio::spawn(async move {
        events.keep_up(Kept::default(), std::future::pending()).await;
    });
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    for n in 1..=20 {
        let mut tx = other.begin(PLATFORM).await.unwrap();
        tx.emit(event(&system(), "a", n));
        tx.commit().await.unwrap();
    }
    world.drained("all").await;
    assert_eq!(all.numbers("a"), (1..=20).collect::<Vec<_>>());
    relay.stop().await;
    keeping_up.abort();
}
both_engines!(events_of_another_process_are_heard_of, &[&MIGRATIONS]);

async fn many_events_of_few_and_of_many_subjects_drain(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["one"], 1_000).await;
    let subjects: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
    world.emit_many(&subjects.iter().map(String::as_str).collect::<Vec<_>>(), 2).await;
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    world.drained("all").await;
    assert_eq!(all.numbers("one"), (1..=1_000).collect::<Vec<_>>());
    assert_eq!((all.count(), all.numbers("s999")), (3_000, vec![1, 2]));
    relay.stop().await;
}
both_engines!(many_events_of_few_and_of_many_subjects_drain, &[&MIGRATIONS]);

// C49
async fn effects_in_process_happen_once_with_two_relays_at_once(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("echo", &Types::named(["note.made"])).await.unwrap();
    world.emit_many(&["a", "b", "c", "d"], 25).await;
    let echo = Echo::new();
    echo.does(|_| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    });
    // The lease is taken from whoever has it again and again, so that both work.
    let relays = [world.echo_relay(&echo), world.echo_relay(&echo)];
    let free = async |tx: &mut stylobate_db::Tx| {
        tx.q("UPDATE event_subscribers SET lease_token = NULL, lease_beat = lease_beat + 1").run().await
    };
    until("something stays owed", async || {
        world.test_db.transact(PLATFORM, free).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.counts("echo").await.owed == 0
    })
    .await;
    for relay in relays {
        relay.stop().await;
    }
    let echoes = world.echoes().await;
    assert_eq!(echoes.len(), 100);
    for subject in ["a", "b", "c", "d"] {
        let of: Vec<u64> = echoes.iter().filter(|(of, _)| of == subject).map(|(_, n)| *n).collect();
        assert_eq!(of, (1..=25).collect::<Vec<_>>(), "{subject}");
    }
}
both_engines!(effects_in_process_happen_once_with_two_relays_at_once, &[&MIGRATIONS]);

async fn a_handler_works_in_the_tenant_of_its_event(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("echo", &Types::named(["note.made"])).await.unwrap();
    let tenant = tenant();
    let scope = stylobate_db::Scope::Tenant(tenant);
    world.try_emit(scope, vec![event(&as_tenant(tenant), "a", 1)]).await.unwrap();
    let relay = world.echo_relay(&Echo::new());
    world.drained("echo").await;
    relay.stop().await;
    let query = stylobate_events::EventQuery::default();
    let page = world.events.list(&as_tenant(tenant), &query).await.unwrap();
    // What was echoed without a tenant in a transaction of the tenant is the tenant's.
    assert_eq!(
        page.items.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["note.echoed", "note.made"]
    );
}
both_engines!(a_handler_works_in_the_tenant_of_its_event, &[&MIGRATIONS]);

async fn an_outage_gives_nothing_up(db: TestDb) {
    let world = World::new(db).await;
    let all = Recorder::new("all");
    all.cut_off(Some("the broker is away"));
    let mut options = crate::world::options();
    options.attempts_max = 1;
    let relay = stylobate_events::Relay::new(world.events.clone(), Arc::<Recorder>::clone(&all), options);
    let relay = world.run(relay);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    world.emit_many(&["a", "b"], 5).await;
    until("nobody tried", async || all.waves.load(Ordering::SeqCst) > 3).await;
    let health = EventsHealth::new(world.events.clone());
    let seen = health.check().await;
    assert_eq!(seen.status, HealthStatus::Degraded);
    assert_eq!(seen.detail.as_deref(), Some("nothing can be delivered to all"));
    let counts = world.counts("all").await;
    assert_eq!((counts.owed, counts.held, counts.dead), (10, 0, 0));
    // In the middle of a wave: what came before is known, the rest is not.
    all.cut_off(None);
    world.drained("all").await;
    assert_eq!((all.numbers("a"), all.numbers("b")), ((1..=5).collect(), (1..=5).collect()));
    assert_eq!(health.check().await.status, HealthStatus::Up);
    assert!(world.events.outages().is_empty());
    relay.stop().await;
}
both_engines!(an_outage_gives_nothing_up, &[&MIGRATIONS]);

async fn a_relay_that_is_told_to_stop_ends_what_it_does(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("echo", &Types::named(["note.made"])).await.unwrap();
    let echo = Echo::new();
    echo.does(|_| {
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    world.emit_many(&["a"], 50).await;
    let relay = world.echo_relay(&echo);
    until("nobody began", async || echo.calls.load(Ordering::SeqCst) > 0).await;
    relay.stop().await;
    let calls = echo.calls.load(Ordering::SeqCst);
    assert!(calls < 50, "{calls}");
    // What was begun has come to its end, and once.
    assert_eq!(world.echoes().await.len(), calls);
    let counts = world.counts("echo").await;
    assert_eq!((counts.owed, counts.is_served), (50 - u64::try_from(calls).unwrap(), false));
}
both_engines!(a_relay_that_is_told_to_stop_ends_what_it_does, &[&MIGRATIONS]);

async fn a_sink_that_panics_or_says_nothing_is_asked_again(db: TestDb) {
    let world = World::new(db).await;
    let all = Recorder::answering("all", |_| panic!("a bug in a sink"));
    let relay = world.relay(&all);
    until("nobody registered", async || !world.events.counts().await.unwrap().is_empty()).await;
    world.emit_many(&["a"], 3).await;
    until("nobody tried", async || all.waves.load(Ordering::SeqCst) > 1).await;
    relay.stop().await;
    let counts = world.counts("all").await;
    assert_eq!((counts.owed, counts.held, counts.dead), (3, 0, 0));
    let silent = Recorder::answering("all", |_| Outcome::Unknown);
    let relay = world.relay(&silent);
    until("nobody tried", async || silent.waves.load(Ordering::SeqCst) > 1).await;
    assert_eq!(world.counts("all").await.owed, 3);
    silent.answer(|delivery| match delivery.attempt {
        1 => Outcome::Refused(Refused::later("not yet")),
        _ => Outcome::Delivered,
    });
    world.drained("all").await;
    assert_eq!(silent.numbers("a"), [1, 2, 3]);
    relay.stop().await;
}
both_engines!(a_sink_that_panics_or_says_nothing_is_asked_again, &[&MIGRATIONS]);

async fn an_event_that_alone_meets_a_busy_database_is_its_own_failure(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("echo", &Types::named(["note.made"])).await.unwrap();
    let echo = Echo::new();
    echo.does(|event| match (event.subject.as_str(), number(event)) {
        ("a", 1) => Err(stylobate_db::Error::Busy.into()),
        ("b", 1) => Err(stylobate_db::Error::Unavailable("a function that is broken".into()).into()),
        _ => Ok(()),
    });
    world.emit_many(&["a", "b", "c"], 2).await;
    let mut options = crate::world::options();
    options.attempts_max = 2;
    let subscriber: Arc<dyn stylobate_events::Subscriber> = Arc::<Echo>::clone(&echo);
    let relay = stylobate_events::Relay::to_subscriber(world.events.clone(), subscriber, options);
    let relay = world.run(relay);
    world.drained("echo").await;
    relay.stop().await;
    let mut echoes = world.echoes().await;
    echoes.sort();
    let expected = [("a", 2), ("b", 2), ("c", 1), ("c", 2)].map(|(subject, n)| (subject.to_owned(), n));
    assert_eq!(echoes, expected);
    assert_eq!((world.counts("echo").await.dead, world.events.outages()), (2, Vec::new()));
}
both_engines!(an_event_that_alone_meets_a_busy_database_is_its_own_failure, &[&MIGRATIONS]);
