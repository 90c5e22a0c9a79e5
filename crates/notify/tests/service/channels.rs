//! Channels of tenants and of people.

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Clock as _, Message, PageLimit, PersonId, SystemClock, TenantId};
use stylobate_db::Tx;
use stylobate_notify::{
    CHANNELS_MAX, ChannelChange, ChannelDisabled, ChannelOwner, ChannelQuery, FailureClass, MIGRATIONS,
    Medium, NewChannel, Next, NotifierError, Severity,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::task::JoinSet;

use super::{
    receiver::{Reply, status},
    world::{PLATFORM, World, platform, states},
};

fn new(channel_type: Medium, config: serde_json::Value) -> NewChannel {
    let events = vec!["*".to_owned()];
    NewChannel { channel_type, label: "mine".to_owned(), config, events, severity_min: Severity::Info }
}

async fn an_event_is_announced_to_the_channels_that_listen(db: TestDb) {
    let world = World::new(db).await;
    let hook = world.hook().await;
    let slack = json!({ "url": format!("http://{}/services/x", world.receiver.address) });
    let change = ChannelChange { events: Some(vec!["deploy.*".to_owned()]), ..ChannelChange::default() };
    let deploys = world.channel(world.tenants(), Medium::Slack, slack).await;
    world.notifier.update_channel(&world.context(), world.tenants(), deploys.id, change).await.unwrap();
    // A person's own hears nothing of what nobody said to them.
    world.channel(world.adas(), Medium::Webhook, json!({ "url": world.receiver.url() })).await;
    let planned = world.announced(world.event("user.created")).await;
    assert_eq!(states(&planned), [("webhook", "pending", None)]);
    assert_eq!((planned[0].channel_id, planned[0].destination.as_str()), (Some(hook.id), "127.0.0.1/…"));
    assert_eq!(world.deliver(planned[0].id).await, Next::Done);
    let got = world.receiver.last();
    let body = got.json();
    assert_eq!(
        (&body["type"], &body["kind"], &body["title"]),
        (&json!("user.created"), &json!("event"), &json!("user.created"))
    );
    assert_eq!((&body["text"], &body["id"]), (&json!("Ada came\n"), &json!(planned[0].id)));
    let planned = world.announced(world.event("deploy.started")).await;
    assert_eq!(states(&planned), [("slack", "pending", None), ("webhook", "pending", None)]);
    // In another tenant nobody listens, and nothing is left behind.
    let elsewhere = stylobate_notify::Announcement {
        tenant: TenantId::new(SystemClock.now()),
        ..world.event("user.created")
    };
    assert!(world.announced(elsewhere).await.is_empty());
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state = 'done'").await, 2);
}
both_engines!(an_event_is_announced_to_the_channels_that_listen, &[&MIGRATIONS]);

async fn channels_that_nobody_has_changed_since_are_switched_off(db: TestDb) {
    let world = World::new(db).await;
    let config = json!({ "url": world.receiver.url() });
    let old = world.channel(world.adas(), Medium::Webhook, config.clone()).await;
    let off = world.channel(world.adas(), Medium::Webhook, config.clone()).await;
    let (context, owner) = (world.context(), world.adas());
    let switch_off = ChannelChange { is_active: Some(false), ..ChannelChange::default() };
    world.notifier.update_channel(&context, owner, off.id, switch_off).await.unwrap();
    let elses = ChannelOwner::Person(world.person(World::contact("Bob", "bob@example.org")));
    let elses = world.channel(elses, Medium::Webhook, config.clone()).await;
    let shared = world.hook().await;
    let until = world.now();
    world.pass(TimeDelta::seconds(1));
    let new = world.channel(world.adas(), Medium::Webhook, config).await;
    world.actions();

    let (notifier, ada) = (world.notifier.clone(), world.ada);
    let pause = async || {
        let (notifier, context) = (notifier.clone(), world.context());
        let pause = async move |tx: &mut Tx| notifier.pause_own_channels(tx, &context, ada, until).await;
        world.db.transact(PLATFORM, pause).await.unwrap()
    };
    assert_eq!((pause().await, pause().await), (1, 0));
    let trail = world.trail();
    assert_eq!(world.actions(), ["notification_channel.update"]);
    // Where it leads is nobody else's business.
    let told = ["127.0.0.1", "mine", "tenant: Some"];
    assert!(!told.iter().any(|text| trail.contains(text)), "{trail}");
    let found = world.notifier.channel(owner, old.id).await.unwrap();
    assert_eq!(
        (found.is_active, found.disabled_reason, found.version),
        (false, Some(ChannelDisabled::ByHand), 2)
    );
    assert!(world.notifier.channel(owner, new.id).await.unwrap().is_active);
    for untouched in [elses, shared] {
        assert!(world.notifier.channel(untouched.owner, untouched.id).await.unwrap().is_active);
    }
    // What is said to them goes to the other one.
    let planned = world.planned(world.alert("cpu")).await;
    let through: Vec<_> = planned.iter().filter_map(|one| one.channel_id).collect();
    assert_eq!(through, [new.id]);
}
both_engines!(channels_that_nobody_has_changed_since_are_switched_off, &[&MIGRATIONS]);

async fn a_webhook_is_signed_with_the_secret_that_was_shown_once(db: TestDb) {
    let world = World::new(db).await;
    let config = json!({ "url": world.receiver.url() });
    let context = world.context();
    let made = world.notifier.create_channel(&context, world.tenants(), new(Medium::Webhook, config.clone()));
    let (channel, secret) = made.await.unwrap();
    let secret = secret.unwrap();
    let sent = async || {
        let planned = world.announced(world.event("user.created")).await;
        assert_eq!(world.delivered(planned[0].id).await.0, "sent");
        (world.receiver.last(), planned[0].id)
    };
    let (got, id) = sent().await;
    assert_eq!(got.verify(std::slice::from_ref(&secret)).unwrap().as_str(), id.to_string());
    // What is stored and what is told has nothing of it.
    let mut tx = world.db.begin_read(PLATFORM).await.unwrap();
    let sealed: Vec<u8> = tx.q("SELECT config_sealed FROM notification_channels").scalar().await.unwrap();
    tx.rollback().await.unwrap();
    let shown = world.notifier.channel(world.tenants(), channel.id).await.unwrap();
    for text in [
        String::from_utf8_lossy(&sealed).into_owned(),
        format!("{shown:?}"),
        json!(shown).to_string(),
        world.trail(),
    ] {
        assert!(!text.contains(secret.expose()) && !text.contains("/hook"), "{text}");
    }
    // Another configuration has another secret.
    let change = ChannelChange { config: Some(config), ..ChannelChange::default() };
    let (_, next) =
        world.notifier.update_channel(&world.context(), world.tenants(), channel.id, change).await.unwrap();
    let (got, _) = sent().await;
    assert!(got.verify(&[secret]).is_err() && got.verify(&[next.unwrap()]).is_ok());
}
both_engines!(a_webhook_is_signed_with_the_secret_that_was_shown_once, &[&MIGRATIONS]);

async fn a_foreign_channel_is_as_if_missing(db: TestDb) {
    let world = World::new(db).await;
    let (hook, own) = (
        world.hook().await,
        world.channel(world.adas(), Medium::Webhook, json!({ "url": world.receiver.url() })).await,
    );
    let foreign = ChannelOwner::Tenant(TenantId::new(SystemClock.now()));
    let stranger = ChannelOwner::Person(PersonId::new(SystemClock.now()));
    world.actions();
    for (owner, id) in [
        (foreign, hook.id),
        (stranger, hook.id),
        (world.adas(), hook.id),
        (foreign, own.id),
        (stranger, own.id),
        (world.tenants(), own.id),
        (ChannelOwner::Tenant(TenantId::from_uuid(uuid::Uuid::nil())), own.id),
    ] {
        let (notifier, context) = (&world.notifier, &world.context());
        let label = ChannelChange { label: Some("theirs".to_owned()), ..ChannelChange::default() };
        let config = ChannelChange { config: Some(json!({ "url": world.receiver.url() })), ..label.clone() };
        let refusals = [
            notifier.channel(owner, id).await.unwrap_err(),
            notifier.update_channel(context, owner, id, label).await.unwrap_err(),
            notifier.update_channel(context, owner, id, config).await.unwrap_err(),
            notifier.test_channel(context, owner, id).await.unwrap_err(),
            notifier.delete_channel(context, owner, id).await.unwrap_err(),
        ];
        assert!(
            refusals.iter().all(|refusal| matches!(refusal, NotifierError::NotFound { .. })),
            "{refusals:?}"
        );
        assert!(
            notifier
                .channels(owner, &ChannelQuery::default())
                .await
                .unwrap()
                .items
                .iter()
                .all(|one| one.id != id)
        );
    }
    assert!(world.actions().is_empty());
    assert_eq!(world.notifier.channel(world.tenants(), hook.id).await.unwrap(), hook);
    assert_eq!(world.notifier.channel(world.adas(), own.id).await.unwrap(), own);
}
both_engines!(a_foreign_channel_is_as_if_missing, &[&MIGRATIONS]);

async fn changes_are_checked_and_on_record(db: TestDb) {
    let world = World::new(db).await;
    let hook = world.hook().await;
    let update = async |change| {
        world
            .notifier
            .update_channel(&world.context(), world.tenants(), hook.id, change)
            .await
            .map(|(channel, _)| channel)
    };
    let off = update(ChannelChange { is_active: Some(false), version: Some(1), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(
        (off.is_active, off.version, off.disabled_reason.map(|one| one.as_str())),
        (false, 2, Some("by_hand"))
    );
    let late =
        update(ChannelChange { label: Some("x".into()), version: Some(1), ..Default::default() }).await;
    assert_eq!(late.unwrap_err().code(), "version_conflict");
    let test = world.notifier.test_channel(&world.context(), world.tenants(), hook.id).await;
    assert_eq!(test.unwrap_err().code(), "notify_channel_inactive");
    assert!(world.announced(world.event("user.created")).await.is_empty());
    for wrong in [
        ChannelChange { label: Some(String::new()), ..Default::default() },
        ChannelChange { label: Some("a\u{202e}b".to_owned()), ..Default::default() },
        ChannelChange { events: Some(vec![]), ..Default::default() },
        ChannelChange { events: Some(vec!["a*".to_owned()]), ..Default::default() },
        ChannelChange { events: Some(vec!["*.created".to_owned()]), ..Default::default() },
    ] {
        assert_eq!(update(wrong).await.unwrap_err().code(), "validation");
    }
    for (medium, config) in [
        (Medium::Webhook, json!({ "url": "http://10.0.0.1/" })),
        (Medium::Slack, json!({ "url": "https://evil.test/services" })),
        (Medium::Email, json!({ "address": "nonsense" })),
        (Medium::Sms, json!({ "number": "+436601234567" })),
        (Medium::InApp, json!({})),
    ] {
        let made =
            world.notifier.create_channel(&world.context(), world.tenants(), new(medium, config)).await;
        assert_eq!(made.unwrap_err().code(), "notify_channel_invalid");
    }
    update(ChannelChange { is_active: Some(true), ..Default::default() }).await.unwrap();
    world.notifier.delete_channel(&world.context(), world.tenants(), hook.id).await.unwrap();
    let [create, update, delete] =
        ["create", "update", "delete"].map(|verb| format!("notification_channel.{verb}"));
    assert_eq!(world.actions(), [create, update.clone(), update, delete]);
}
both_engines!(changes_are_checked_and_on_record, &[&MIGRATIONS]);

async fn nobody_has_more_than_there_may_be(db: TestDb) {
    let world = World::new(db).await;
    let config = json!({ "url": world.receiver.url() });
    let mut making = JoinSet::new();
    for _ in 0..CHANNELS_MAX + 5 {
        let (notifier, context, owner, config) =
            (world.notifier.clone(), world.context(), world.tenants(), config.clone());
        making.spawn(
            async move { notifier.create_channel(&context, owner, new(Medium::Webhook, config)).await },
        );
    }
    let made = making.join_all().await;
    let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(refused.iter().all(|error| error.code() == "notify_channel_limit"));
    // Another owner has room.
    world.channel(world.adas(), Medium::Webhook, config).await;
    let mut cursor = None;
    let mut listed = 0;
    loop {
        let query = ChannelQuery { limit: PageLimit::new(20).unwrap(), cursor };
        let page = world.notifier.channels(world.tenants(), &query).await.unwrap();
        listed += page.items.len();
        match page.next_cursor {
            Some(next) => cursor = Some(next.encode()),
            None => break,
        }
    }
    assert_eq!(listed, CHANNELS_MAX);
}
both_engines!(nobody_has_more_than_there_may_be, &[&MIGRATIONS]);

async fn a_persons_mail_channel_is_their_own_address(db: TestDb) {
    let world = World::new(db).await;
    let make = async |owner, address: &str| {
        let new = new(Medium::Email, json!({ "address": address }));
        world.notifier.create_channel(&world.context(), owner, new).await.map(|(channel, _)| channel)
    };
    assert!(matches!(
        make(world.adas(), "eve@example.org").await.unwrap_err(),
        NotifierError::ChannelInvalid { field: "config.address", .. }
    ));
    assert_eq!(make(world.adas(), "Ada@example.org").await.unwrap().destination, "A…@example.org");
    let unproven =
        stylobate_notify::Contact { is_email_verified: false, ..World::contact("Bob", "bob@example.org") };
    let bob = ChannelOwner::Person(world.person(unproven));
    assert!(make(bob, "bob@example.org").await.is_err());
    // A tenant's goes where its administrators say.
    let ops = make(world.tenants(), "ops@example.org").await.unwrap();
    let planned = world.announced(world.event("user.created")).await;
    assert_eq!((planned[0].channel_id, world.delivered(planned[0].id).await.0), (Some(ops.id), "sent"));
    assert_eq!(world.post.mails()[0].to().as_str(), "ops@example.org");
}
both_engines!(a_persons_mail_channel_is_their_own_address, &[&MIGRATIONS]);

async fn a_test_goes_through_and_its_delivery_tells_the_truth(db: TestDb) {
    let world = World::new(db).await;
    let hook = world.hook().await;
    world.actions();
    let test =
        async || world.notifier.test_channel(&world.context(), world.tenants(), hook.id).await.unwrap();
    let one = test().await;
    assert_eq!(
        (one.kind.as_str(), one.state.as_str(), one.tenant_id),
        ("channel_test", "pending", Some(world.tenant))
    );
    assert_eq!(world.delivered(one.id).await, ("sent", None, None, Some(204), 1));
    let text = world.receiver.last().json()["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "This is a test of the channel \"mine\" of Acme.\n");
    world.receiver.will([status(403)]);
    let failed = world.delivered(test().await.id).await;
    assert_eq!(failed, ("failed", Some("refused"), Some("notify_unauthorized".to_owned()), Some(403), 1));
    // Ten an hour: it is no way to write to somebody.
    for _ in 0..8 {
        assert_eq!(test().await.state.as_str(), "pending");
    }
    assert_eq!(states(&[test().await]), [("webhook", "dropped", Some("budget"))]);
    world.pass(TimeDelta::hours(1));
    assert_eq!(test().await.state.as_str(), "pending");
    assert_eq!(world.actions(), ["notification_channel.test"; 12]);
}
both_engines!(a_test_goes_through_and_its_delivery_tells_the_truth, &[&MIGRATIONS]);

async fn a_gateway_that_asks_for_time_gets_it(db: TestDb) {
    let world = World::new(db).await;
    world.hook().await;
    let planned = world.announced(world.event("user.created")).await;
    world.receiver.will([Reply::Status(429, "Retry-After: 120\r\n".to_owned(), "canary".to_owned())]);
    assert_eq!(world.deliver(planned[0].id).await, Next::After(std::time::Duration::from_secs(120)));
    let one = world.delivery(planned[0].id).await;
    assert_eq!(
        (one.last_error.as_deref(), one.last_status, one.attempts),
        (Some("notify_throttled"), Some(429), 1)
    );
    // Its words are not repeated.
    assert!(!json!(one).to_string().contains("canary"));
    world.pass(TimeDelta::seconds(119));
    assert_eq!(world.deliver(planned[0].id).await, Next::After(std::time::Duration::from_secs(1)));
    world.pass(TimeDelta::seconds(1));
    assert_eq!(world.delivered(planned[0].id).await, ("sent", None, None, Some(204), 2));
    let ids: Vec<_> =
        world.receiver.got().iter().map(|got| got.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids, [planned[0].id.to_string(), planned[0].id.to_string()]);
}
both_engines!(a_gateway_that_asks_for_time_gets_it, &[&MIGRATIONS]);

async fn receivers_that_misbehave_are_survived(db: TestDb) {
    let world = World::new(db).await;
    world.hook().await;
    let redirect = Reply::Status(
        302,
        format!("Location: http://{}/elsewhere\r\n", world.receiver.address),
        String::new(),
    );
    for (reply, state, error, status) in [
        (Reply::Flood, "sent", None, Some(200)),
        (Reply::Close, "pending", Some("egress_answer_broken"), None),
        (Reply::Hang, "pending", Some("egress_timeout"), None),
        (redirect, "failed", Some("notify_redirect"), Some(302)),
        (status(500), "pending", Some("notify_status"), Some(500)),
    ] {
        let before = world.receiver.got().len();
        let planned = world.announced(world.event("user.created")).await;
        world.receiver.will([reply]);
        let (found, _, last_error, last_status, attempts) = world.delivered(planned[0].id).await;
        assert_eq!((found, last_error.as_deref(), last_status, attempts), (state, error, status, 1));
        assert_eq!(world.receiver.got().len(), before + 1, "no redirect is followed");
    }
}
both_engines!(receivers_that_misbehave_are_survived, &[&MIGRATIONS]);

async fn a_channel_that_is_gone_or_fails_for_days_is_switched_off(db: TestDb) {
    let world = World::new(db).await;
    let (gone, other) = (world.hook().await, world.hook().await);
    let planned = world.announced(world.event("user.created")).await;
    let of = |id| planned.iter().find(|one| one.channel_id == Some(id)).unwrap().id;
    world.actions();
    world.receiver.will([status(410)]);
    let failed = ("failed", Some("refused"), Some("notify_gone".to_owned()), Some(410), 1);
    assert_eq!(world.delivered(of(gone.id)).await, failed);
    let found = world.notifier.channel(world.tenants(), gone.id).await.unwrap();
    assert_eq!((found.is_active, found.disabled_reason.map(|one| one.as_str())), (false, Some("gone")));
    assert_eq!(world.actions(), ["notification_channel.disable"]);
    let told = world.events();
    let data = json!({ "channel_id": gone.id, "owner_id": null, "reason": "gone" });
    assert_eq!(
        (told.len(), told[0].kind, told[0].tenant),
        (1, "notification_channel.disabled", Some(world.tenant))
    );
    assert_eq!((&told[0].data, &told[0].aggregate), (&data, &format!("notification_channel:{}", gone.id)));
    // The other one fails for five days, and is then switched off; what it is owed is dropped.
    world.receiver.will([status(500), status(500)]);
    world.deliver(of(other.id)).await;
    let since = world.notifier.channel(world.tenants(), other.id).await.unwrap().failing_since;
    assert_eq!(since, Some(world.now()));
    world.pass(TimeDelta::days(5));
    world.deliver(of(other.id)).await;
    let waiting = world.announced(world.event("user.created")).await[0].id;
    // One that is tried again is no reason, nor are two that were given up.
    for expected in [None, None, Some("failing")] {
        let found = world.notifier.channel(world.tenants(), other.id).await.unwrap();
        assert_eq!((found.disabled_reason, found.failing_since), (None, since));
        let refused = world.announced(world.event("user.created")).await[0].id;
        world.receiver.will([status(403)]);
        assert_eq!(world.delivered(refused).await.0, "failed");
        let found = world.notifier.channel(world.tenants(), other.id).await.unwrap();
        assert_eq!(found.disabled_reason.map(|one| one.as_str()), expected);
    }
    assert_eq!(world.events()[0].data["reason"], "failing");
    assert_eq!(world.delivered(waiting).await, ("dropped", Some("channel_inactive"), None, None, 0));
    // Switched on again, it begins anew; removed, what it is owed goes nowhere.
    let on = ChannelChange { is_active: Some(true), ..Default::default() };
    let (found, _) =
        world.notifier.update_channel(&world.context(), world.tenants(), other.id, on).await.unwrap();
    assert_eq!((found.is_active, found.failing_since), (true, None));
    let waiting = world.announced(world.event("user.created")).await[0].id;
    world.notifier.delete_channel(&world.context(), world.tenants(), other.id).await.unwrap();
    assert_eq!(world.delivered(waiting).await, ("dropped", Some("channel_gone"), None, None, 0));
    // A person's own is of no tenant.
    let own = world.channel(world.adas(), Medium::Webhook, json!({ "url": world.receiver.url() })).await;
    let planned = world.planned(world.welcome()).await;
    let id = planned.iter().find(|one| one.channel_id == Some(own.id)).unwrap().id;
    world.receiver.will([status(410)]);
    world.deliver(id).await;
    let told = world.events();
    assert_eq!((told[0].tenant, &told[0].data["owner_id"]), (None, &json!(world.ada)));
}
both_engines!(a_channel_that_is_gone_or_fails_for_days_is_switched_off, &[&MIGRATIONS]);

async fn a_configuration_that_does_not_open_fails(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (world.hook().await, world.hook().await);
    let planned = world.announced(world.event("user.created")).await;
    let (one, other) = (one.id.as_uuid(), other.id.as_uuid());
    let swap = async move |tx: &mut Tx| {
        let theirs: Vec<u8> = tx
            .q("SELECT config_sealed FROM notification_channels WHERE id = $1")
            .bind(other)
            .scalar()
            .await?;
        tx.q("UPDATE notification_channels SET config_sealed = $2 WHERE id = $1")
            .bind(one)
            .bind(theirs)
            .run()
            .await
    };
    world.db.transact(PLATFORM, swap).await.unwrap();
    let id = planned.iter().find(|found| found.channel_id.map(|id| id.as_uuid()) == Some(one)).unwrap().id;
    assert_eq!(world.delivered(id).await, ("failed", Some("unopenable"), None, None, 0));
    assert!(world.receiver.got().is_empty());
}
both_engines!(a_configuration_that_does_not_open_fails, &[&MIGRATIONS]);

async fn what_failed_long_ago_switches_no_channel_off(db: TestDb) {
    let world = World::new(db).await;
    let hook = world.hook().await;
    for _ in 0..4 {
        for _ in 0..2 {
            let planned = world.announced(world.event("user.created")).await;
            world.receiver.will([status(403)]);
            assert_eq!(world.delivered(planned[0].id).await.0, "failed");
        }
        world.pass(TimeDelta::days(6));
    }
    assert!(world.notifier.channel(world.tenants(), hook.id).await.unwrap().is_active);
    // That our own mail server is away is no fault of a channel.
    let mail = world.channel(world.tenants(), Medium::Email, json!({ "address": "ops@example.org" })).await;
    let planned = world.announced(world.event("user.created")).await;
    world.post.refuse(FailureClass::Outage, "smtp_unreachable", 421);
    world.deliver(planned[0].id).await;
    assert_eq!(world.delivery(planned[0].id).await.last_error.as_deref(), Some("smtp_unreachable"));
    assert_eq!(world.notifier.channel(world.tenants(), mail.id).await.unwrap().failing_since, None);
}
both_engines!(what_failed_long_ago_switches_no_channel_off, &[&MIGRATIONS]);

async fn nobody_is_suppressed_through_a_channel_that_leads_elsewhere(db: TestDb) {
    let world = World::new(db).await;
    let to = |address: &str| json!({ "address": address });
    let channel = world.channel(world.tenants(), Medium::Email, to("victim@example.org")).await;
    let owed = world.announced(world.event("user.created")).await[0].id;
    let change = ChannelChange { config: Some(to("nobody@example.org")), ..ChannelChange::default() };
    world.notifier.update_channel(&world.context(), world.tenants(), channel.id, change).await.unwrap();
    world.post.refuse(FailureClass::BadRecipient, "smtp_bad_recipient", 550);
    assert_eq!(world.delivered(owed).await, ("dropped", Some("channel_gone"), None, None, 0));
    // What is owed to the new address goes there, and what its server says is about it.
    let owed = world.announced(world.event("user.created")).await[0].id;
    assert_eq!(world.delivered(owed).await.1, Some("bad_recipient"));
    let all = world.notifier.suppressions(&platform(), PageLimit::default(), None).await.unwrap().items;
    assert_eq!((all.len(), all[0].destination.as_str()), (1, "n…@example.org"));
    let victim = Message::to_email("welcome", "victim@example.org").with(json!({ "plan": "x" }));
    assert_eq!(states(&world.planned(victim).await), [("email", "pending", None)]);
}
both_engines!(nobody_is_suppressed_through_a_channel_that_leads_elsewhere, &[&MIGRATIONS]);

async fn tests_at_once_are_no_more_than_there_may_be(db: TestDb) {
    let budgets = stylobate_notify::Budgets::default();
    let world = World::with(db, |builder| builder.budgets(budgets)).await;
    let mut testing = JoinSet::new();
    for _ in 0..4 {
        let channel = world.channel(world.tenants(), Medium::Email, json!({ "address": "ops@example.org" }));
        let id = channel.await.id;
        for _ in 0..5 {
            let (notifier, context, owner) = (world.notifier.clone(), world.context(), world.tenants());
            testing.spawn(async move { notifier.test_channel(&context, owner, id).await.unwrap().state });
        }
    }
    let states = testing.join_all().await;
    assert_eq!(states.iter().filter(|state| state.as_str() == "pending").count(), 10);
}
both_engines!(tests_at_once_are_no_more_than_there_may_be, &[&MIGRATIONS]);

async fn a_channel_that_cannot_be_read_fails(db: TestDb) {
    let world = World::new(db).await;
    world.hook().await;
    let planned = world.announced(world.event("user.created")).await;
    world.tamper("UPDATE notification_channels SET severity_min = 'unheard-of'").await;
    assert_eq!(world.delivered(planned[0].id).await, ("failed", Some("unopenable"), None, None, 0));
}
both_engines!(a_channel_that_cannot_be_read_fails, &[&MIGRATIONS]);
