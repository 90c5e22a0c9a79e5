//! Deliveries without a queue of jobs, and what is removed.

use std::time::Duration;

use chrono::TimeDelta;
use stylobate_db::Scope;
use stylobate_events::{DeliveryState, MIGRATIONS, NewEndpoint, Webhooks};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::oneshot;

use super::{
    receiver::{Reply, status},
    world::World,
};

async fn what_is_due_is_delivered_and_nothing_else(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 0);
    let (one, other) = (world.owe(endpoint.id).await, world.owe(endpoint.id).await);
    world.receiver.will([status(500), status(500)]);
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 2);
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 0);
    world.pass(TimeDelta::seconds(6));
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 2);
    for id in [one, other] {
        assert_eq!(world.state(id).await, DeliveryState::Delivered);
    }
    world.pass(TimeDelta::days(1));
    assert_eq!((world.webhooks.deliver_due().await.unwrap(), world.receiver.got().len()), (0, 4));
}
both_engines!(what_is_due_is_delivered_and_nothing_else, &[&MIGRATIONS]);

async fn an_endpoint_with_many_does_not_keep_the_others_waiting(db: TestDb) {
    let world = World::new(db).await;
    let (busy, _) =
        world.create(NewEndpoint { types: vec!["user.created".to_owned()], ..world.all() }).await.unwrap();
    for _ in 0..70 {
        world.hand_over(&world.event("user.created")).await;
    }
    world.pass(TimeDelta::seconds(1));
    let mut others = Vec::new();
    for _ in 0..3 {
        let new = NewEndpoint { types: vec!["role.created".to_owned()], ..world.all() };
        others.push(world.create(new).await.unwrap().0);
    }
    world.hand_over(&world.event("role.created")).await;
    // Four of the busy one, and one of each of the others.
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 7);
    for other in &others {
        assert_eq!(world.deliveries(other.id).await[0].state, DeliveryState::Delivered);
    }
    let mut turns = 1;
    while world.webhooks.deliver_due().await.unwrap() > 0 {
        turns += 1;
    }
    // 70 by fours.
    assert_eq!((turns, world.receiver.got().len()), (18, 73));
    assert!(world.deliveries(busy.id).await.iter().all(|one| one.state == DeliveryState::Delivered));
}
both_engines!(an_endpoint_with_many_does_not_keep_the_others_waiting, &[&MIGRATIONS]);

async fn a_service_alone_delivers_until_it_stops(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let webhooks = world.webhooks.clone();
    let running = tokio::spawn(async move {
        webhooks
            .run(async {
                let _ = stopped.await;
            })
            .await;
    });
    world.owe(endpoint.id).await;
    world.receiver.wait_for(1).await;
    // What is under way when it is told to stop comes to its end.
    world.receiver.will([Reply::Held(200)]);
    let id = world.owe(endpoint.id).await;
    world.receiver.wait_for(2).await;
    stop.send(()).unwrap();
    world.receiver.let_go();
    running.await.unwrap();
    assert_eq!(world.state(id).await, DeliveryState::Delivered);
}
both_engines!(a_service_alone_delivers_until_it_stops, &[&MIGRATIONS]);

async fn rows(world: &World) -> i64 {
    let mut tx = world.db.begin_read(Scope::Platform("tests")).await.unwrap();
    let rows = tx.q("SELECT count(*) FROM webhook_deliveries").scalar().await.unwrap();
    tx.rollback().await.unwrap();
    rows
}

async fn what_is_finished_is_kept_for_two_weeks(db: TestDb) {
    let world = World::new(db).await;
    let ((kept, _), (removed, _)) = (world.endpoint().await, world.endpoint().await);
    let first = world.owe(kept.id).await;
    world.deliver(first).await;
    let pending = world.owe(kept.id).await;
    assert_eq!(rows(&world).await, 4);
    world.webhooks.delete(&world.context(), removed.id).await.unwrap();
    // Of endpoints that are gone nothing is kept.
    assert_eq!(world.webhooks.prune(Webhooks::KEPT).await.unwrap(), 2);
    world.pass(TimeDelta::days(14));
    assert_eq!(world.webhooks.prune(Webhooks::KEPT).await.unwrap(), 0);
    world.pass(TimeDelta::microseconds(1));
    assert_eq!(world.webhooks.prune(Webhooks::KEPT).await.unwrap(), 1);
    // What is owed is kept however old it is.
    assert_eq!((rows(&world).await, world.state(pending).await), (1, DeliveryState::Pending));
    assert_eq!(world.webhooks.prune(Duration::MAX).await.unwrap(), 0);
    assert_eq!(world.webhooks.prune(Duration::ZERO).await.unwrap(), 0);
}
both_engines!(what_is_finished_is_kept_for_two_weeks, &[&MIGRATIONS]);
