//! Deciding where messages go.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Clock as _, Message, PageLimit, PersonId, SystemClock, TenantId};
use stylobate_notify::{
    Announcement, Budget, Budgets, Category, ChannelOwner, Contact, FailureClass, MIGRATIONS, Medium, Next,
    NotificationQuery, NotifierError, Preferences, QuietHours,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::task::JoinSet;

use super::world::{SENT, World, as_person, platform, states};

async fn a_message_goes_by_mail_and_into_the_product(db: TestDb) {
    let world = World::new(db).await;
    let planned = world.planned(world.alert("cpu")).await;
    assert_eq!(states(&planned), [("email", "pending", None), ("in_app", "sent", None)]);
    assert_eq!((planned[0].destination.as_str(), planned[0].person_id), ("a…@example.org", Some(world.ada)));
    let found =
        world.notifier.notifications(world.ada, Some(world.tenant), &NotificationQuery::default()).await;
    let one = found.unwrap().items.remove(0);
    assert_eq!((one.title.as_str(), one.body.as_str()), ("Alert: cpu", "cpu is too high."));
    assert_eq!(
        (one.link.as_deref(), one.position, one.kind.as_str()),
        (Some("/alerts/7"), 1, "alert.triggered")
    );
    // Planned again, it is left alone.
    world.notifier.plan(planned[0].message_id).await.unwrap();
    assert_eq!(world.of(planned[0].message_id).await, planned);
}
both_engines!(a_message_goes_by_mail_and_into_the_product, &[&MIGRATIONS]);

async fn what_is_secret_goes_to_own_addresses_alone(db: TestDb) {
    let world = World::new(db).await;
    let hook = json!({ "url": world.receiver.url() });
    world.channel(world.adas(), Medium::Webhook, hook.clone()).await;
    world.channel(world.tenants(), Medium::Webhook, hook).await;
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "pending", None)]);
    let code = Message::to_person("code", world.ada).with(json!({ "code": "123" }));
    assert_eq!(states(&world.planned(code).await), [("sms", "pending", None)]);
    // What is said to a person is for the person's channels, and not for those of the tenant.
    let planned = world.planned(world.welcome()).await;
    let expected = [("email", "pending", None), ("in_app", "sent", None), ("webhook", "pending", None)];
    assert_eq!(states(&planned), expected);
    assert_eq!(world.number("SELECT count(*) FROM notifications").await, 1);
}
both_engines!(what_is_secret_goes_to_own_addresses_alone, &[&MIGRATIONS]);

async fn addresses_that_are_not_proven_hear_of_the_account_only(db: TestDb) {
    let world = World::new(db).await;
    let contact = Contact {
        is_email_verified: false,
        is_phone_verified: false,
        ..World::contact("Bob", "bob@example.org")
    };
    let bob = world.person(contact);
    let to = |kind: &'static str, values| Message::to_person(kind, bob).with(values);
    let planned = world.planned(to("welcome", json!({ "plan": "x" }))).await;
    assert_eq!(states(&planned), [("email", "pending", None), ("in_app", "sent", None)]);
    let planned = world.planned(to("alert.triggered", json!({ "rule": "x", "path": "//evil.test" }))).await;
    assert_eq!(states(&planned), [("email", "dropped", Some("unverified")), ("in_app", "sent", None)]);
    let planned = world.planned(to("code", json!({ "code": "1" }))).await;
    assert_eq!(states(&planned), [("sms", "dropped", Some("unverified"))]);
    let carol =
        world.person(Contact { email: None, phone: Some("0660".to_owned()), ..World::contact("Carol", "") });
    let planned = world.planned(Message::to_person("code", carol).with(json!({ "code": "1" }))).await;
    assert_eq!(states(&planned), [("sms", "dropped", Some("no_address"))]);
    // A link that leads elsewhere is none.
    let found = world.notifier.notifications(bob, None, &NotificationQuery::default()).await.unwrap();
    assert!(found.items.iter().all(|one| one.link.is_none()));
}
both_engines!(addresses_that_are_not_proven_hear_of_the_account_only, &[&MIGRATIONS]);

async fn no_more_is_sent_than_the_budget_allows_however_many_plan_at_once(db: TestDb) {
    let world = World::new(db).await;
    let mut ids = Vec::new();
    for n in 0..12 {
        // From several tenants, and by name as well as by address: it is one mailbox.
        let message = match n % 3 {
            0 => world.welcome(),
            1 => world.welcome().in_tenant(TenantId::new(SystemClock.now())),
            _ => Message::to_email("welcome", "ADA@example.org").with(json!({ "plan": "x" })),
        };
        ids.push(world.accept(message).await);
    }
    let mut under_way = JoinSet::new();
    for id in &ids {
        let (notifier, id) = (world.notifier.clone(), *id);
        under_way.spawn(async move { notifier.plan(id).await.unwrap() });
    }
    assert!(under_way.join_all().await.iter().all(|next| *next == Next::Done));
    let count = |state: &'static str, reason: Option<&'static str>, all: &[(&str, &str, Option<&str>)]| {
        all.iter().filter(|one| **one == ("email", state, reason)).count()
    };
    let mut all = Vec::new();
    for id in &ids {
        all.extend(states(&world.of(*id).await));
    }
    assert_eq!((count("pending", None, &all), count("dropped", Some("budget"), &all)), (5, 7));
    // Positions of what appears in the product are none twice.
    let sql = "SELECT CAST(max(position) - count(*) AS bigint) FROM notifications";
    assert_eq!((world.number(sql).await, world.number("SELECT count(*) FROM notifications").await), (0, 8));
    // What is about security is sent all the same, by its own budget; and a day later everything is.
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "pending", None)]);
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "pending", None)]);
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "dropped", Some("budget"))]);
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "dropped", Some("budget")));
    world.pass(TimeDelta::hours(1));
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "pending", None)]);
    world.pass(TimeDelta::hours(23));
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "pending", None));
}
both_engines!(no_more_is_sent_than_the_budget_allows_however_many_plan_at_once, &[&MIGRATIONS]);

async fn short_messages_have_a_budget_whatever_they_are_about(db: TestDb) {
    let sms = Budgets { sms: Budget { most: 2, within: Duration::from_secs(60) }, ..Budgets::default() };
    let world = World::with(db, |builder| builder.budgets(sms)).await;
    let code = || Message::to_person("code", world.ada).with(json!({ "code": "1" }));
    for expected in [("sms", "pending", None), ("sms", "pending", None), ("sms", "dropped", Some("budget"))] {
        assert_eq!(states(&world.planned(code()).await), [expected]);
    }
}
both_engines!(short_messages_have_a_budget_whatever_they_are_about, &[&MIGRATIONS]);

async fn the_same_is_said_once_in_a_while(db: TestDb) {
    let world = World::new(db).await;
    let both = |state, in_app, reason| [("email", state, reason), ("in_app", in_app, reason)];
    let sent = both("pending", "sent", None);
    let dropped = both("dropped", "dropped", Some("duplicate"));
    assert_eq!(states(&world.planned(world.alert("cpu")).await), sent);
    assert_eq!(states(&world.planned(world.alert("cpu")).await), dropped);
    // Something else, and to somebody else, is not the same.
    assert_eq!(states(&world.planned(world.alert("disk")).await), sent);
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    let values = json!({ "rule": "cpu", "path": "/alerts/7" });
    let to_bob = Message::to_person("alert.triggered", bob).in_tenant(world.tenant).with(values);
    assert_eq!(states(&world.planned(to_bob).await), sent);
    // What was dropped keeps nothing from being sent: a minute after the first it is news again.
    world.pass(TimeDelta::seconds(50));
    assert_eq!(states(&world.planned(world.alert("cpu")).await), dropped);
    world.pass(TimeDelta::seconds(10));
    assert_eq!(states(&world.planned(world.alert("cpu")).await), sent);
}
both_engines!(the_same_is_said_once_in_a_while, &[&MIGRATIONS]);

async fn of_the_same_at_once_one_is_sent(db: TestDb) {
    let world = World::new(db).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.accept(world.alert("cpu")).await);
    }
    let mut under_way = JoinSet::new();
    for id in &ids {
        let (notifier, id) = (world.notifier.clone(), *id);
        under_way.spawn(async move { notifier.plan(id).await.unwrap() });
    }
    under_way.join_all().await;
    assert_eq!(world.number("SELECT count(*) FROM notify_deliveries WHERE state = 'pending'").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM notify_deliveries WHERE reason = 'duplicate'").await, 10);
    assert_eq!(world.number("SELECT count(*) FROM notifications").await, 1);
}
both_engines!(of_the_same_at_once_one_is_sent, &[&MIGRATIONS]);

async fn what_is_planned_together_is_decided_for_each(db: TestDb) {
    let three = Budget::daily(3);
    let budgets = Budgets { email: three, in_app: three, ..Budgets::default() };
    let world = World::with(db, |builder| builder.budgets(budgets)).await;
    let people: Vec<PersonId> = (0..6)
        .map(|n| world.person(World::contact(&format!("Person {n}"), &format!("person{n}@example.org"))))
        .collect();
    let to = |person: PersonId, rule: &str| {
        let values = json!({ "rule": rule, "path": "/alerts/7" });
        Message::to_person("alert.triggered", person).in_tenant(world.tenant).with(values)
    };
    // Nothing is sent to the second, and the third has had enough.
    world.notifier.suppress(&platform(), Medium::Email, "person1@example.org", "r", None).await.unwrap();
    for n in 0..3 {
        world.planned(to(people[2], &n.to_string())).await;
    }
    let mut ids = Vec::new();
    for _ in 0..2 {
        for person in &people {
            ids.push(world.accept(to(*person, "cpu")).await);
        }
    }
    let mut under_way = JoinSet::new();
    for id in &ids {
        let (notifier, id) = (world.notifier.clone(), *id);
        under_way.spawn(async move { notifier.plan(id).await.unwrap() });
    }
    under_way.join_all().await;
    for (n, person) in people.iter().enumerate() {
        let mut found = Vec::new();
        for id in &ids {
            let of = world.of(*id).await.into_iter().filter(|one| one.person_id == Some(*person));
            found.extend(
                states(&of.collect::<Vec<_>>()).into_iter().map(|(medium, _, reason)| (medium, reason)),
            );
        }
        found.sort_unstable();
        let (double, above) = (Some("duplicate"), Some("budget"));
        let expected = match n {
            1 => [("email", double), ("email", Some("suppressed")), ("in_app", None), ("in_app", double)],
            // Nobody was told of the first, so that the second is no double.
            2 => [("email", above), ("email", above), ("in_app", above), ("in_app", above)],
            _ => [("email", None), ("email", double), ("in_app", None), ("in_app", double)],
        };
        assert_eq!(found, expected, "{n}");
    }
}
both_engines!(what_is_planned_together_is_decided_for_each, &[&MIGRATIONS]);

async fn quiet_hours_put_off_and_muting_drops(db: TestDb) {
    let world = World::new(db).await;
    world.channel(world.adas(), Medium::Webhook, json!({ "url": world.receiver.url() })).await;
    // It is noon.
    let quiet_hours = Some(QuietHours { from_min: 11 * 60, to_min: 13 * 60 });
    let set = async |preferences| {
        world.notifier.set_preferences(&world.context(), preferences).await.unwrap();
    };
    set(Preferences { quiet_hours, muted: vec![] }).await;
    let planned = world.planned(world.welcome()).await;
    let expected = [("email", "pending", None), ("in_app", "sent", None), ("webhook", "pending", None)];
    assert_eq!(states(&planned), expected);
    for late in [&planned[0], &planned[2]] {
        assert_eq!(late.due_at, Some(world.now() + TimeDelta::hours(1)));
        assert_eq!(world.deliver(late.id).await, Next::After(Duration::from_secs(3_600)));
    }
    assert!(world.post.mails().is_empty());
    // Neither for what must be looked at, nor for what is about security.
    let critical = Message::to_person("alert.critical", world.ada).with(json!({ "rule": "x", "path": "/" }));
    for urgent in [critical.clone(), world.reset()] {
        assert_eq!(world.planned(urgent).await[0].due_at, Some(world.now()));
    }
    // Where their clock stands counts: in Tokyo the evening has come.
    let tokyo =
        Contact { time_zone: Some("Asia/Tokyo".to_owned()), ..World::contact("Ada", "ada@example.org") };
    world.know(world.ada, tokyo);
    assert_eq!(world.planned(world.welcome()).await[0].due_at, Some(world.now()));
    // Budgets are not what this is about.
    world.pass(TimeDelta::days(1));
    set(Preferences { quiet_hours: None, muted: vec![Category::Alert] }).await;
    let muted = Some("muted");
    let planned = world.planned(world.alert("cpu")).await;
    assert_eq!(
        states(&planned),
        [("email", "dropped", muted), ("in_app", "sent", None), ("webhook", "dropped", muted)]
    );
    assert_eq!(states(&world.planned(world.reset()).await), [("email", "pending", None)]);
    assert_eq!(states(&world.planned(critical).await)[0], ("email", "pending", None));
    let never = Some(QuietHours { from_min: 0, to_min: 1_440 });
    for (wrong, field) in [
        (Preferences { quiet_hours: never, muted: vec![] }, "quiet_hours"),
        (Preferences { quiet_hours: None, muted: vec![Category::Security] }, "muted"),
    ] {
        let refused = world.notifier.set_preferences(&world.context(), wrong).await.unwrap_err();
        assert!(
            matches!(refused, NotifierError::Invalid { field: named, .. } if named == field),
            "{refused}"
        );
    }
    let expected =
        ["notification_channel.create", "notification_preferences.update", "notification_preferences.update"];
    assert_eq!(world.actions(), expected);
}
both_engines!(quiet_hours_put_off_and_muting_drops, &[&MIGRATIONS]);

async fn nothing_is_sent_to_suppressed_addresses(db: TestDb) {
    let world = World::new(db).await;
    let (own_context, platform) = (world.context(), super::world::platform());
    let suppress = async |context, address: &'static str| {
        world.notifier.suppress(context, Medium::Email, address, "asked us to", None).await.unwrap()
    };
    let own = suppress(&own_context, "Ada@Example.org").await;
    assert_eq!((own.destination.as_str(), own.tenant_id), ("A…@example.org", Some(world.tenant)));
    let email = async |message| states(&world.planned(message).await)[0];
    let (pending, suppressed) = (("email", "pending", None), ("email", "dropped", Some("suppressed")));
    assert_eq!(email(world.welcome()).await, suppressed);
    // Another tenant is not bound by that, and does not see it.
    let elsewhere = TenantId::new(SystemClock.now());
    assert_eq!(email(world.welcome().in_tenant(elsewhere)).await, pending);
    let foreign = as_person(world.ada, elsewhere);
    let list =
        async |context| world.notifier.suppressions(context, PageLimit::default(), None).await.unwrap().items;
    assert!(list(&foreign).await.is_empty());
    assert_eq!(world.notifier.unsuppress(&foreign, own.id).await.unwrap_err().code(), "not_found");
    // Everybody's binds all.
    let all = suppress(&platform, "ada@example.org").await;
    assert_eq!(email(world.welcome().in_tenant(elsewhere)).await, suppressed);
    world.notifier.unsuppress(&super::world::platform(), all.id).await.unwrap();
    assert_eq!(email(world.welcome().in_tenant(elsewhere)).await, pending);
    // Again is the same one, and for a while.
    let until = Some(world.now() + TimeDelta::hours(1));
    let again = world
        .notifier
        .suppress(&world.context(), Medium::Email, "ada@example.org", "r", until)
        .await
        .unwrap();
    assert_eq!((again.id, list(&world.context()).await.len()), (own.id, 1));
    world.pass(TimeDelta::hours(1));
    assert_eq!(email(world.welcome()).await, pending);
    for (medium, address, reason) in [
        (Medium::Email, "nonsense", "r"),
        (Medium::Sms, "0660", "r"),
        (Medium::Slack, "ada@example.org", "r"),
        (Medium::Email, "ada@example.org", ""),
    ] {
        let refused =
            world.notifier.suppress(&world.context(), medium, address, reason, None).await.unwrap_err();
        assert_eq!(refused.code(), "validation");
    }
    assert!(!world.trail().contains("ada@"));
}
both_engines!(nothing_is_sent_to_suppressed_addresses, &[&MIGRATIONS]);

async fn who_is_away_is_waited_for_but_not_for_ever(db: TestDb) {
    let world = World::new(db).await;
    let id = world.accept(world.welcome()).await;
    let other = world.accept(world.welcome()).await;
    world.people.is_away.store(true, Ordering::SeqCst);
    let Next::After(wait) = world.notifier.plan(id).await.unwrap() else { panic!("it waits") };
    assert!(wait >= Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
    assert!(matches!(world.notifier.plan(id).await.unwrap(), Next::After(_)));
    assert!(world.of(id).await.is_empty());
    world.people.is_away.store(false, Ordering::SeqCst);
    world.pass(TimeDelta::seconds(6));
    assert_eq!(world.notifier.plan(id).await.unwrap(), Next::Done);
    assert_eq!(world.of(id).await.len(), 2);
    // The same with what it says; and after a day it is over.
    world.sealer.is_away.store(true, Ordering::SeqCst);
    assert!(matches!(world.notifier.plan(other).await.unwrap(), Next::After(_)));
    world.pass(TimeDelta::hours(24));
    assert_eq!(world.notifier.plan(other).await.unwrap(), Next::Done);
    assert_eq!(states(&world.of(other).await), [("email", "failed", Some("unopenable"))]);
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state = 'accepted'").await, 0);
}
both_engines!(who_is_away_is_waited_for_but_not_for_ever, &[&MIGRATIONS]);

async fn what_cannot_be_opened_fails_at_once(db: TestDb) {
    let world = World::new(db).await;
    let (one, other) = (world.accept(world.welcome()).await, world.accept(world.reset()).await);
    // Sealed for another row.
    world.tamper("UPDATE notify_messages SET values_sealed = (SELECT m.values_sealed FROM notify_messages m WHERE m.kind = 'reset')").await;
    assert_eq!(world.notifier.plan(one).await.unwrap(), Next::Done);
    assert_eq!(states(&world.of(one).await), [("email", "failed", Some("unopenable"))]);
    assert_eq!(world.notifier.plan(other).await.unwrap(), Next::Done);
    assert_eq!(states(&world.of(other).await), [("email", "pending", None)]);
}
both_engines!(what_cannot_be_opened_fails_at_once, &[&MIGRATIONS]);

async fn what_is_too_old_is_not_sent(db: TestDb) {
    let world = World::new(db).await;
    let late = world.accept(world.reset()).await;
    let quiet = Preferences { quiet_hours: Some(QuietHours { from_min: 0, to_min: 1_439 }), muted: vec![] };
    world.notifier.set_preferences(&world.context(), quiet).await.unwrap();
    world.pass(TimeDelta::minutes(10));
    assert_eq!(world.notifier.plan(late).await.unwrap(), Next::Done);
    assert_eq!(states(&world.of(late).await), [("email", "dropped", Some("expired"))]);
    // A kind that is known no more is no reason to try for ever.
    let gone = world.accept(world.welcome()).await;
    world.tamper("UPDATE notify_messages SET kind = 'gone' WHERE state = 'accepted'").await;
    assert_eq!(world.notifier.plan(gone).await.unwrap(), Next::Done);
    assert_eq!(states(&world.of(gone).await), [("email", "failed", Some("template"))]);
}
both_engines!(what_is_too_old_is_not_sent, &[&MIGRATIONS]);

async fn what_channels_send_to_a_mailbox_is_not_taken_from_its_owner(db: TestDb) {
    let budgets = Budgets { email: Budget::daily(5), channel: Budget::daily(9), ..Budgets::default() };
    let world = World::with(db, |builder| builder.budgets(budgets)).await;
    let elsewhere = TenantId::new(SystemClock.now());
    for owner in [world.tenants(), ChannelOwner::Tenant(elsewhere)] {
        world.channel(owner, Medium::Email, json!({ "address": "ada@example.org" })).await;
    }
    let (pending, over) = (("email", "pending", None), ("email", "dropped", Some("budget")));
    let said_in = async |tenant| {
        let said = Announcement { tenant, ..world.event("user.created") };
        states(&world.announced(said).await)[0]
    };
    for expected in [pending, pending, pending, pending, pending, over, over] {
        assert_eq!(said_in(world.tenant).await, expected);
    }
    assert_eq!(states(&world.planned(world.welcome()).await)[0], pending);
    // Nor does one tenant use up what another may send there, but for what everybody together may: three are left of nine.
    for expected in [pending, pending, pending, over] {
        assert_eq!(said_in(elsewhere).await, expected);
    }
    assert_eq!(states(&world.planned(world.welcome()).await)[0], pending);
}
both_engines!(what_channels_send_to_a_mailbox_is_not_taken_from_its_owner, &[&MIGRATIONS]);

async fn whoever_waits_for_a_code_gets_it_at_once(db: TestDb) {
    let world = World::new(db).await;
    let quiet_hours = Some(QuietHours { from_min: 11 * 60, to_min: 13 * 60 });
    let preferences = Preferences { quiet_hours, muted: vec![Category::Account] };
    world.notifier.set_preferences(&world.context(), preferences).await.unwrap();
    let planned = world.planned(Message::to_person("confirm", world.ada).with(json!({ "token": "x" }))).await;
    assert_eq!(states(&planned), [("email", "pending", None)]);
    assert_eq!(world.delivered(planned[0].id).await, SENT);
    assert_eq!(states(&world.planned(world.welcome()).await)[0], ("email", "dropped", Some("muted")));
}
both_engines!(whoever_waits_for_a_code_gets_it_at_once, &[&MIGRATIONS]);

async fn a_mail_channel_follows_nobody_to_an_address_they_left(db: TestDb) {
    let world = World::new(db).await;
    world.channel(world.adas(), Medium::Email, json!({ "address": "ada@example.org" })).await;
    let to_channels = || {
        let values = json!({ "type": "user.created", "words": "Ada came" });
        Message::to_person("event", world.ada).with(values)
    };
    let (before, after) = (world.planned(to_channels()).await, world.planned(to_channels()).await);
    assert_eq!(states(&before), [("email", "pending", None)]);
    assert_eq!(world.delivered(before[0].id).await, SENT);
    for contact in [
        World::contact("Ada", "new@example.org"),
        Contact { is_email_verified: false, ..World::contact("Ada", "ada@example.org") },
        Contact { email: None, ..World::contact("Ada", "") },
    ] {
        world.know(world.ada, contact);
        let planned = world.planned(to_channels()).await;
        assert_eq!(states(&planned), [("email", "dropped", Some("unverified"))]);
    }
    // What was planned before too.
    assert_eq!(world.delivered(after[0].id).await, ("dropped", Some("unverified"), None, None, 0));
    assert_eq!(world.post.mails().len(), 1);
}
both_engines!(a_mail_channel_follows_nobody_to_an_address_they_left, &[&MIGRATIONS]);

async fn what_is_planned_late_is_a_double_all_the_same(db: TestDb) {
    let world = World::new(db).await;
    world.planned(world.alert("cpu")).await;
    world.pass(TimeDelta::seconds(50));
    let late = world.accept(world.alert("cpu")).await;
    world.pass(TimeDelta::seconds(20));
    world.notifier.plan(late).await.unwrap();
    assert_eq!(states(&world.of(late).await)[0], ("email", "dropped", Some("duplicate")));
}
both_engines!(what_is_planned_late_is_a_double_all_the_same, &[&MIGRATIONS]);

async fn what_nobody_was_told_is_no_reason_not_to_tell_them(db: TestDb) {
    let world = World::new(db).await;
    let values = || json!({ "rule": "cpu", "path": "/" });
    let to_bob =
        || Message::to_email("alert.triggered", "bob@example.org").in_tenant(world.tenant).with(values());
    let context = world.context();
    let none = world.notifier.suppress(&context, Medium::Email, "bob@example.org", "r", None).await.unwrap();
    assert_eq!(states(&world.planned(to_bob()).await), [("email", "dropped", Some("suppressed"))]);
    world.notifier.unsuppress(&context, none.id).await.unwrap();
    assert_eq!(states(&world.planned(to_bob()).await), [("email", "pending", None)]);
    assert_eq!(states(&world.planned(to_bob()).await), [("email", "dropped", Some("duplicate"))]);
    // Nor is what could not be planned at all.
    let carol = stylobate_core::PersonId::new(SystemClock.now());
    let to_carol = || Message::to_person("alert.triggered", carol).with(values());
    assert_eq!(states(&world.planned(to_carol()).await), [("email", "dropped", Some("no_address"))]);
    world.know(carol, World::contact("Carol", "carol@example.org"));
    assert_eq!(states(&world.planned(to_carol()).await)[0], ("email", "pending", None));
}
both_engines!(what_nobody_was_told_is_no_reason_not_to_tell_them, &[&MIGRATIONS]);

async fn a_mailbox_is_written_to_once_however_many_ways_lead_there(db: TestDb) {
    let world = World::new(db).await;
    let own = world.channel(world.adas(), Medium::Email, json!({ "address": "ADA@example.org" })).await;
    let planned = world.planned(world.welcome()).await;
    let by = |channel| {
        let of = planned.iter().find(|one| one.medium == Medium::Email && one.channel_id == channel).unwrap();
        (of.id, of.state.as_str(), of.reason.map(|reason| reason.as_str()))
    };
    let (id, state, reason) = by(None);
    assert_eq!((state, reason), ("pending", None));
    assert_eq!((by(Some(own.id)).1, by(Some(own.id)).2), ("dropped", Some("duplicate")));
    assert_eq!(world.delivered(id).await, SENT);
    // And not at all where somebody asked not to be.
    world.channel(world.tenants(), Medium::Email, json!({ "address": "ops@example.org" })).await;
    let platform = super::world::platform();
    world.notifier.suppress(&platform, Medium::Email, "ops@example.org", "r", None).await.unwrap();
    let planned = world.announced(world.event("user.created")).await;
    assert_eq!(states(&planned), [("email", "dropped", Some("suppressed"))]);
}
both_engines!(a_mailbox_is_written_to_once_however_many_ways_lead_there, &[&MIGRATIONS]);

async fn a_retry_waits_for_the_end_of_quiet_hours_too(db: TestDb) {
    let world = World::new(db).await;
    let id = world.planned(world.welcome()).await[0].id;
    // It is noon, and from one to three they sleep.
    let quiet_hours = Some(QuietHours { from_min: 13 * 60, to_min: 15 * 60 });
    let preferences = Preferences { quiet_hours, muted: vec![] };
    world.notifier.set_preferences(&world.context(), preferences).await.unwrap();
    world.post.refuse(FailureClass::TRANSIENT, "smtp_deferred", 451);
    world.deliver(id).await;
    world.pass(TimeDelta::hours(1));
    assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(2 * 3_600)));
    let one = world.delivery(id).await;
    assert_eq!((one.state.as_str(), one.attempts, one.last_status), ("pending", 1, Some(451)));
    world.pass(TimeDelta::hours(2));
    assert_eq!(world.delivered(id).await, ("sent", None, None, Some(250), 2));
    // Whoever tries out a channel of theirs waits for it.
    world.pass(TimeDelta::hours(23));
    let hook = world.channel(world.adas(), Medium::Webhook, json!({ "url": world.receiver.url() })).await;
    let test = world.notifier.test_channel(&world.context(), world.adas(), hook.id).await.unwrap();
    assert_eq!(world.delivered(test.id).await.0, "sent");
}
both_engines!(a_retry_waits_for_the_end_of_quiet_hours_too, &[&MIGRATIONS]);
