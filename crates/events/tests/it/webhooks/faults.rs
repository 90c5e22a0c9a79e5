//! Receivers that misbehave, addresses that lead inside, and workers that die, freeze, or are two.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use stylobate_core::BoxFuture;
use stylobate_db::{Scope, Tx};
use stylobate_egress::{AddressPolicy, Client, Limits, Lookup};
use stylobate_events::{ATTEMPTS_MAX, DeliveryState, EndpointChange, MIGRATIONS, NewEndpoint, Next};
use stylobate_testkit::{TestDb, both_engines};

use super::{
    receiver::{Receiver, Reply, status},
    world::{Names, World, limits, loopback},
};

async fn impatient(db: TestDb) -> World {
    let limits = Limits { total: Duration::from_millis(300), ..limits() };
    World::with(db, Client::builder(loopback()).limits(limits).build().unwrap()).await
}

async fn receivers_that_do_not_answer_are_tried_again(db: TestDb) {
    let world = impatient(db).await;
    let (endpoint, _) = world.endpoint().await;
    for (reply, error) in [(Reply::Hang, "egress_timeout"), (Reply::Close, "egress_answer_broken")] {
        world.receiver.will([reply]);
        let id = world.owe(endpoint.id).await;
        assert!(matches!(world.deliver(id).await, Next::After(_)));
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.error.as_deref()), (DeliveryState::Pending, Some(error)));
        assert_eq!((delivery.response_status, delivery.response_excerpt), (None, None));
    }
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Some(format!("http://{free}/"));
    let change = EndpointChange { url, ..EndpointChange::default() };
    world.webhooks.update(&world.context(), endpoint.id, change).await.unwrap();
    let id = world.owe(endpoint.id).await;
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    assert_eq!(world.delivery(id).await.error.as_deref(), Some("egress_connect_failed"));
}
both_engines!(receivers_that_do_not_answer_are_tried_again, &[&MIGRATIONS]);

async fn a_huge_answer_is_cut(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    world.receiver.will([Reply::Flood]);
    let id = world.owe(endpoint.id).await;
    // The status says that it has it.
    assert_eq!(world.deliver(id).await, Next::Done);
    let delivery = world.delivery(id).await;
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.response_excerpt.unwrap(), "x".repeat(1_024));
    let umlauts = "ä".repeat(600);
    world.receiver.will([Reply::Status(500, String::new(), umlauts)]);
    let id = world.owe(endpoint.id).await;
    world.deliver(id).await;
    let excerpt = world.delivery(id).await.response_excerpt.unwrap();
    assert!(excerpt.len() <= 1_024 && excerpt.starts_with('ä'), "{}", excerpt.len());
}
both_engines!(a_huge_answer_is_cut, &[&MIGRATIONS]);

// A27, C37: what a name resolves to is looked at when the message is sent, each time.
async fn names_that_lead_inside_are_not_connected_to(db: TestDb) {
    let canary = Receiver::start().await;
    let inside = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "fd00:ec2::254",
    ];
    let names = Arc::new(Names { answers: inside.to_vec(), asked: 0.into() });
    let policy = AddressPolicy::public().insecure_allow_http();
    let client = Client::builder(policy).limits(limits()).lookup(Arc::clone(&names) as _).build().unwrap();
    let world = World::with(db, client).await;
    let url = format!("http://hooks.example.com:{}/", canary.address.port());
    let (endpoint, _) = world.create(NewEndpoint { url, ..world.all() }).await.unwrap();
    for (n, address) in inside.iter().enumerate() {
        let id = world.owe(endpoint.id).await;
        assert!(matches!(world.deliver(id).await, Next::After(_)));
        let delivery = world.delivery(id).await;
        assert_eq!(delivery.error.as_deref(), Some("egress_address_forbidden"), "{address}");
        assert_eq!(names.asked.load(Ordering::SeqCst), n + 1);
    }
    // An address that got into the table is looked at as well.
    let smuggle = async move |tx: &mut Tx| {
        tx.q("UPDATE webhook_endpoints SET url = $1")
            .bind(format!("http://{}/", canary.address))
            .run()
            .await?;
        Ok::<_, stylobate_db::Error>(canary.clone())
    };
    let canary = world.db.transact(Scope::Platform("tests"), smuggle).await.unwrap();
    let id = world.owe(endpoint.id).await;
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    assert_eq!(world.delivery(id).await.error.as_deref(), Some("egress_address_forbidden"));
    assert_eq!(canary.connections(), 0);
}
both_engines!(names_that_lead_inside_are_not_connected_to, &[&MIGRATIONS]);

async fn a_name_that_changes_its_mind_is_refused(db: TestDb) {
    let canary = Receiver::start().await;
    // Loopback's second address stands for the public internet.
    let policy = AddressPolicy::public().allow(["127.0.0.2/32".parse().unwrap()]).insecure_allow_http();
    let names = Arc::new(Names { answers: vec!["127.0.0.2", "127.0.0.1"], asked: 0.into() });
    let client = Client::builder(policy).limits(limits()).lookup(names).build().unwrap();
    let world = World::with(db, client).await;
    let url = format!("http://rebinding.example.com:{}/", canary.address.port());
    let (endpoint, _) = world.create(NewEndpoint { url, ..world.all() }).await.unwrap();
    let mut errors = Vec::new();
    for _ in 0..2 {
        let id = world.owe(endpoint.id).await;
        world.deliver(id).await;
        errors.extend(world.delivery(id).await.error);
    }
    // First nobody is there, then it is forbidden.
    assert_eq!(errors, ["egress_connect_failed", "egress_address_forbidden"]);
    assert_eq!(canary.connections(), 0);
}
both_engines!(a_name_that_changes_its_mind_is_refused, &[&MIGRATIONS]);

/// Has room for nobody until it is told to.
#[derive(Debug, Default)]
struct Crowded(AtomicBool);

impl Lookup for Crowded {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let has_room = self.0.load(Ordering::SeqCst);
        Box::pin(async move {
            if has_room { Ok(vec![[127, 0, 0, 1].into()]) } else { Err(io::ErrorKind::ResourceBusy.into()) }
        })
    }
}

async fn no_room_to_look_up_a_name_is_no_attempt(db: TestDb) {
    let lookup = Arc::new(Crowded::default());
    let client =
        Client::builder(loopback()).limits(limits()).lookup(Arc::clone(&lookup) as _).build().unwrap();
    let world = World::with(db, client).await;
    let url = format!("http://hooks.example.com:{}/", world.receiver.address.port());
    let (endpoint, _) = world.create(NewEndpoint { url, ..world.all() }).await.unwrap();
    let id = world.owe(endpoint.id).await;
    for _ in 0..2 * ATTEMPTS_MAX {
        let Next::After(wait) = world.deliver(id).await else { panic!("it is to be tried again") };
        assert!((10..=15).contains(&wait.as_secs()), "{wait:?}");
        let delivery = world.delivery(id).await;
        assert_eq!(
            (delivery.state, delivery.attempts, delivery.error.as_deref()),
            (DeliveryState::Pending, 0, Some("egress_busy"))
        );
        world.pass(TimeDelta::seconds(15));
    }
    assert_eq!(world.get(endpoint.id).await.failing_since, None);
    lookup.0.store(true, Ordering::SeqCst);
    assert_eq!(world.deliver(id).await, Next::Done);
    assert_eq!(world.delivery(id).await.attempts, 1);
}
both_engines!(no_room_to_look_up_a_name_is_no_attempt, &[&MIGRATIONS]);

async fn a_crash_between_sending_and_writing_costs_one_message_more(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let id = world.owe(endpoint.id).await;
    world.receiver.will([Reply::Hang]);
    let webhooks = world.webhooks.clone();
    let worker = tokio::spawn(async move { webhooks.deliver(id).await });
    world.receiver.wait_for(1).await;
    worker.abort();
    assert!(worker.await.unwrap_err().is_cancelled());
    // Nobody knows what came of it until the lease has run out.
    let Next::After(wait) = world.deliver(id).await else { panic!("it is leased") };
    assert!(wait > Duration::from_secs(30), "{wait:?}");
    assert_eq!(world.webhooks.deliver_due().await.unwrap(), 0);
    world.pass(TimeDelta::from_std(wait).unwrap());
    assert_eq!(world.deliver(id).await, Next::Done);
    let got = world.receiver.got();
    assert_eq!((got.len(), got[0].id()), (2, got[1].id()));
    assert_eq!((world.state(id).await, world.delivery(id).await.attempts), (DeliveryState::Delivered, 2));
    // Dying at it again and again is bounded too.
    let id = world.owe(endpoint.id).await;
    for tries in 1..=usize::try_from(ATTEMPTS_MAX).unwrap() {
        world.receiver.will([Reply::Hang]);
        let webhooks = world.webhooks.clone();
        let worker = tokio::spawn(async move { webhooks.deliver(id).await });
        world.receiver.wait_for(2 + tries).await;
        worker.abort();
        let _ = worker.await;
        world.pass(TimeDelta::minutes(2));
    }
    assert_eq!(world.deliver(id).await, Next::Done);
    let delivery = world.delivery(id).await;
    assert_eq!(
        (delivery.state, delivery.error.as_deref()),
        (DeliveryState::Failed, Some("webhook_interrupted"))
    );
}
both_engines!(a_crash_between_sending_and_writing_costs_one_message_more, &[&MIGRATIONS]);

// C49
async fn a_worker_that_was_frozen_writes_nothing_over_what_came_later(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    for (late, late_asks_again) in [(500, false), (410, false), (204, true)] {
        let id = world.owe(endpoint.id).await;
        let before = world.receiver.got().len();
        world.receiver.will([Reply::Held(late)]);
        let webhooks = world.webhooks.clone();
        let frozen = tokio::spawn(async move { webhooks.deliver(id).await });
        world.receiver.wait_for(before + 1).await;
        world.pass(TimeDelta::minutes(2));
        // Another has it meanwhile, and what it says counts: that it arrived, or that it has to be sent again.
        world.receiver.will([status(if late_asks_again { 500 } else { 200 })]);
        world.deliver(id).await;
        let settled = world.delivery(id).await;
        world.receiver.let_go();
        frozen.await.unwrap().unwrap();
        assert_eq!(world.delivery(id).await, settled, "{late}");
        assert_eq!(world.receiver.got().len(), before + 2);
        assert!(world.get(endpoint.id).await.is_enabled);
    }
    // The same while the other is still at it.
    let id = world.owe(endpoint.id).await;
    let before = world.receiver.got().len();
    world.receiver.will([Reply::Held(500), Reply::Held(200)]);
    let work = || {
        let webhooks = world.webhooks.clone();
        tokio::spawn(async move { webhooks.deliver(id).await })
    };
    let frozen = work();
    world.receiver.wait_for(before + 1).await;
    world.pass(TimeDelta::minutes(2));
    let other = work();
    world.receiver.wait_for(before + 2).await;
    world.receiver.let_go();
    frozen.await.unwrap().unwrap();
    assert_eq!((world.state(id).await, world.delivery(id).await.error), (DeliveryState::Pending, None));
    // Nobody else takes it: the other has the lease.
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    world.receiver.let_go();
    assert_eq!(other.await.unwrap().unwrap(), Next::Done);
    assert_eq!((world.state(id).await, world.receiver.got().len()), (DeliveryState::Delivered, before + 2));
}
both_engines!(a_worker_that_was_frozen_writes_nothing_over_what_came_later, &[&MIGRATIONS]);

async fn of_twenty_workers_one_has_the_delivery(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    for round in 1..=3 {
        let id = world.owe(endpoint.id).await;
        let workers: Vec<_> = (0..20)
            .map(|_| {
                let webhooks = world.webhooks.clone();
                tokio::spawn(async move { webhooks.deliver(id).await })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap().unwrap();
        }
        assert_eq!((world.state(id).await, world.receiver.got().len()), (DeliveryState::Delivered, round));
        assert_eq!(world.delivery(id).await.attempts, 1);
    }
}
both_engines!(of_twenty_workers_one_has_the_delivery, &[&MIGRATIONS]);

async fn a_disabled_or_removed_endpoint_is_sent_nothing(db: TestDb) {
    let world = World::new(db).await;
    let ((disabled, _), (removed, _)) = (world.endpoint().await, world.endpoint().await);
    let event = world.event("user.created");
    world.hand_over(&event).await;
    let owed = [world.deliveries(disabled.id).await[0].id, world.deliveries(removed.id).await[0].id];
    let change = EndpointChange { is_enabled: Some(false), ..EndpointChange::default() };
    world.webhooks.update(&world.context(), disabled.id, change).await.unwrap();
    world.webhooks.delete(&world.context(), removed.id).await.unwrap();
    for id in owed {
        assert_eq!(world.deliver(id).await, Next::Gone);
        let delivery = world.delivery(id).await;
        assert_eq!(
            (delivery.state, delivery.error.as_deref()),
            (DeliveryState::Cancelled, Some("webhook_disabled"))
        );
        assert_eq!(world.deliver(id).await, Next::Done);
    }
    assert_eq!(world.receiver.connections(), 0);
    // Whoever is at it when it is disabled tells what came of it.
    let (endpoint, _) = world.endpoint().await;
    let id = world.owe(endpoint.id).await;
    world.receiver.will([Reply::Held(200)]);
    let webhooks = world.webhooks.clone();
    let worker = tokio::spawn(async move { webhooks.deliver(id).await });
    world.receiver.wait_for(1).await;
    let change = EndpointChange { is_enabled: Some(false), ..EndpointChange::default() };
    world.webhooks.update(&world.context(), endpoint.id, change).await.unwrap();
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    world.receiver.let_go();
    assert_eq!(worker.await.unwrap().unwrap(), Next::Done);
    assert_eq!(world.state(id).await, DeliveryState::Delivered);
}
both_engines!(a_disabled_or_removed_endpoint_is_sent_nothing, &[&MIGRATIONS]);

async fn a_row_that_cannot_be_read_concerns_itself_alone(db: TestDb) {
    let world = World::new(db).await;
    let ((sound, _), (damaged, _)) = (world.endpoint().await, world.endpoint().await);
    let owner = world.test_db.open_as_owner().await;
    let damage = async move |tx: &mut Tx| {
        tx.q("UPDATE webhook_endpoints SET types = $1 WHERE id = $2")
            .bind("nonsense")
            .bind(damaged.id.as_uuid())
            .run()
            .await
    };
    owner.transact(Scope::Platform("tests"), damage).await.unwrap();
    let id = world.owe(sound.id).await;
    assert_eq!(world.deliver(id).await, Next::Done);
    let refused = world.webhooks.get(&world.context(), damaged.id).await.unwrap_err();
    assert_eq!(refused.code(), "db_bad_row");
    owner.close().await;
}
both_engines!(a_row_that_cannot_be_read_concerns_itself_alone, &[&MIGRATIONS]);
