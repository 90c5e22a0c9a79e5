//! Each event is heard once, whatever comes between.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use stylobate_core::{Clock as _, EventId, HealthCheck as _, HealthStatus, SystemClock, TenantId};
use stylobate_db::{Db, Scope, Tx};
use stylobate_events::{ConsumerOptions, EventsError, MIGRATIONS, QueueKind, Refused, Types, prune_inbox};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::Notify;

use super::{
    broker::{Host, event, event_of, until},
    hearing::{Ear, Running, consumer, effects, options},
    proxy::{Proxy, Way},
};

/// Until `count` effects were committed and the queue has nothing left to send, acknowledged or not.
async fn settled(host: &Host, db: &Db, count: i64) {
    until("the effects", async || (effects(db).await == count).then_some(())).await;
    until("an empty queue", async || (host.waiting("ear").await == 0).then_some(())).await;
}

async fn an_event_that_comes_twice_is_heard_once(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::content();
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    let (first, second) = (event("user.created", "person:1"), event("user.created", "person:2"));
    for event in [&first, &first, &second, &first] {
        host.publish(event).await;
    }
    settled(&host, &db, 2).await;
    running.stop().await;
    assert_eq!(ear.calls().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first.id, second.id]);
    assert_eq!(host.waiting("ear.dead").await, 0);
}

async fn two_consumers_of_a_queue_that_get_the_same_event_at_once_have_one_effect(db: TestDb) {
    let host = Host::new().await;
    let ears = [Ear::content(), Ear::content()];
    let concurrent = ConsumerOptions { concurrency: 8, ..options() };
    let running =
        ears.each_ref().map(|ear| Running::start(&consumer(host.broker(), &db, ear, concurrent.clone())));
    host.consumed("ear").await;
    for _ in 0..10 {
        let event = event("user.created", "person:1");
        for _ in 0..4 {
            host.publish(&event).await;
        }
    }
    settled(&host, &db, 10).await;
    for one in running {
        one.stop().await;
    }
    // Copies that nobody had come to may have gone back; they have no effect either.
    let last = Running::start(&consumer(host.broker(), &db, &ears[0], options()));
    settled(&host, &db, 10).await;
    last.stop().await;
    assert_eq!(effects(&db).await, 10);
}

// The acknowledgement never arrives: the event comes again, over another connection.
async fn a_consumer_that_is_cut_off_between_commit_and_acknowledgement_has_its_effect_once(db: TestDb) {
    let host = Host::new().await;
    let mut proxy = Proxy::to(host.port()).await;
    let ear = Ear::content();
    let running = Running::start(&consumer(host.broker_at(proxy.port()), &db, &ear, options()));
    host.consumed("ear").await;
    proxy.set(Way::FromClientsStopped);
    host.publish(&event("user.created", "person:1")).await;
    until("the effect", async || (effects(&db).await == 1).then_some(())).await;
    proxy.cut().await;
    // The broker has noticed, and the event is back in the queue.
    host.abandoned("ear").await;
    proxy.set(Way::Open);
    host.consumed("ear").await;
    // What is behind it is heard after it.
    host.publish(&event("user.created", "person:2")).await;
    settled(&host, &db, 2).await;
    running.stop().await;
    assert_eq!(ear.calls().len(), 2);
}

async fn a_consumer_that_crashes_in_its_work_leaves_no_effect_and_the_next_one_does_it(db: TestDb) {
    let host = Host::new().await;
    let stuck = Ear::new(|_, _, _| Box::pin(std::future::pending()));
    let crashing = Running::start(&consumer(host.broker(), &db, &stuck, options()));
    host.consumed("ear").await;
    host.publish(&event("user.created", "person:1")).await;
    until("the first has it", async || (!stuck.calls().is_empty()).then_some(())).await;
    assert_eq!(host.waiting("ear").await, 0);
    crashing.crash();
    until("it goes back", async || (host.waiting("ear").await == 1).then_some(())).await;
    assert_eq!(effects(&db).await, 0);

    let ear = Ear::content();
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    settled(&host, &db, 1).await;
    running.stop().await;
}

async fn an_event_is_handled_in_the_scope_of_its_tenant(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|tx: &mut Tx, event, _| {
        let expected = event.tenant_id.map(Scope::Tenant);
        let is_right = match tx.scope() {
            Scope::Platform(_) => expected.is_none(),
            tenant => expected == Some(tenant),
        };
        Box::pin(async move { if is_right { Ok(()) } else { Err(Refused::never("another scope")) } })
    });
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    let tenant = TenantId::new(SystemClock.now());
    host.publish(&event_of(tenant, "user.created")).await;
    host.publish(&event("user.created", "platform")).await;
    settled(&host, &db, 2).await;
    running.stop().await;
}

async fn a_consumer_finds_its_broker_and_its_queue_again(db: TestDb) {
    let host = Host::new().await;
    let mut proxy = Proxy::closed(host.port()).await;
    let ear = Ear::content();
    let consumer = consumer(host.broker_at(proxy.port()), &db, &ear, options());
    assert_eq!(consumer.check().await.status, HealthStatus::Down);
    let running = Running::start(&consumer);
    until("it says that there is no broker", async || {
        consumer.check().await.detail.filter(|detail| detail.contains("cannot be reached"))
    })
    .await;
    proxy.open().await;
    host.consumed("ear").await;
    until("it is up", async || (consumer.check().await.status == HealthStatus::Up).then_some(())).await;
    host.publish(&event("user.created", "person:1")).await;
    settled(&host, &db, 1).await;

    host.channel.queue_delete("ear".into(), Default::default()).await.unwrap();
    host.consumed("ear").await;
    host.publish(&event("user.created", "person:2")).await;
    settled(&host, &db, 2).await;

    until("the broker knows the connection", async || (host.close_connections() > 0).then_some(())).await;
    host.publish(&event("user.created", "person:3")).await;
    settled(&host, &db, 3).await;
    running.stop().await;
    assert_eq!(consumer.check().await.detail.as_deref(), Some("it does not run"));
}

async fn at_shutdown_work_is_finished_and_the_rest_goes_back(db: TestDb) {
    let host = Host::new().await;
    let go_on = Arc::new(Notify::new());
    let waits = Arc::clone(&go_on);
    let ear = Ear::new(move |_, _, _| {
        let go_on = Arc::clone(&waits);
        Box::pin(async move {
            go_on.notified().await;
            Ok(())
        })
    });
    let mut running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    for subject in ["a", "b", "c"] {
        host.publish(&event("user.created", subject)).await;
    }
    until("the first is handled", async || (ear.calls().len() == 1).then_some(())).await;
    running.ask_to_stop();
    host.abandoned("ear").await;
    go_on.notify_one();
    running.stop().await;
    until("the rest is back", async || (host.waiting("ear").await == 2).then_some(())).await;
    assert_eq!((effects(&db).await, ear.calls().len()), (1, 1));
}

async fn work_that_takes_too_long_at_shutdown_is_left_to_come_again(db: TestDb) {
    let host = Host::new().await;
    let stuck = Ear::new(|_, _, _| Box::pin(std::future::pending()));
    let brief = ConsumerOptions { drain: Duration::from_millis(100), ..options() };
    let running = Running::start(&consumer(host.broker(), &db, &stuck, brief));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    until("it is handled", async || (stuck.calls().len() == 1).then_some(())).await;
    running.stop().await;
    until("it is back", async || (host.waiting("ear").await == 1).then_some(())).await;
    assert_eq!(effects(&db).await, 0);
}

async fn what_was_heard_long_ago_is_forgotten(db: TestDb) {
    let now = SystemClock.now();
    let note = async move |tx: &mut Tx| {
        for days in 0..2_500_i64 {
            let sql = "INSERT INTO event_inbox (consumer, event_id, received_at) VALUES ($1, $2, $3)";
            let at = now - TimeDelta::hours(days);
            tx.q(sql).bind("ear").bind(EventId::new(now).as_uuid()).bind(at).run().await?;
        }
        Ok::<_, stylobate_db::Error>(())
    };
    db.transact(Scope::Platform("a test"), note).await.unwrap();
    assert_eq!(prune_inbox(&db, now - TimeDelta::days(7)).await.unwrap(), 2_500 - 7 * 24 - 1);
    assert_eq!(prune_inbox(&db, now - TimeDelta::days(7)).await.unwrap(), 0);
}

async fn a_consumer_of_nothing_sensible_is_refused(db: TestDb) {
    let broker = || stylobate_events::Broker::new("amqp://localhost".parse().unwrap());
    let make = |types, options| {
        let ear = Ear::to(types, |_, _, _| Box::pin(async { Ok(()) }));
        let clock = Arc::new(SystemClock);
        let made = stylobate_events::Consumer::new(
            broker(),
            db.clone(),
            clock,
            super::broker::catalogue(),
            ear,
            options,
        );
        match made {
            Err(EventsError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(make(Types::named(["role.renamed"]), options()), "types");
    assert_eq!(make(Types::All, ConsumerOptions { queue: Some("amq.ear".into()), ..options() }), "queue");
    assert_eq!(make(Types::All, ConsumerOptions { queue: Some("Ear".into()), ..options() }), "queue");
    assert_eq!(make(Types::All, ConsumerOptions { delays: Vec::new(), ..options() }), "delays");
}

// Of quorum queues all the tests would take minutes.
async fn quorum_queues_do_the_same(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, event, call| {
        let outcome = match (event.subject.as_str(), call) {
            ("poison", _) => Err(Refused::never("poison")),
            (_, 1) => Err(Refused::later("not yet")),
            _ => Ok(()),
        };
        Box::pin(async move { outcome })
    });
    let quorum = ConsumerOptions { kind: QueueKind::Quorum, ..options() };
    let running = Running::start(&consumer(host.broker(), &db, &ear, quorum));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    until("the effect", async || (effects(&db).await == 1).then_some(())).await;
    host.publish(&event("user.created", "poison")).await;
    assert_eq!(host.arrival("ear.dead").await.properties.kind(), &None);
    running.stop().await;
}

both_engines!(an_event_that_comes_twice_is_heard_once, &[&MIGRATIONS]);
both_engines!(two_consumers_of_a_queue_that_get_the_same_event_at_once_have_one_effect, &[&MIGRATIONS]);
both_engines!(
    a_consumer_that_is_cut_off_between_commit_and_acknowledgement_has_its_effect_once,
    &[&MIGRATIONS]
);
both_engines!(a_consumer_that_crashes_in_its_work_leaves_no_effect_and_the_next_one_does_it, &[&MIGRATIONS]);
both_engines!(an_event_is_handled_in_the_scope_of_its_tenant, &[&MIGRATIONS]);
both_engines!(a_consumer_finds_its_broker_and_its_queue_again, &[&MIGRATIONS]);
both_engines!(at_shutdown_work_is_finished_and_the_rest_goes_back, &[&MIGRATIONS]);
both_engines!(work_that_takes_too_long_at_shutdown_is_left_to_come_again, &[&MIGRATIONS]);
both_engines!(what_was_heard_long_ago_is_forgotten, &[&MIGRATIONS]);
both_engines!(a_consumer_of_nothing_sensible_is_refused, &[&MIGRATIONS]);
both_engines!(quorum_queues_do_the_same, &[&MIGRATIONS]);
