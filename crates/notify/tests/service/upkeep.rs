//! What happens by itself.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use stylobate_core::{BoxFuture, Message};
use stylobate_db::{Error, Tx};
use stylobate_notify::{
    DeliveryRef, Dispatch, FailureClass, MIGRATIONS, Medium, MessageRef, Next, NotificationQuery, Notifier,
    NotifierError, Preferences,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{PLATFORM, World, as_person, states};

/// Remembers what it was told, and can refuse.
#[derive(Default)]
struct Queue {
    plans: Mutex<Vec<MessageRef>>,
    deliveries: Mutex<Vec<DeliveryRef>>,
    refuses: std::sync::atomic::AtomicBool,
}

impl Queue {
    fn answer(&self) -> Result<(), Error> {
        match self.refuses.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(Error::Busy),
            false => Ok(()),
        }
    }
}

impl Dispatch for Queue {
    fn plan<'a>(&'a self, _: &'a mut Tx, messages: Vec<MessageRef>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.plans.lock().unwrap().extend(messages);
            self.answer()
        })
    }

    fn deliver<'a>(
        &'a self,
        _: &'a mut Tx,
        deliveries: Vec<DeliveryRef>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.deliveries.lock().unwrap().extend(deliveries);
            self.answer()
        })
    }
}

async fn a_queue_is_told_inside_the_transaction(db: TestDb) {
    let queue = Arc::new(Queue::default());
    let shared = Arc::clone(&queue) as Arc<dyn Dispatch>;
    let world = World::with(db, |builder| builder.dispatching(shared)).await;
    let id = world.accept(world.welcome()).await;
    assert_eq!(*queue.plans.lock().unwrap(), [MessageRef { id, tenant: Some(world.tenant) }]);
    assert!(queue.deliveries.lock().unwrap().is_empty());
    world.notifier.plan(id).await.unwrap();
    let id = world.of(id).await[0].id;
    let (tenant, medium) = (Some(world.tenant), Medium::Email);
    let delivery = DeliveryRef { id, tenant, medium, channel: None, due_at: world.now() };
    assert_eq!(*queue.deliveries.lock().unwrap(), [delivery]);
    // What is not pending needs nobody.
    let nobody = Message::to_person("reset", stylobate_core::PersonId::new(world.now()));
    world.planned(nobody.with(serde_json::json!({ "token": "x" }))).await;
    assert_eq!(queue.deliveries.lock().unwrap().len(), 1);
    let hook = world.hook().await;
    let test = world.notifier.test_channel(&world.context(), world.tenants(), hook.id).await.unwrap();
    assert_eq!(queue.deliveries.lock().unwrap()[1].id, test.id);
    // A queue that takes nothing: nothing is accepted, or planned.
    let waiting = world.accept(world.welcome()).await;
    queue.refuses.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.notifier.notify(world.welcome()).await.unwrap_err().code(), "db_busy");
    assert_eq!(world.notifier.plan(waiting).await.unwrap_err().code(), "db_busy");
    assert!(world.of(waiting).await.is_empty());
    queue.refuses.store(false, std::sync::atomic::Ordering::SeqCst);
    // A job that was called off is made up for.
    world.pass(TimeDelta::seconds(599));
    assert_eq!(world.notifier.deliver_overdue(Duration::from_secs(600)).await.unwrap(), 0);
    world.pass(TimeDelta::seconds(1));
    assert!(world.notifier.deliver_overdue(Duration::from_secs(600)).await.unwrap() >= 3);
    assert_eq!(world.delivery(delivery.id).await.state.as_str(), "sent");
    assert_eq!(world.of(waiting).await[0].state.as_str(), "pending");
}
both_engines!(a_queue_is_told_inside_the_transaction, &[&MIGRATIONS]);

async fn alone_it_delivers_by_itself(db: TestDb) {
    let world = World::new(db).await;
    let hook = world.hook().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let notifier = world.notifier.clone();
    let running = tokio::spawn(async move {
        notifier.run(async { drop(stopped.await) }).await;
    });
    world.post.refuse(FailureClass::Permanent, "smtp_refused", 554);
    for n in 0..3 {
        world.accept(world.alert(&n.to_string())).await;
    }
    world.notifier.announce(world.event("user.created")).await.unwrap();
    let sent =
        "SELECT count(*) FROM notify_deliveries WHERE state IN ('sent', 'failed') AND medium <> 'in_app'";
    for _ in 0..1_000 {
        if world.number(sent).await == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One that is refused keeps no other from going.
    assert_eq!((world.number(sent).await, world.post.mails().len(), world.receiver.got().len()), (4, 2, 1));
    stop.send(()).unwrap();
    running.await.unwrap();
    assert!(world.notifier.channel(world.tenants(), hook.id).await.unwrap().is_active);
}
both_engines!(alone_it_delivers_by_itself, &[&MIGRATIONS]);

async fn what_is_old_is_removed_and_what_was_said_forgotten(db: TestDb) {
    let world = World::new(db).await;
    let (month, half_a_year) = (Notifier::DELIVERIES_KEPT, Notifier::NOTIFICATIONS_KEPT);
    let done = world.planned(world.alert("1")).await[0].id;
    world.deliver(done).await;
    world.planned(world.alert("2")).await;
    // Two that ended at once and left the message open.
    world.tamper("UPDATE notify_deliveries SET state = 'sent', finished_at = created_at, destination_sealed = NULL WHERE state = 'pending'").await;
    let open = "SELECT count(*) FROM notify_messages WHERE values_sealed IS NOT NULL";
    assert_eq!(world.number(open).await, 1);
    world.notifier.keep_up(month, half_a_year).await.unwrap();
    assert_eq!(
        (world.number(open).await, world.number("SELECT count(*) FROM notify_deliveries").await),
        (0, 4)
    );
    let pending = world.planned(world.alert("3")).await[0].id;
    let until = Some(world.now() + TimeDelta::days(1));
    world.notifier.suppress(&world.context(), Medium::Email, "x@example.org", "r", until).await.unwrap();
    world.pass(TimeDelta::days(30) + TimeDelta::seconds(1));
    // Four deliveries of two messages, one that appeared in the product, and the suppression; what is pending stays.
    assert_eq!(world.notifier.keep_up(month, half_a_year).await.unwrap(), 4 + 2 + 1 + 1);
    assert_eq!(world.delivery(pending).await.state.as_str(), "pending");
    assert_eq!(world.number("SELECT count(*) FROM notifications").await, 3);
    world.pass(TimeDelta::days(150));
    assert_eq!(world.notifier.keep_up(Duration::MAX, half_a_year).await.unwrap(), 2);
    // Positions count on from the last, which stays.
    world.planned(world.alert("4")).await;
    let last = world.number("SELECT max(position) FROM notifications").await;
    assert_eq!((last, world.number("SELECT count(*) FROM notifications").await), (4, 2));
}
both_engines!(what_is_old_is_removed_and_what_was_said_forgotten, &[&MIGRATIONS]);

async fn whoever_is_gone_leaves_nothing_behind(db: TestDb) {
    let world = World::new(db).await;
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    let hook = serde_json::json!({ "url": world.receiver.url() });
    world.channel(world.adas(), Medium::Webhook, hook.clone()).await;
    let tenants = world.hook().await;
    let template = stylobate_notify::TemplateOverride {
        locale: "en".into(),
        subject: "s".into(),
        text: "t".into(),
        html: None,
    };
    world.notifier.put_template(&world.context(), "welcome", template, None).await.unwrap();
    world.notifier.set_preferences(&as_person(bob, world.tenant), Preferences::default()).await.unwrap();
    world.notifier.set_preferences(&world.context(), Preferences::default()).await.unwrap();
    let planned = world.planned(world.welcome()).await;
    let (this, ada, tenant) = (world.notifier.clone(), world.ada, world.tenant);
    let forget = async move |tx: &mut Tx| this.forget_person(tx, ada).await;
    world.db.transact(PLATFORM, forget).await.unwrap();
    for one in &planned {
        assert_eq!(world.deliver(one.id).await, Next::Done);
    }
    let dropped = states(&world.of(planned[0].message_id).await);
    assert_eq!(
        (dropped[0], dropped[2]),
        (("email", "dropped", Some("no_address")), ("webhook", "dropped", Some("no_address")))
    );
    for (sql, left) in [
        ("SELECT count(*) FROM notifications", 0),
        ("SELECT count(*) FROM notification_channels", 1),
        ("SELECT count(*) FROM notify_preferences", 1),
    ] {
        assert_eq!(world.number(sql).await, left, "{sql}");
    }
    assert!(world.post.mails().is_empty() && world.receiver.got().is_empty());
    assert_eq!(world.forgotten(2).await, [1, 1, 0]);
    assert!(world.notifier.channel(world.tenants(), tenants.id).await.is_err());
    assert_eq!(world.number("SELECT count(*) FROM notify_templates").await, 0);
    // What was said to them is forgotten too.
    world.notifier.keep_up(Notifier::DELIVERIES_KEPT, Notifier::NOTIFICATIONS_KEPT).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE values_sealed IS NOT NULL").await, 0);
    // What is under way to people comes to its end first.
    let mut under_way = world.planned(world.alert("cpu")).await;
    under_way.retain(|one| one.state.as_str() == "pending");
    assert!(!under_way.is_empty());
    let remove = || {
        let this = world.notifier.clone();
        let limit = NonZeroU32::new(2).unwrap();
        let remove = async move |tx: &mut Tx| this.remove_tenant_rows(tx, tenant, limit).await;
        world.db.transact(PLATFORM, remove)
    };
    while remove().await.unwrap() > 0 {}
    let left = "SELECT count(*) FROM notify_deliveries";
    assert_eq!(world.number(left).await, i64::try_from(under_way.len()).unwrap());
    for one in &under_way {
        world.deliver(one.id).await;
    }
    while remove().await.unwrap() > 0 {}
    let said = "SELECT count(*) FROM notifications WHERE kind <> '' OR title <> '' OR link IS NOT NULL";
    for table in ["SELECT count(*) FROM notify_messages", left, said] {
        assert_eq!(world.number(table).await, 0, "{table}");
    }
    // Whoever hears of notifications at another tenant takes none that comes later for one that they have seen.
    let (notifier, all) = (&world.notifier, NotificationQuery::default());
    assert_eq!(notifier.last_position(ada).await.unwrap(), 1);
    assert!(notifier.notifications(ada, None, &all).await.unwrap().items.is_empty());
    assert!(notifier.notifications_after(ada, None, 0).await.unwrap().is_empty());
    assert_eq!(notifier.unread_count(ada, None).await.unwrap(), 0);
    world.planned(world.alert("disk")).await;
    assert_eq!(notifier.notifications_after(ada, None, 1).await.unwrap().len(), 1);
}
both_engines!(whoever_is_gone_leaves_nothing_behind, &[&MIGRATIONS]);

async fn what_was_to_go_through_the_channels_of_a_tenant_that_is_gone_is_dropped(db: TestDb) {
    let world = World::new(db).await;
    world.hook().await;
    let under_way = world.announced(world.event("user.created")).await;
    assert_eq!(states(&under_way), [("webhook", "pending", None)]);
    let tenant = world.tenant;
    assert_eq!(world.forgotten(10).await, [1, 0]);
    let dropped = states(&world.of(under_way[0].message_id).await);
    assert_eq!(dropped, [("webhook", "dropped", Some("channel_gone"))]);
    assert_eq!(world.deliver(under_way[0].id).await, Next::Done);
    assert!(world.receiver.got().is_empty());
    let mut left = Vec::new();
    for _ in 0..3 {
        let this = world.notifier.clone();
        let step = async move |tx: &mut Tx| {
            let removed = this.remove_tenant_rows(tx, tenant, NonZeroU32::new(10).unwrap()).await?;
            Ok::<_, NotifierError>((removed, this.has_messages(tx, tenant).await?))
        };
        left.push(world.db.transact(PLATFORM, step).await.unwrap());
    }
    assert_eq!(left, [(1, true), (1, false), (0, false)]);
}
both_engines!(what_was_to_go_through_the_channels_of_a_tenant_that_is_gone_is_dropped, &[&MIGRATIONS]);

/// One transaction removes no more than it is told to, however much there is.
async fn a_tenant_that_is_gone_is_forgotten_few_rows_at_a_time(db: TestDb) {
    let world = World::new(db).await;
    let hooks = [world.hook().await, world.hook().await];
    let under_way = world.announced(world.event("user.created")).await;
    assert_eq!(under_way.len(), hooks.len());
    for name in ["x", "y"] {
        let (email, address) = (Medium::Email, format!("{name}@example.org"));
        world.notifier.suppress(&world.context(), email, &address, "left", None).await.unwrap();
    }
    assert_eq!(world.forgotten(1).await, [1, 1, 1, 1, 0]);
    let dropped = states(&world.of(under_way[0].message_id).await);
    assert_eq!(dropped, [("webhook", "dropped", Some("channel_gone")); 2]);

    // Of three that Ada was told, the last leaves its position, and is counted once.
    for rule in ["cpu", "disk", "net"] {
        for one in world.planned(world.alert(rule)).await {
            world.deliver(one.id).await;
        }
    }
    let notified = "SELECT count(*) FROM notifications WHERE kind <> ''";
    assert_eq!(world.number(notified).await, 3);
    let mut steps = Vec::new();
    while world.number(notified).await > 0 {
        let (this, tenant, limit) = (world.notifier.clone(), world.tenant, NonZeroU32::new(2).unwrap());
        let remove = async move |tx: &mut Tx| this.remove_tenant_rows(tx, tenant, limit).await;
        steps.push(world.db.transact(PLATFORM, remove).await.unwrap());
    }
    assert_eq!(steps, [2, 1]);
    assert_eq!(world.notifier.last_position(world.ada).await.unwrap(), 3);
    assert_eq!(world.number("SELECT count(*) FROM notifications").await, 1);
}
both_engines!(a_tenant_that_is_gone_is_forgotten_few_rows_at_a_time, &[&MIGRATIONS]);

impl World {
    /// How many rows each step takes that forgets the tenant, up to `limit` at a time.
    async fn forgotten(&self, limit: u32) -> Vec<u64> {
        let mut steps = Vec::new();
        while steps.last() != Some(&0) {
            let (this, tenant, limit) = (self.notifier.clone(), self.tenant, NonZeroU32::new(limit).unwrap());
            let forget = async move |tx: &mut Tx| this.forget_tenant(tx, tenant, limit).await;
            steps.push(self.db.transact(PLATFORM, forget).await.unwrap());
        }
        steps
    }
}

async fn what_is_counted_stays_for_as_long_as_it_is(db: TestDb) {
    let world = World::new(db).await;
    let (soon, half_a_year) = (Duration::from_secs(1), Notifier::NOTIFICATIONS_KEPT);
    for message in [world.alert("cpu"), world.reset(), world.reset()] {
        let id = world.planned(message).await[0].id;
        world.deliver(id).await;
    }
    world.pass(TimeDelta::seconds(30));
    assert_eq!(world.notifier.keep_up(soon, half_a_year).await.unwrap(), 0);
    let again = states(&world.planned(world.alert("cpu")).await);
    assert_eq!(again[0], ("email", "dropped", Some("duplicate")));
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "dropped", Some("budget"))]);
    // The longest of all is a day.
    world.pass(TimeDelta::days(1) + TimeDelta::seconds(1));
    assert!(world.notifier.keep_up(soon, half_a_year).await.unwrap() > 0);
    assert_eq!(world.number("SELECT count(*) FROM notify_deliveries").await, 0);
}
both_engines!(what_is_counted_stays_for_as_long_as_it_is, &[&MIGRATIONS]);
