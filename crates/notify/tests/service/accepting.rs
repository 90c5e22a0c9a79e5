//! Handing messages over.

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Clock as _, Message, MessageSender as _, PersonId, SystemClock, TenantId};
use stylobate_db::{MessageOutbox, Scope, Tx};
use stylobate_notify::{Accepted, Announcement, MIGRATIONS, Next, NotifierError, VALUES_BYTES_MAX};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{PLATFORM, World, new_id};

async fn the_same_key_is_sent_once(db: TestDb) {
    let world = World::new(db).await;
    let message = || world.welcome().key("welcome:1");
    let first = new_id(world.notifier.notify(message()).await.unwrap());
    assert_eq!(world.notifier.notify(message()).await.unwrap(), Accepted::Already);
    // Also once it is done, and through the door that knows nothing of what became of it.
    world.notifier.deliver_due().await.unwrap();
    world.notifier.send(message()).await.unwrap();
    assert_eq!(world.notifier.deliver_due().await.unwrap(), 0);
    assert_eq!((world.post.mails().len(), world.of(first).await.len()), (1, 2));
    // Of another kind, in another tenant, or without a key it is another message.
    let elsewhere = TenantId::new(SystemClock.now());
    for other in [
        world.alert("cpu").key("welcome:1"),
        message().in_tenant(elsewhere),
        world.welcome(),
        world.welcome(),
    ] {
        assert!(matches!(world.notifier.notify(other).await.unwrap(), Accepted::New(_)));
    }
}
both_engines!(the_same_key_is_sent_once, &[&MIGRATIONS]);

async fn of_many_at_once_with_one_key_one_is_new(db: TestDb) {
    let world = World::new(db).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (notifier, message) = (world.notifier.clone(), world.welcome().key("k"));
        asked.spawn(async move { notifier.notify(message).await.unwrap() });
    }
    let accepted = asked.join_all().await;
    assert_eq!(accepted.iter().filter(|one| **one == Accepted::Already).count(), 7);
    assert_eq!(world.number("SELECT count(*) FROM notify_messages").await, 1);
}
both_engines!(of_many_at_once_with_one_key_one_is_new, &[&MIGRATIONS]);

async fn a_message_commits_with_its_change_or_not_at_all(db: TestDb) {
    let world = World::new(db).await;
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    let id = new_id(world.notifier.notify_in(&mut tx, &world.welcome()).await.unwrap());
    tx.rollback().await.unwrap();
    assert_eq!(world.notifier.plan(id).await.unwrap(), Next::Done);
    assert!(world.of(id).await.is_empty());
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    let message = Message::to_person("welcome", world.ada).with(json!({ "plan": "gold" }));
    let id = new_id(world.notifier.notify_in(&mut tx, &message).await.unwrap());
    tx.commit().await.unwrap();
    world.notifier.plan(id).await.unwrap();
    // Without a tenant of its own it is of the transaction's.
    assert!(world.of(id).await.iter().all(|one| one.tenant_id == Some(world.tenant)));
    assert_eq!(world.of(id).await.len(), 2);
}
both_engines!(a_message_commits_with_its_change_or_not_at_all, &[&MIGRATIONS]);

async fn as_an_outbox_it_takes_messages_with_their_change(db: TestDb) {
    let world = World::new(db).await;
    let outbox: &dyn MessageOutbox = &world.notifier;
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    outbox.hand_over(&mut tx, world.welcome()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM notify_messages").await, 0);
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    outbox.hand_over(&mut tx, world.welcome()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM notify_messages").await, 1);
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    for nowhere in [
        "ａda@example.org",
        "ada@127.0.0.1",
        "rené@example.org",
        "",
        "ada@example.org\r\nBcc: eve@example.org",
    ] {
        let message = Message::to_email("welcome", nowhere).with(json!({ "plan": "gold" }));
        outbox.hand_over(&mut tx, message).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = world.db.begin(Scope::Tenant(world.tenant)).await.unwrap();
    let unknown = Message::to_person("no_such_kind", world.ada);
    let refused = outbox.hand_over(&mut tx, unknown).await.unwrap_err();
    assert!(matches!(refused, stylobate_db::Error::Participant(_)), "{refused:?}");
}
both_engines!(as_an_outbox_it_takes_messages_with_their_change, &[&MIGRATIONS]);

async fn what_is_no_message_is_refused_by_name(db: TestDb) {
    let world = World::new(db).await;
    let code = async |message: Message| world.notifier.notify(message).await.unwrap_err().code();
    let ada = world.ada;
    assert_eq!(code(Message::to_person("nonsense", ada)).await, "notify_kind_unknown");
    assert_eq!(code(Message::to_person("welcome", ada)).await, "notify_values_invalid");
    assert_eq!(code(world.welcome().with(json!(["gold"]))).await, "notify_values_invalid");
    assert_eq!(code(world.welcome().key("")).await, "validation");
    assert_eq!(code(world.welcome().key("a\nb")).await, "validation");
    assert_eq!(code(world.welcome().key("x".repeat(201))).await, "validation");
    let to = |address: &str| Message::to_email("welcome", address).with(json!({ "plan": "gold" }));
    assert_eq!(code(to("ada@example.org\r\nBcc: eve@example.org")).await, "notify_address_invalid");
    assert_eq!(code(to("Ada <ada@example.org>")).await, "notify_address_invalid");
    // The limit is named, and what is said is not repeated.
    let huge = world.notifier.notify(world.welcome().with(json!({ "plan": "canary".repeat(200_000) })));
    let refused = huge.await.unwrap_err();
    assert_eq!(refused.code(), "notify_values_too_large");
    assert!(matches!(refused, NotifierError::TooLarge { bytes: 1_200_011, max: VALUES_BYTES_MAX }));
    let shown = format!("{refused} {refused:?}");
    assert!(shown.contains("65536") && !shown.contains("canary"), "{shown}");
    // The longest that is taken.
    let just = "x".repeat(VALUES_BYTES_MAX - r#"{"plan":""}"#.len());
    assert!(world.notifier.notify(world.welcome().with(json!({ "plan": just }))).await.is_ok());
    assert_eq!(world.number("SELECT count(*) FROM notify_messages").await, 1);
}
both_engines!(what_is_no_message_is_refused_by_name, &[&MIGRATIONS]);

async fn a_transaction_sends_nothing_for_another_tenant(db: TestDb) {
    let world = World::new(db).await;
    let foreign = TenantId::new(SystemClock.now());
    let mut tx = world.db.begin(Scope::Tenant(foreign)).await.unwrap();
    let refused = world.notifier.notify_in(&mut tx, &world.welcome()).await.unwrap_err();
    assert_eq!(refused.code(), "foreign_tenant");
    let refused = world.notifier.announce_in(&mut tx, &world.event("user.created")).await.unwrap_err();
    assert_eq!(refused.code(), "foreign_tenant");
    tx.rollback().await.unwrap();
    let empty = Announcement { topic: Some("a\nb".to_owned()), ..world.event("x") };
    assert_eq!(world.notifier.announce(empty).await.unwrap_err().code(), "validation");
}
both_engines!(a_transaction_sends_nothing_for_another_tenant, &[&MIGRATIONS]);

type Sealed = Option<Vec<u8>>;

/// Every byte that is kept of messages and deliveries.
async fn kept(world: &World) -> String {
    let mut tx = world.db.begin_read(PLATFORM).await.unwrap();
    let messages: Vec<(Sealed, Sealed, Sealed, String, Option<String>)> = tx
        .q("SELECT values_sealed, recipient_email_sealed, digest, topic, idempotency_key FROM notify_messages")
        .all()
        .await
        .unwrap();
    let deliveries: Vec<(Sealed, Vec<u8>, String, Option<String>)> = tx
        .q("SELECT destination_sealed, address_key, destination, last_error FROM notify_deliveries")
        .all()
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let messages =
        messages.iter().map(|(a, b, c, d, e)| format!("{}{}{}{d}{e:?}", text(a), text(b), text(c)));
    let rows =
        deliveries.iter().map(|(a, b, c, d)| format!("{}{}{c}{d:?}", text(a), String::from_utf8_lossy(b)));
    messages.chain(rows).collect()
}

async fn what_is_said_is_sealed_and_gone_once_it_is_delivered(db: TestDb) {
    let world = World::new(db).await;
    let stranger = Message::to_email("reset", "grace.hopper@example.org").with(json!({ "token": "canary" }));
    let ids = [world.accept(world.reset()).await, world.accept(stranger).await];
    let clean = |kept: String| {
        for secret in ["canary", "grace.hopper", "ada@", "Ada"] {
            assert!(!kept.contains(secret), "{secret} in {kept}");
        }
    };
    clean(kept(&world).await);
    let open = "SELECT count(*) FROM notify_messages WHERE values_sealed IS NOT NULL";
    assert_eq!(world.number(open).await, 2);
    for id in ids {
        world.notifier.plan(id).await.unwrap();
    }
    clean(kept(&world).await);
    for id in ids {
        let one = world.of(id).await.remove(0);
        world.deliver(one.id).await;
        assert_eq!(world.delivery(one.id).await.state.as_str(), "sent");
    }
    let text = world.post.last();
    assert!(text.contains("https://acme.test/reset?token=") && text.contains("canary"), "{text}");
    assert_eq!(world.number(open).await, 0);
    assert_eq!(
        world.number("SELECT count(*) FROM notify_deliveries WHERE destination_sealed IS NOT NULL").await,
        0
    );
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state = 'done'").await, 2);
    clean(kept(&world).await);
}
both_engines!(what_is_said_is_sealed_and_gone_once_it_is_delivered, &[&MIGRATIONS]);

async fn a_sealer_that_is_away_keeps_nobody_from_knowing(db: TestDb) {
    let world = World::new(db).await;
    world.sealer.is_away.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = world.notifier.notify(world.welcome()).await.unwrap_err();
    assert_eq!(refused.code(), "notify_unopenable");
    // The change that it belongs to may go on without it.
    let mut tx = world.db.begin(PLATFORM).await.unwrap();
    assert!(world.notifier.notify_in(&mut tx, &world.welcome()).await.is_err());
    let still = tx.q("SELECT count(*) FROM notify_messages").scalar::<i64>().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(still, 0);
}
both_engines!(a_sealer_that_is_away_keeps_nobody_from_knowing, &[&MIGRATIONS]);

async fn messages_to_nobody_are_accepted_and_say_so_later(db: TestDb) {
    let world = World::new(db).await;
    let nobody = PersonId::new(SystemClock.now());
    let message = Message::to_person("reset", nobody).with(json!({ "token": "x" }));
    let planned = world.planned(message).await;
    assert_eq!(super::world::states(&planned), [("email", "dropped", Some("no_address"))]);
    // As quick and as silent as for somebody: what differs is in the log.
    world.pass(TimeDelta::seconds(1));
    assert!(world.post.mails().is_empty());
    let open = async |tx: &mut Tx| {
        let sql = "SELECT count(*) FROM notify_messages WHERE state <> 'done' OR values_sealed IS NOT NULL";
        tx.q(sql).scalar::<i64>().await
    };
    assert_eq!(world.db.transact(PLATFORM, open).await.unwrap(), 0);
}
both_engines!(messages_to_nobody_are_accepted_and_say_so_later, &[&MIGRATIONS]);
