//! What is owed to whom, and what comes of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{BoxFuture, Clock as _, PageLimit, SystemClock, TenantId, WebhookDeliveryId};
use stylobate_db::{Error, Tx};
use stylobate_events::{
    ATTEMPTS_MAX, DeliveryQuery, DeliveryState, DisabledReason, Dispatch, Dispatched, EndpointChange,
    Envelope, MIGRATIONS, NewEndpoint, Next,
};
use stylobate_testkit::{TestDb, both_engines};

use super::{
    receiver::{Reply, status},
    world::{World, as_tenant, hand_over},
};

fn types(types: &[&str]) -> Vec<String> {
    types.iter().map(|one| (*one).to_owned()).collect()
}

async fn an_event_is_owed_to_the_endpoints_that_name_it(db: TestDb) {
    let world = World::new(db).await;
    let make = async |named: &[&str]| {
        world.create(NewEndpoint { types: types(named), ..world.all() }).await.unwrap().0
    };
    let (users, all, roles) = (make(&["user.*"]).await, make(&["*"]).await, make(&["role.created"]).await);
    let (disabled, _) = world.endpoint().await;
    let disable = EndpointChange { is_enabled: Some(false), ..EndpointChange::default() };
    world.webhooks.update(&world.context(), disabled.id, disable).await.unwrap();
    let theirs = as_tenant(TenantId::new(SystemClock.now()));
    let (foreign, _) = world.webhooks.create(&theirs, world.all()).await.unwrap();

    let event = world.event("user.created");
    world.hand_over(&event).await;
    // The relay may hand it over again.
    world.hand_over(&event).await;
    // The platform's events are nobody's, and types that came later are of `*`.
    world.hand_over(&Envelope { tenant_id: None, ..world.event("user.created") }).await;
    world.hand_over(&world.event("invoice.paid")).await;
    let kinds = async |id| {
        let all = world.deliveries(id).await;
        // Of one time: in any order.
        let kinds: std::collections::BTreeSet<_> = all.into_iter().map(|one| one.kind).collect();
        Vec::from_iter(kinds)
    };
    assert_eq!(kinds(users.id).await, ["user.created"]);
    assert_eq!(kinds(all.id).await, ["invoice.paid", "user.created"]);
    assert!(kinds(roles.id).await.is_empty() && kinds(disabled.id).await.is_empty());
    let none = world.webhooks.deliveries(&theirs, &DeliveryQuery::of(foreign.id)).await.unwrap();
    assert!(none.items.is_empty());
    let delivery = world.deliveries(users.id).await.remove(0);
    assert_eq!((delivery.event_id, delivery.state, delivery.attempts), (event.id, DeliveryState::Pending, 0));
    assert_eq!((delivery.due_at, delivery.body.clone()), (Some(world.now()), None));
    let whole = world.delivery(delivery.id).await;
    assert_eq!(whole.body.unwrap().into_bytes(), event.to_json());
    assert_eq!(world.receiver.connections(), 0);
}
both_engines!(an_event_is_owed_to_the_endpoints_that_name_it, &[&MIGRATIONS]);

async fn answers_decide_what_follows(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    for code in [200, 201, 202, 204, 299] {
        world.receiver.will([status(code)]);
        let id = world.owe(endpoint.id).await;
        assert_eq!(world.deliver(id).await, Next::Done, "{code}");
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.error), (DeliveryState::Delivered, None), "{code}");
        assert_eq!((delivery.response_status, delivery.finished_at), (Some(code), Some(world.now())));
        assert_eq!((delivery.attempts, delivery.attempted_at, delivery.due_at), (1, Some(world.now()), None));
    }
    for (code, error) in [
        (300, "webhook_redirect"),
        (304, "webhook_redirect"),
        (400, "webhook_status"),
        (401, "webhook_status"),
        (404, "webhook_status"),
        (429, "webhook_status"),
        (500, "webhook_status"),
        (503, "webhook_status"),
        (599, "webhook_status"),
    ] {
        world.receiver.will([Reply::Status(code, String::new(), "not\0 now".to_owned())]);
        let id = world.owe(endpoint.id).await;
        let Next::After(wait) = world.deliver(id).await else { panic!("{code}") };
        assert!(wait >= Duration::from_secs(5) && wait < Duration::from_secs(6), "{wait:?}");
        let delivery = world.delivery(id).await;
        assert_eq!(
            (delivery.state, delivery.error.as_deref()),
            (DeliveryState::Pending, Some(error)),
            "{code}"
        );
        assert_eq!(delivery.due_at, Some(world.now() + TimeDelta::from_std(wait).unwrap()));
        assert_eq!(delivery.response_status, Some(code));
        // 304 has no body.
        assert!(
            code == 304 || delivery.response_excerpt.as_deref() == Some("not\u{fffd} now"),
            "{delivery:?}"
        );
        // Not before it is due; then with the same id.
        let Next::After(left) = world.deliver(id).await else { panic!("{code}") };
        assert_eq!(left, wait);
        world.pass(TimeDelta::from_std(wait).unwrap());
        let first = world.last();
        assert_eq!(world.deliver(id).await, Next::Done);
        assert_eq!((first.id().to_owned(), &first.body), (world.last().id().to_owned(), &world.last().body));
        assert_ne!(first.header("webhook-timestamp"), world.last().header("webhook-timestamp"));
        assert_eq!(world.delivery(id).await.attempts, 2);
        // What is done is done.
        assert_eq!(world.deliver(id).await, Next::Done);
    }
    assert_eq!(world.receiver.got().len(), 5 + 2 * 9);
    assert!(world.get(endpoint.id).await.failing_since.is_none());
    assert_eq!(world.deliver(WebhookDeliveryId::new(world.now())).await, Next::Done);
}
both_engines!(answers_decide_what_follows, &[&MIGRATIONS]);

async fn a_receiver_says_when_to_come_back(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let date = (world.now() + TimeDelta::seconds(90)).format("%a, %d %b %Y %H:%M:%S GMT");
    for (code, asked, expected) in [
        (429, "120".to_owned(), 120),
        (503, "7200".to_owned(), 3_600),
        (503, date.to_string(), 90),
        (500, "120".to_owned(), 5),
        (429, "soon".to_owned(), 5),
        (429, "1".to_owned(), 5),
    ] {
        world.receiver.will([Reply::Status(code, format!("retry-after: {asked}\r\n"), String::new())]);
        let id = world.owe(endpoint.id).await;
        let Next::After(wait) = world.deliver(id).await else { panic!("{code}") };
        assert_eq!(wait.as_secs(), expected, "{code} {asked}");
    }
}
both_engines!(a_receiver_says_when_to_come_back, &[&MIGRATIONS]);

// A27
async fn redirects_are_failures_and_lead_nowhere(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let elsewhere = super::receiver::Receiver::start().await;
    for code in [301, 302, 303, 307, 308] {
        world.receiver.will([Reply::Status(
            code,
            format!("location: {}\r\n", elsewhere.url()),
            String::new(),
        )]);
        let id = world.owe(endpoint.id).await;
        assert!(matches!(world.deliver(id).await, Next::After(_)));
        assert_eq!(world.delivery(id).await.error.as_deref(), Some("webhook_redirect"));
    }
    assert_eq!((elsewhere.connections(), world.receiver.connections()), (0, 5));
}
both_engines!(redirects_are_failures_and_lead_nowhere, &[&MIGRATIONS]);

async fn a_delivery_is_tried_for_a_day_and_given_up(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, secret) = world.endpoint().await;
    let (id, begun) = (world.owe(endpoint.id).await, world.now());
    let tries = usize::try_from(ATTEMPTS_MAX).unwrap();
    world.receiver.will(vec![status(500); tries]);
    while let Next::After(wait) = world.deliver(id).await {
        world.pass(TimeDelta::from_std(wait).unwrap());
    }
    let delivery = world.delivery(id).await;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Failed, ATTEMPTS_MAX));
    let span = world.now() - begun;
    assert!(span > TimeDelta::hours(23) && span < TimeDelta::hours(30), "{span}");
    let got = world.receiver.got();
    assert_eq!(got.len(), tries);
    assert!(got.iter().all(|one| one.id() == delivery.event_id.to_string()));
    assert!(got.iter().all(|one| one.verify(std::slice::from_ref(&secret)).is_ok()));
    assert_eq!(world.get(endpoint.id).await.failing_since, Some(begun));

    // Asked for again, it has all its attempts.
    world.audited();
    let again = world.webhooks.redeliver(&world.context(), id).await.unwrap();
    assert_eq!((again.state, again.attempts, again.finished_at), (DeliveryState::Pending, 0, None));
    world.receiver.will([status(500)]);
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    world.webhooks.redeliver(&world.context(), id).await.unwrap();
    assert_eq!(world.deliver(id).await, Next::Done);
    assert_eq!(world.state(id).await, DeliveryState::Delivered);
    assert_eq!(world.get(endpoint.id).await.failing_since, None);
    assert_eq!(world.actions(), ["webhook.redeliver"; 2]);
    // Also what was delivered: perhaps the receiver has lost it.
    world.webhooks.redeliver(&world.context(), id).await.unwrap();
    assert_eq!(world.deliver(id).await, Next::Done);
    assert_eq!(world.receiver.got().len(), tries + 3);
}
both_engines!(a_delivery_is_tried_for_a_day_and_given_up, &[&MIGRATIONS]);

async fn a_receiver_that_is_gone_is_asked_no_more(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let (first, second) = (world.owe(endpoint.id).await, world.owe(endpoint.id).await);
    world.audited();
    world.receiver.will([status(410)]);
    assert_eq!(world.deliver(first).await, Next::Done);
    let delivery = world.delivery(first).await;
    assert_eq!((delivery.state, delivery.error.as_deref()), (DeliveryState::Failed, Some("webhook_gone")));
    let disabled = world.get(endpoint.id).await;
    assert_eq!((disabled.is_enabled, disabled.disabled_reason), (false, Some(DisabledReason::Gone)));
    // On record, and told to those who care.
    let audited = world.audited();
    assert_eq!(
        (audited.len(), audited[0].action, audited[0].tenant),
        (1, "webhook.disable", Some(world.tenant))
    );
    let emitted = world.emitted();
    let data = json!({ "endpoint_id": endpoint.id, "reason": "gone", "failing_since": null });
    assert_eq!(emitted, [("webhook.disabled", Some(world.tenant), data)]);
    // What was owed besides is cancelled, and nothing new is owed.
    assert_eq!(world.deliver(second).await, Next::Gone);
    assert_eq!(world.state(second).await, DeliveryState::Cancelled);
    world.hand_over(&world.event("user.created")).await;
    assert_eq!(world.deliveries(endpoint.id).await.len(), 2);
    let refused = world.webhooks.redeliver(&world.context(), second).await.unwrap_err();
    assert_eq!(refused.code(), "webhook_disabled");
    assert_eq!(
        world.webhooks.test(&world.context(), endpoint.id).await.unwrap_err().code(),
        "webhook_disabled"
    );
    assert_eq!(world.receiver.connections(), 1);
    // Enabled again, it can be asked for again.
    let enable = EndpointChange { is_enabled: Some(true), ..EndpointChange::default() };
    world.webhooks.update(&world.context(), endpoint.id, enable).await.unwrap();
    world.webhooks.redeliver(&world.context(), second).await.unwrap();
    assert_eq!(world.deliver(second).await, Next::Done);
}
both_engines!(a_receiver_that_is_gone_is_asked_no_more, &[&MIGRATIONS]);

async fn five_days_of_nothing_but_failures_disable_an_endpoint(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let fail = async || {
        world.receiver.will([status(500)]);
        let id = world.owe(endpoint.id).await;
        world.deliver(id).await
    };
    // Until it is given up, a day later.
    let fail_for_good = async || {
        let id = world.owe(endpoint.id).await;
        loop {
            world.receiver.will([status(500)]);
            match world.deliver(id).await {
                Next::After(wait) => world.pass(TimeDelta::from_std(wait).unwrap()),
                next => return next,
            }
        }
    };
    let begun = world.now();
    fail().await;
    world.pass(TimeDelta::days(4));
    fail().await;
    assert_eq!(world.get(endpoint.id).await.failing_since, Some(begun));
    // One that arrives begins it anew.
    let id = world.owe(endpoint.id).await;
    assert_eq!(world.deliver(id).await, Next::Done);
    world.pass(TimeDelta::days(2));
    fail().await;
    // So does another receiver.
    let url = Some(world.receiver.url() + "&c=d");
    let change = EndpointChange { url, ..EndpointChange::default() };
    world.webhooks.update(&world.context(), endpoint.id, change).await.unwrap();
    world.pass(TimeDelta::days(4));
    fail_for_good().await;
    // Nothing happens for weeks, and then it fails once more.
    world.pass(TimeDelta::days(20));
    fail().await;
    assert!(world.get(endpoint.id).await.is_enabled);
    // One that arrives forgets what was given up.
    let id = world.owe(endpoint.id).await;
    assert_eq!(world.deliver(id).await, Next::Done);
    let begun_anew = world.now();
    fail_for_good().await;
    fail_for_good().await;
    assert!(world.now() < begun_anew + TimeDelta::days(3));
    world.pass(begun_anew + TimeDelta::days(5) - TimeDelta::microseconds(1) - world.now());
    fail().await;
    assert!(world.get(endpoint.id).await.is_enabled);
    world.pass(TimeDelta::microseconds(1));
    world.audited();
    let last = fail().await;
    assert!(matches!(last, Next::After(_)));
    let disabled = world.get(endpoint.id).await;
    assert_eq!((disabled.is_enabled, disabled.disabled_reason), (false, Some(DisabledReason::Failing)));
    assert_eq!(disabled.failing_since, Some(begun_anew));
    assert_eq!(world.actions(), ["webhook.disable"]);
    let emitted = world.emitted();
    assert_eq!((emitted.len(), emitted[0].0), (1, "webhook.disabled"));
    assert_eq!(emitted[0].2["reason"], "failing");
    // The attempts that were to follow are none.
    let pending = world.deliveries(endpoint.id).await.remove(0);
    assert_eq!((pending.state, world.deliver(pending.id).await), (DeliveryState::Pending, Next::Gone));
}
both_engines!(five_days_of_nothing_but_failures_disable_an_endpoint, &[&MIGRATIONS]);

async fn an_endpoint_is_tried_out(db: TestDb) {
    let world = World::new(db).await;
    let new = NewEndpoint { types: types(&["role.created"]), ..world.all() };
    let (endpoint, secret) = world.create(new).await.unwrap();
    world.audited();
    let delivery = world.webhooks.test(&world.context(), endpoint.id).await.unwrap();
    assert_eq!((delivery.kind.as_str(), delivery.state), ("webhook.test", DeliveryState::Pending));
    assert_eq!(world.deliver(delivery.id).await, Next::Done);
    let got = world.last();
    assert!(got.verify(&[secret]).is_ok());
    let event = Envelope::from_json(&got.body).unwrap();
    assert_eq!((event.kind.as_str(), event.tenant_id), ("webhook.test", Some(world.tenant)));
    assert_eq!((event.id, event.data), (delivery.event_id, json!({ "endpoint_id": endpoint.id })));
    assert_eq!(world.actions(), ["webhook.test"]);
}
both_engines!(an_endpoint_is_tried_out, &[&MIGRATIONS]);

async fn deliveries_are_listed_by_time_and_state(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let mut made = Vec::new();
    for n in 0..7 {
        // Some at one time: the id decides between them.
        world.pass(TimeDelta::milliseconds(n % 3));
        made.push(world.owe(endpoint.id).await);
    }
    world.deliver(made[2]).await;
    let list = async |state| {
        let limit = PageLimit::new(2).unwrap();
        let mut query = DeliveryQuery { state, limit, ..DeliveryQuery::of(endpoint.id) };
        let mut seen = Vec::new();
        loop {
            let page = world.webhooks.deliveries(&world.context(), &query).await.unwrap();
            seen.extend(page.items.into_iter().map(|one| (one.created_at, one.id)));
            let Some(next) = page.next_cursor else { return seen };
            query.cursor = Some(next.encode());
        }
    };
    let all = list(None).await;
    assert!(all.len() == 7 && all.windows(2).all(|two| two[0] > two[1]), "{all:?}");
    assert_eq!(
        list(Some(DeliveryState::Delivered)).await.iter().map(|one| one.1).collect::<Vec<_>>(),
        [made[2]]
    );
    assert_eq!(list(Some(DeliveryState::Pending)).await.len(), 6);
    assert!(list(Some(DeliveryState::Failed)).await.is_empty());
}
both_engines!(deliveries_are_listed_by_time_and_state, &[&MIGRATIONS]);

/// Takes what it is given, or refuses.
#[derive(Default)]
struct Queue {
    taken: Mutex<Vec<(WebhookDeliveryId, i64)>>,
    is_full: std::sync::atomic::AtomicBool,
}

impl Dispatch for Queue {
    fn dispatch<'a>(&'a self, _: &'a mut Tx, delivery: Dispatched) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if self.is_full.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(Error::Participant("full".into()));
            }
            self.taken.lock().unwrap().push((delivery.id, delivery.generation));
            Ok(())
        })
    }
}

async fn each_delivery_is_handed_on_as_it_is_made(db: TestDb) {
    let world = World::new(db).await;
    let queue = Arc::new(Queue::default());
    let webhooks = world.webhooks.clone().dispatching(Arc::clone(&queue) as _);
    let (one, other) = (world.endpoint().await.0, world.endpoint().await.0);
    let event = world.event("user.created");
    hand_over(&world.db, &webhooks, &event).await.unwrap();
    hand_over(&world.db, &webhooks, &event).await.unwrap();
    let mut expected =
        vec![(world.deliveries(one.id).await[0].id, 1), (world.deliveries(other.id).await[0].id, 1)];
    expected.push((webhooks.test(&world.context(), one.id).await.unwrap().id, 1));
    expected.push((webhooks.redeliver(&world.context(), expected[0].0).await.unwrap().id, 2));
    let mut taken = queue.taken.lock().unwrap().clone();
    taken[..2].sort();
    expected[..2].sort();
    assert_eq!(taken, expected);
    // What cannot be handed on is not made.
    queue.is_full.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(hand_over(&world.db, &webhooks, &world.event("user.updated")).await.is_err());
    assert_eq!(webhooks.test(&world.context(), one.id).await.unwrap_err().code(), "db_participant");
    assert_eq!(world.deliveries(one.id).await.len(), 2);
}
both_engines!(each_delivery_is_handed_on_as_it_is_made, &[&MIGRATIONS]);

async fn who_asks_again_takes_the_delivery_from_those_who_had_it(db: TestDb) {
    let world = World::new(db).await;
    let queue = Arc::new(Queue::default());
    let webhooks = world.webhooks.clone().dispatching(Arc::clone(&queue) as _);
    let (endpoint, _) = world.endpoint().await;
    hand_over(&world.db, &webhooks, &world.event("user.created")).await.unwrap();
    let id = world.deliveries(endpoint.id).await[0].id;
    let deliver = async |generation: i64| world.webhooks.deliver_generation(id, generation).await.unwrap();
    world.receiver.will([status(500)]);
    assert!(matches!(deliver(1).await, Next::After(_)));
    for _ in 0..3 {
        webhooks.redeliver(&world.context(), id).await.unwrap();
    }
    let generations: Vec<_> = queue.taken.lock().unwrap().iter().map(|(_, generation)| *generation).collect();
    assert_eq!(generations, [1, 2, 3, 4]);
    // It is due, and none but the last takes it up: each of them would come back until it is done.
    for earlier in 1..4 {
        assert_eq!(deliver(earlier).await, Next::Done);
    }
    assert_eq!((world.receiver.got().len(), world.state(id).await), (1, DeliveryState::Pending));

    // What comes of an attempt that is under way is written over nothing.
    for late in [500, 204] {
        let sent = world.receiver.got().len();
        let generation = queue.taken.lock().unwrap().last().unwrap().1;
        world.receiver.will([Reply::Held(late)]);
        let under_way = webhooks.clone();
        let worker = tokio::spawn(async move { under_way.deliver_generation(id, generation).await });
        world.receiver.wait_for(sent + 1).await;
        let asked = webhooks.redeliver(&world.context(), id).await.unwrap();
        assert_eq!((asked.state, asked.attempts), (DeliveryState::Pending, 0));
        world.receiver.let_go();
        worker.await.unwrap().unwrap();
        assert_eq!(world.delivery(id).await, asked, "{late}");
        assert_eq!(deliver(generation).await, Next::Done);
        assert_eq!(world.receiver.got().len(), sent + 1);
    }
    let last = queue.taken.lock().unwrap().last().unwrap().1;
    assert_eq!(deliver(last).await, Next::Done);
    assert_eq!(world.state(id).await, DeliveryState::Delivered);
}
both_engines!(who_asks_again_takes_the_delivery_from_those_who_had_it, &[&MIGRATIONS]);
