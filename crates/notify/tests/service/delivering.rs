//! Making deliveries, by mail.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Message, PageLimit};
use stylobate_db::Tx;
use stylobate_notify::{
    ATTEMPTS_MAX, FailureClass, MIGRATIONS, MessageDeliveryId, Next, NotifierBuilder, TemplateOverride,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{PLATFORM, SENT, World, platform, states, until};

async fn mail(world: &World, message: Message) -> MessageDeliveryId {
    world.planned(message).await[0].id
}

async fn a_mail_says_what_the_template_says(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    assert_eq!(world.delivered(id).await, SENT);
    let mail = world.post.mails().remove(0);
    assert_eq!((mail.to().as_str(), mail.subject()), ("ada@example.org", "Welcome to Acme"));
    // Whoever gets it twice can tell.
    assert_eq!(mail.id(), format!("{id}@acme.test"));
    let text = world.post.last();
    assert!(text.contains("Hello Ada, you have gold.") && text.contains("<p>Hello Ada"), "{text}");
    // Done is done.
    assert_eq!(world.deliver(id).await, Next::Done);
    assert_eq!(world.post.mails().len(), 1);
    // In the recipient's language, or the first there is.
    for (locale, subject) in [("de-AT", "Willkommen bei Acme"), ("fr", "Welcome to Acme")] {
        let contact = stylobate_notify::Contact {
            locale: Some(locale.to_owned()),
            ..World::contact("Bob", "bob@example.org")
        };
        let bob = world.person(contact);
        let planned = world.planned(Message::to_person("welcome", bob).with(json!({ "plan": "x" }))).await;
        world.deliver(planned[0].id).await;
        assert_eq!(world.post.mails().pop().unwrap().subject(), subject);
    }
}
both_engines!(a_mail_says_what_the_template_says, &[&MIGRATIONS]);

async fn what_fails_for_now_is_tried_until_it_is_enough(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    for attempt in 1..ATTEMPTS_MAX {
        world.post.refuse(FailureClass::TRANSIENT, "smtp_deferred", 451);
        let Next::After(wait) = world.deliver(id).await else { panic!("attempt {attempt}") };
        let one = world.delivery(id).await;
        assert_eq!(
            (one.attempts, one.last_error.as_deref(), one.last_status),
            (attempt, Some("smtp_deferred"), Some(451))
        );
        // Not before it is due.
        assert!(matches!(world.deliver(id).await, Next::After(_)));
        assert_eq!(world.delivery(id).await.attempts, attempt);
        world.pass(TimeDelta::from_std(wait).unwrap());
    }
    world.post.refuse(FailureClass::TRANSIENT, "smtp_deferred", 451);
    let last = ("failed", Some("exhausted"), Some("smtp_deferred".to_owned()), Some(451), ATTEMPTS_MAX);
    assert_eq!(world.delivered(id).await, last);
    assert!(world.post.mails().is_empty());
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state = 'done'").await, 1);
    // One that succeeds in between is sent.
    let id = mail(&world, world.welcome()).await;
    let asked = FailureClass::Transient { retry_after: Some(Duration::from_secs(120)) };
    world.post.refuse(asked, "smtp_deferred", 450);
    assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(120)));
    world.pass(TimeDelta::seconds(120));
    assert_eq!(world.delivered(id).await, ("sent", None, None, Some(250), 2));
}
both_engines!(what_fails_for_now_is_tried_until_it_is_enough, &[&MIGRATIONS]);

async fn an_outage_is_no_attempt(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    for _ in 0..ATTEMPTS_MAX + 3 {
        world.post.refuse(FailureClass::Outage, "smtp_unreachable", 421);
        let Next::After(wait) = world.deliver(id).await else { panic!("it waits") };
        assert!(wait < Duration::from_secs(7), "{wait:?}");
        world.pass(TimeDelta::from_std(wait).unwrap());
        let one = world.delivery(id).await;
        assert_eq!((one.attempts, one.last_error.as_deref()), (0, Some("smtp_unreachable")));
    }
    assert_eq!(world.delivered(id).await, SENT);
    // It is waited for from when it was met, however long something else took before.
    let id = mail(&world, world.welcome()).await;
    world.pass(TimeDelta::hours(24));
    world.post.refuse(FailureClass::Outage, "smtp_unreachable", 421);
    let Next::After(wait) = world.deliver(id).await else { panic!("it waits") };
    assert!(wait < Duration::from_secs(7), "{wait:?}");
    world.pass(TimeDelta::hours(24));
    world.post.refuse(FailureClass::Outage, "smtp_unreachable", 421);
    let (state, reason, ..) = world.delivered(id).await;
    assert_eq!((state, reason), ("failed", Some("exhausted")));
}
both_engines!(an_outage_is_no_attempt, &[&MIGRATIONS]);

async fn a_mailbox_that_does_not_exist_is_left_alone(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.post.refuse(FailureClass::BadRecipient, "smtp_bad_recipient", 550);
    let failed = ("failed", Some("bad_recipient"), Some("smtp_bad_recipient".to_owned()), Some(550), 1);
    assert_eq!(world.delivered(id).await, failed);
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "dropped", Some("suppressed")));
    let all = world.notifier.suppressions(&platform(), PageLimit::default(), None).await.unwrap().items;
    assert_eq!(
        (all.len(), all[0].reason.as_str(), all[0].destination.as_str()),
        (1, "bad_recipient", "a…@example.org")
    );
    world.pass(TimeDelta::days(7));
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "pending", None));
    // What will not work otherwise says nothing about the address.
    let id = mail(&world, world.welcome()).await;
    world.post.refuse(FailureClass::Permanent, "smtp_refused", 554);
    assert_eq!(world.delivered(id).await.1, Some("refused"));
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "pending", None));
}
both_engines!(a_mailbox_that_does_not_exist_is_left_alone, &[&MIGRATIONS]);

async fn a_delivery_that_was_left_half_done_is_made_again(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.post.is_stuck.store(true, Ordering::SeqCst);
    let notifier = world.notifier.clone();
    let stuck = tokio::spawn(async move { notifier.deliver(id).await });
    world.post.until_stuck().await;
    // Somebody is at it: nobody else begins.
    let Next::After(wait) = world.deliver(id).await else { panic!("it waits") };
    assert_eq!(wait, Duration::from_secs(270));
    assert_eq!(world.notifier.deliver_due().await.unwrap(), 0);
    // Its process dies.
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    world.post.is_stuck.store(false, Ordering::SeqCst);
    world.pass(TimeDelta::seconds(270));
    assert_eq!(world.notifier.deliver_due().await.unwrap(), 1);
    let one = world.delivery(id).await;
    assert_eq!((one.state.as_str(), one.attempts, world.post.mails().len()), ("sent", 2, 1));
}
both_engines!(a_delivery_that_was_left_half_done_is_made_again, &[&MIGRATIONS]);

async fn whoever_wakes_up_late_writes_nothing_over_what_came_since(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.post.is_stuck.store(true, Ordering::SeqCst);
    let notifier = world.notifier.clone();
    let frozen = tokio::spawn(async move { notifier.deliver(id).await });
    world.post.until_stuck().await;
    // The lease runs out, and the next attempt fails for now.
    world.pass(TimeDelta::seconds(270));
    world.post.is_stuck.store(false, Ordering::SeqCst);
    world.post.refuse(FailureClass::TRANSIENT, "smtp_deferred", 451);
    assert!(matches!(world.deliver(id).await, Next::After(_)));
    let between = world.delivery(id).await;
    assert_eq!((between.state.as_str(), between.attempts), ("pending", 2));
    // The first comes to its end, and has nothing to say any more.
    world.post.wake();
    frozen.await.unwrap().unwrap();
    assert_eq!(world.delivery(id).await, between);
}
both_engines!(whoever_wakes_up_late_writes_nothing_over_what_came_since, &[&MIGRATIONS]);

async fn of_many_at_once_one_sends(db: TestDb) {
    let world = World::new(db).await;
    // While these are begun, the others wait to be begun together.
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(mail(&world, world.alert(&n.to_string())).await);
    }
    let id = mail(&world, world.welcome()).await;
    all.extend([id; 8]);
    let mut under_way = tokio::task::JoinSet::new();
    for id in all {
        let notifier = world.notifier.clone();
        under_way.spawn(async move { notifier.deliver(id).await.unwrap() });
    }
    under_way.join_all().await;
    assert_eq!(world.post.mails().len(), 5);
    assert_eq!(world.delivered(id).await, SENT);
}
both_engines!(of_many_at_once_one_sends, &[&MIGRATIONS]);

async fn processes_that_die_at_it_again_and_again_end_it(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.tamper("UPDATE notify_deliveries SET attempts = 9, claims = 9 WHERE state = 'pending'").await;
    assert_eq!(world.delivered(id).await, ("failed", Some("interrupted"), None, None, 9));
    assert!(world.post.mails().is_empty());
}
both_engines!(processes_that_die_at_it_again_and_again_end_it, &[&MIGRATIONS]);

async fn what_waited_too_long_or_is_suppressed_since_is_not_sent(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.reset()).await;
    world.post.refuse(FailureClass::TRANSIENT, "smtp_deferred", 451);
    world.deliver(id).await;
    world.pass(TimeDelta::minutes(10));
    assert_eq!(world.delivered(id).await, ("dropped", Some("expired"), None, None, 1));
    let id = mail(&world, world.welcome()).await;
    let email = stylobate_notify::Medium::Email;
    world.notifier.suppress(&world.context(), email, "ada@example.org", "r", None).await.unwrap();
    assert_eq!(world.delivered(id).await, ("dropped", Some("suppressed"), None, None, 0));
    assert!(world.post.mails().is_empty());
}
both_engines!(what_waited_too_long_or_is_suppressed_since_is_not_sent, &[&MIGRATIONS]);

async fn what_cannot_be_opened_fails_and_what_is_away_is_waited_for(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.sealer.is_away.store(true, Ordering::SeqCst);
    assert!(matches!(world.deliver(id).await, Next::After(wait) if wait < Duration::from_secs(7)));
    world.pass(TimeDelta::hours(24));
    assert_eq!(world.delivered(id).await, ("failed", Some("unopenable"), None, None, 0));
    world.sealer.is_away.store(false, Ordering::SeqCst);
    // Sealed for another row, it will not open tomorrow either.
    let id = mail(&world, world.welcome()).await;
    let swap =
        "UPDATE notify_deliveries SET destination_sealed = (SELECT m.values_sealed FROM notify_messages m
                WHERE m.id = notify_deliveries.message_id) WHERE state = 'pending'";
    world.tamper(swap).await;
    assert_eq!(world.delivered(id).await, ("failed", Some("unopenable"), None, None, 0));
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state <> 'done'").await, 0);
    assert!(world.post.mails().is_empty());
}
both_engines!(what_cannot_be_opened_fails_and_what_is_away_is_waited_for, &[&MIGRATIONS]);

async fn words_of_a_tenant_that_fail_give_way_to_the_products(db: TestDb) {
    let world = World::new(db).await;
    let good =
        TemplateOverride { locale: "en".into(), subject: "theirs".into(), text: "t".into(), html: None };
    world.notifier.put_template(&world.context(), "welcome", good, None).await.unwrap();
    // It passed once and does not any more.
    world.tamper("UPDATE notify_templates SET text = '{{ no_such.value }}'").await;
    let planned = world.planned(world.welcome()).await;
    assert_eq!(states(&planned), [("email", "pending", None), ("in_app", "sent", None)]);
    assert_eq!(world.delivered(planned[0].id).await, SENT);
    let mails = world.post.mails();
    assert_eq!(mails.len(), 1);
    assert!(!String::from_utf8_lossy(mails[0].as_bytes()).contains("theirs"));
}
both_engines!(words_of_a_tenant_that_fail_give_way_to_the_products, &[&MIGRATIONS]);

async fn without_a_transport_the_log_says_so(db: TestDb) {
    // Neither short messages nor, in this one, anything over HTTP.
    let world = World::with(db, |builder: NotifierBuilder| builder).await;
    let code = Message::to_person("code", world.ada).with(json!({ "code": "1" }));
    let planned = world.planned(code).await;
    assert_eq!(planned[0].destination, "+4…67");
    assert_eq!(world.delivered(planned[0].id).await, ("failed", Some("no_transport"), None, None, 0));
}
both_engines!(without_a_transport_the_log_says_so, &[&MIGRATIONS]);

async fn an_attempt_begins_when_its_row_is_nobody_elses(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    for (is_quicker, next) in [(true, Next::After(Duration::from_secs(1))), (false, Next::Done)] {
        let opening = Arc::new(AtomicBool::new(false));
        let (unheld, until_held) = mpsc::channel::<()>();
        let (noted, until_held) = (Arc::clone(&opening), Mutex::new(until_held));
        world.sealer.on_open(move || {
            noted.store(true, Ordering::SeqCst);
            // Until the sender is gone.
            let _ = tokio::task::block_in_place(|| until_held.lock().unwrap().recv());
        });
        let notifier = world.notifier.clone();
        let delivering = tokio::spawn(async move { notifier.deliver(id).await });
        until(async || opening.load(Ordering::SeqCst)).await;
        // It has read the row as it was: from here on, somebody else has it.
        let mut tx = world.db.begin(PLATFORM).await.unwrap();
        tx.q("UPDATE notify_deliveries SET claims = claims + 1 WHERE state = 'pending'").run().await.unwrap();
        drop(unheld);
        assert!(world.post.mails().is_empty());
        if is_quicker {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        assert_eq!(delivering.await.unwrap().unwrap(), next);
        assert_eq!(world.post.mails().is_empty(), is_quicker);
    }
    assert_eq!(world.delivered(id).await, SENT);
    let none = async |tx: &mut Tx| {
        tx.q("SELECT count(*) FROM notify_deliveries WHERE lease_until IS NOT NULL").scalar::<i64>().await
    };
    assert_eq!(world.db.transact(PLATFORM, none).await.unwrap(), 0);
}
both_engines!(an_attempt_begins_when_its_row_is_nobody_elses, &[&MIGRATIONS]);

async fn an_attempt_has_its_whole_time_however_long_opening_took(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    let late = mail(&world, world.reset()).await;
    let clock = Arc::clone(&world.clock);
    world.sealer.on_open(move || clock.advance(TimeDelta::seconds(40)));
    world.post.is_stuck.store(true, Ordering::SeqCst);
    let notifier = world.notifier.clone();
    let stuck = tokio::spawn(async move { notifier.deliver(id).await });
    world.post.until_stuck().await;
    assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(270)));
    world.post.is_stuck.store(false, Ordering::SeqCst);
    world.post.wake();
    stuck.await.unwrap().unwrap();
    // What became too old meanwhile is not sent.
    let clock = Arc::clone(&world.clock);
    world.sealer.on_open(move || clock.advance(TimeDelta::minutes(5)));
    assert_eq!(world.delivered(late).await, ("dropped", Some("expired"), None, None, 0));
    assert_eq!(world.post.mails().len(), 1);
}
both_engines!(an_attempt_has_its_whole_time_however_long_opening_took, &[&MIGRATIONS]);

async fn what_a_server_says_changes_nothing_about_what_somebody_decided(db: TestDb) {
    let world = World::new(db).await;
    let id = mail(&world, world.welcome()).await;
    world.post.refuse(FailureClass::BadRecipient, "smtp_bad_recipient", 550);
    world.post.is_stuck.store(true, Ordering::SeqCst);
    let notifier = world.notifier.clone();
    let stuck = tokio::spawn(async move { notifier.deliver(id).await });
    world.post.until_stuck().await;
    let email = stylobate_notify::Medium::Email;
    world.notifier.suppress(&platform(), email, "ada@example.org", "asked us to", None).await.unwrap();
    world.post.wake();
    stuck.await.unwrap().unwrap();
    assert_eq!(world.delivery(id).await.last_status, Some(550));
    let all = world.notifier.suppressions(&platform(), PageLimit::default(), None).await.unwrap().items;
    assert_eq!((all.len(), all[0].reason.as_str(), all[0].expires_at), (1, "asked us to", None));
}
both_engines!(what_a_server_says_changes_nothing_about_what_somebody_decided, &[&MIGRATIONS]);

async fn one_that_finds_the_mail_server_away_is_enough(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (mail(&world, world.welcome()).await, mail(&world, world.welcome()).await);
    world.post.refuse(FailureClass::Outage, "smtp_unreachable", 421);
    world.deliver(one).await;
    assert!(matches!(world.deliver(other).await, Next::After(wait) if wait < Duration::from_secs(7)));
    let waiting = world.delivery(other).await;
    assert_eq!((waiting.state.as_str(), waiting.attempted_at), ("pending", None));
    assert!(world.post.mails().is_empty());
    world.pass(TimeDelta::seconds(7));
    for id in [other, one] {
        assert_eq!(world.delivered(id).await, SENT);
    }
}
both_engines!(one_that_finds_the_mail_server_away_is_enough, &[&MIGRATIONS]);
