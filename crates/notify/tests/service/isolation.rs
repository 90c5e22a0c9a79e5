//! What tenants see, change and use of each other: nothing. What is a person's or an address's own is said where it is.

use std::num::NonZeroU32;

use serde_json::json;
use stylobate_core::{Clock as _, Message, PageLimit, RequestContext, SystemClock, TenantId};
use stylobate_db::{Engine, Scope, Tx};
use stylobate_notify::{
    Accepted, Category, ChannelOwner, FailureClass, MIGRATIONS, Medium, MessageDeliveryQuery,
    NotificationQuery, Preferences, TemplateOverride,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, as_person, platform, states};

/// Somebody of another tenant.
fn foreigner(world: &World) -> (TenantId, RequestContext) {
    let elsewhere = TenantId::new(SystemClock.now());
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    (elsewhere, as_person(bob, elsewhere))
}

fn words(subject: &str) -> TemplateOverride {
    TemplateOverride { locale: "en".into(), subject: subject.into(), text: "t".into(), html: None }
}

async fn nothing_of_another_tenant_is_seen_or_changed(db: TestDb) {
    let world = World::new(db).await;
    let (elsewhere, foreign) = foreigner(&world);
    let (notifier, own) = (&world.notifier, world.context());
    let bob = foreign.principal.person_id().unwrap();
    let hook = world.hook().await;
    let suppression = notifier.suppress(&own, Medium::Email, "x@example.org", "left", None).await.unwrap();
    let template = notifier.put_template(&own, "welcome", words("Ours"), None).await.unwrap();
    let planned = world.planned(world.welcome()).await;
    let announced = world.announced(world.event("user.created")).await;
    assert_eq!(announced[0].channel_id, Some(hook.id));

    let mine = MessageDeliveryQuery::default();
    let through = MessageDeliveryQuery { channel: Some(hook.id), ..mine.clone() };
    for query in [&mine, &through] {
        assert!(notifier.deliveries(&foreign, query).await.unwrap().items.is_empty());
    }
    for one in planned.iter().chain(&announced) {
        assert_eq!(notifier.delivery(&foreign, one.id).await.unwrap_err().code(), "not_found");
        assert_eq!(notifier.delivery(&own, one.id).await.unwrap().id, one.id);
    }
    let limit = PageLimit::default();
    assert!(notifier.suppressions(&foreign, limit, None).await.unwrap().items.is_empty());
    let lifted = notifier.unsuppress(&foreign, suppression.id).await.unwrap_err();
    assert_eq!(lifted.code(), "not_found");
    assert!(notifier.templates(&foreign, "welcome").await.unwrap().is_empty());
    let removed = notifier.delete_template(&foreign, "welcome", "en").await.unwrap_err();
    assert_eq!(removed.code(), "not_found");
    // They have words of their own, from the first version on.
    notifier.put_template(&foreign, "welcome", words("Theirs"), Some(0)).await.unwrap();
    assert_eq!(notifier.templates(&own, "welcome").await.unwrap(), [template]);
    let shown = async |context| {
        notifier.preview_template(context, "welcome", Some("en"), None).await.unwrap().subject
    };
    assert_eq!((shown(&own).await, shown(&foreign).await), ("Ours".into(), "Theirs".into()));

    let listed = NotificationQuery::default();
    let found = notifier.notifications(world.ada, Some(world.tenant), &listed).await.unwrap().items;
    let adas_there = as_person(world.ada, elsewhere);
    for context in [&foreign, &adas_there, &as_person(bob, world.tenant)] {
        let person = context.principal.person_id().unwrap();
        let tenant = context.principal.tenant;
        assert!(notifier.notifications(person, tenant, &listed).await.unwrap().items.is_empty());
        assert!(notifier.notifications_after(person, tenant, 0).await.unwrap().is_empty());
        assert_eq!(notifier.unread_count(person, tenant).await.unwrap(), 0);
        let read = notifier.read_notification(context, found[0].id).await.unwrap_err();
        assert_eq!(read.code(), "not_found");
        assert_eq!(notifier.read_all_notifications(context).await.unwrap(), 0);
    }
    assert_eq!(notifier.notifications(world.ada, Some(world.tenant), &listed).await.unwrap().items, found);

    // Preferences are of a person, in whatever tenant, and of nobody else.
    let muted = Preferences { quiet_hours: None, muted: vec![Category::Alert] };
    notifier.set_preferences(&foreign, muted.clone()).await.unwrap();
    assert_eq!(notifier.preferences(world.ada).await.unwrap(), Preferences::default());
    assert_eq!(notifier.preferences(bob).await.unwrap(), muted);

    // A tenant that goes takes nothing of others with it.
    let forget = || {
        let this = notifier.clone();
        let forget = async move |tx: &mut Tx| this.forget_tenant(tx, elsewhere, NonZeroU32::MIN).await;
        world.db.transact(Scope::Tenant(elsewhere), forget)
    };
    while forget().await.unwrap() > 0 {}
    assert_eq!(notifier.channel(world.tenants(), hook.id).await.unwrap(), hook);
    assert_eq!(notifier.suppressions(&own, limit, None).await.unwrap().items, [suppression]);
    assert_eq!((shown(&own).await, shown(&foreign).await), ("Ours".into(), "Welcome to Acme".into()));
}
both_engines!(nothing_of_another_tenant_is_seen_or_changed, &[&MIGRATIONS]);

async fn a_careless_statement_finds_no_row_of_another_tenant(db: TestDb) {
    let world = World::new(db).await;
    let (elsewhere, _) = foreigner(&world);
    world.hook().await;
    world.notifier.suppress(&world.context(), Medium::Email, "x@example.org", "left", None).await.unwrap();
    world.notifier.put_template(&world.context(), "welcome", words("Ours"), None).await.unwrap();
    world.planned(world.welcome()).await;
    for sql in [
        "SELECT count(*) FROM notify_messages",
        "SELECT count(*) FROM notify_deliveries",
        "SELECT count(*) FROM notifications",
        "SELECT count(*) FROM notification_channels",
        "SELECT count(*) FROM notify_templates",
        "SELECT count(*) FROM notify_suppressions",
    ] {
        let count = async |tenant| {
            let mut tx = world.db.begin_read(Scope::Tenant(tenant)).await.unwrap();
            let count: i64 = tx.q(sql).scalar().await.unwrap();
            tx.rollback().await.unwrap();
            count
        };
        assert!(count(world.tenant).await > 0, "{sql}");
        // SQLite has no such wall: there, the statements alone keep tenants apart.
        if world.db.engine() == Engine::Postgres {
            assert_eq!(count(elsewhere).await, 0, "{sql}");
        }
    }
}
both_engines!(a_careless_statement_finds_no_row_of_another_tenant, &[&MIGRATIONS]);

async fn tenants_do_not_silence_each_other(db: TestDb) {
    let world = World::new(db).await;
    let (elsewhere, _) = foreigner(&world);
    let notifier = &world.notifier;
    // The same key, and the same said at the same time, are others' in another tenant.
    for tenant in [Some(world.tenant), Some(elsewhere), None] {
        let keyed = world.welcome().in_tenant(tenant).key("7");
        assert!(matches!(notifier.notify(keyed.clone()).await.unwrap(), Accepted::New(_)));
        assert_eq!(notifier.notify(keyed).await.unwrap(), Accepted::Already);
    }
    let sent = [("email", "pending", None), ("in_app", "sent", None)];
    assert_eq!(states(&world.planned(world.alert("cpu")).await), sent);
    assert_eq!(states(&world.planned(world.alert("cpu").in_tenant(elsewhere)).await), sent);
    // Whom one does not write to, the other may; whom a server does not know, nobody.
    notifier.suppress(&world.context(), Medium::Email, "ada@example.org", "left", None).await.unwrap();
    let dropped = [("email", "dropped", Some("suppressed")), ("in_app", "sent", None)];
    assert_eq!(states(&world.planned(world.welcome()).await), dropped);
    let theirs = world.planned(world.welcome().in_tenant(elsewhere)).await;
    assert_eq!(states(&theirs), sent);
    world.post.refuse(FailureClass::BadRecipient, "smtp_no_such_recipient", 550);
    world.deliver(theirs[0].id).await;
    assert_eq!(states(&world.planned(world.welcome().in_tenant(elsewhere)).await), dropped);
    let known = notifier.suppressions(&platform(), PageLimit::default(), None).await.unwrap().items;
    assert_eq!(known.iter().filter(|one| one.tenant_id.is_none()).count(), 1);
}
both_engines!(tenants_do_not_silence_each_other, &[&MIGRATIONS]);

async fn an_address_has_one_budget_whoever_writes_to_it(db: TestDb) {
    let world = World::new(db).await;
    let (elsewhere, _) = foreigner(&world);
    // Five mails a day: it is one mailbox, and nobody has it flooded by making tenants.
    for n in 0..5 {
        let tenant = if n % 2 == 0 { world.tenant } else { elsewhere };
        let planned = world.planned(world.welcome().in_tenant(tenant)).await;
        assert_eq!(states(&planned)[0], ("email", "pending", None));
    }
    for tenant in [world.tenant, elsewhere] {
        let planned = world.planned(world.welcome().in_tenant(tenant)).await;
        assert_eq!(states(&planned)[0], ("email", "dropped", Some("budget")));
    }
}
both_engines!(an_address_has_one_budget_whoever_writes_to_it, &[&MIGRATIONS]);

async fn channels_of_one_tenant_are_no_way_for_another(db: TestDb) {
    let world = World::new(db).await;
    let (elsewhere, foreign) = foreigner(&world);
    let hook = world.hook().await;
    let theirs = ChannelOwner::Tenant(elsewhere);
    let url = json!({ "url": world.receiver.url() });
    let other = world.channel(theirs, Medium::Webhook, url.clone()).await;
    // A person's own channel hears what is said to that person, whoever says it.
    let own = world.channel(world.adas(), Medium::Webhook, url).await;
    let mut event = world.event("user.created");
    event.tenant = elsewhere;
    let through = |deliveries: &[stylobate_notify::MessageDelivery]| -> Vec<_> {
        deliveries.iter().filter_map(|one| one.channel_id).collect()
    };
    assert_eq!(through(&world.announced(event).await), [other.id]);
    assert_eq!(through(&world.announced(world.event("user.created")).await), [hook.id]);
    let to_bob = Message::to_person("welcome", foreign.principal.person_id().unwrap());
    let to_bob = to_bob.in_tenant(elsewhere).with(json!({ "plan": "x" }));
    assert!(through(&world.planned(to_bob).await).is_empty());
    assert_eq!(through(&world.planned(world.welcome().in_tenant(elsewhere)).await), [own.id]);
}
both_engines!(channels_of_one_tenant_are_no_way_for_another, &[&MIGRATIONS]);
