//! What fails waits and comes again, and ends as a dead letter that says why.

use std::time::Duration;

use lapin::{BasicProperties, message::BasicGetMessage, types::AMQPValue};
use serde_json::json;
use stylobate_db::Error;
use stylobate_events::{ConsumerOptions, Envelope, MIGRATIONS, Refused, Types};
use stylobate_testkit::{TestDb, both_engines};

use super::{
    broker::{AUDIT, Host, event, until},
    hearing::{Ear, Running, consumer, effects, options},
};

/// A header of a dead letter as text.
fn header(message: &BasicGetMessage, name: &str) -> String {
    let headers = message.properties.headers().as_ref().unwrap();
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        Some(AMQPValue::LongUInt(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

async fn an_event_that_always_fails_waits_each_time_and_becomes_a_dead_letter(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, _, call| Box::pin(async move { Err(Refused::later(format!("failure {call}"))) }));
    let delays = [100, 300].map(Duration::from_millis);
    let patient = ConsumerOptions { delays: delays.into(), attempts_max: 4, ..options() };
    let running = Running::start(&consumer(host.broker(), &db, &ear, patient));
    host.consumed("ear").await;
    let poison = event("user.created", "person:1");
    host.publish(&poison).await;
    let dead = host.arrival("ear.dead").await;
    running.stop().await;

    assert_eq!(Envelope::from_json(&dead.data).unwrap(), poison);
    assert_eq!(dead.properties.message_id().as_ref().unwrap().as_str(), poison.id.to_string());
    let told = ["x-reason", "x-attempts", "x-error"].map(|name| header(&dead, name));
    assert_eq!(told, ["gave_up", "4", "failure 4"]);
    let calls = ear.calls();
    let waits: Vec<Duration> = calls.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert_eq!(waits.len(), 3);
    // The last delay serves again and again.
    for (wait, delay) in waits.iter().zip([delays[0], delays[1], delays[1]]) {
        assert!(*wait >= delay, "{waits:?}");
    }
    assert_eq!((effects(&db).await, host.waiting("ear").await), (0, 0));
}

async fn an_event_that_fails_once_is_heard_the_next_time_and_others_do_not_wait_for_it(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, _, call| {
        Box::pin(async move { if call == 1 { Err(Refused::later("not yet")) } else { Ok(()) } })
    });
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    let (first, second) = (event("user.created", "a"), event("user.created", "b"));
    host.publish(&first).await;
    host.publish(&second).await;
    until("both effects", async || (effects(&db).await == 2).then_some(())).await;
    running.stop().await;
    assert_eq!(ear.calls().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first.id, second.id, first.id]);
    assert_eq!(host.waiting("ear.dead").await, 0);
}

async fn a_wait_that_the_handler_asks_for_is_kept(db: TestDb) {
    let host = Host::new().await;
    let wait = Duration::from_millis(250);
    let ear = Ear::new(move |_, _, call| {
        let outcome = if call == 1 { Err(Refused::later("busy").after(wait)) } else { Ok(()) };
        Box::pin(async move { outcome })
    });
    let delays = [20, 300].map(Duration::from_millis).into();
    let running =
        Running::start(&consumer(host.broker(), &db, &ear, ConsumerOptions { delays, ..options() }));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    until("the effect", async || (effects(&db).await == 1).then_some(())).await;
    running.stop().await;
    let calls = ear.calls();
    assert!(calls[1].1 - calls[0].1 >= wait);
}

async fn what_can_never_work_is_a_dead_letter_at_once(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, _, _| Box::pin(async { Err(Refused::never("no such person")) }));
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    let dead = host.arrival("ear.dead").await;
    running.stop().await;
    let told = ["x-reason", "x-attempts", "x-error"].map(|name| header(&dead, name));
    assert_eq!(told, ["refused", "1", "no such person"]);
    assert_eq!((ear.calls().len(), effects(&db).await), (1, 0));
}

async fn what_is_no_event_or_of_an_unknown_version_is_a_dead_letter_with_the_reason(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::content();
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    let plain = BasicProperties::default;
    let unreadable: [&[u8]; 3] = [b"", b"\xff{", &[b' '; (256 << 10) + 1]];
    for body in unreadable {
        host.publish_raw(AUDIT, "user.created", body, plain().with_expiration("60000".into())).await;
        let dead = host.arrival("ear.dead").await;
        assert_eq!((header(&dead, "x-reason").as_str(), dead.data.as_slice()), ("unreadable", body));
        assert_eq!(dead.properties.expiration(), &None);
    }
    let mut event = event("user.created", "a");
    event.version = 3;
    host.publish(&event).await;
    let dead = host.arrival("ear.dead").await;
    assert_eq!(header(&dead, "x-reason"), "unknown_version");
    assert_eq!(header(&dead, "x-error"), "the catalogue has no version 3 of `user.created`");
    event.version = 2;
    host.publish(&event).await;
    until("the version that is known", async || (effects(&db).await == 1).then_some(())).await;
    running.stop().await;
    assert_eq!(host.waiting("ear.dead").await, 0);
}

async fn who_hears_all_types_hears_those_that_came_later_and_others_forget_them(db: TestDb) {
    let host = Host::new().await;
    let all = Ear::to(Types::All, |_, _, _| Box::pin(async { Ok(()) }));
    let running = Running::start(&consumer(host.broker(), &db, &all, options()));
    host.consumed("ear").await;
    host.publish(&event("user.renamed", "a")).await;
    until("the new type", async || (effects(&db).await == 1).then_some(())).await;
    running.stop().await;

    // The binding for everything is still there.
    let some = Ear::content();
    let running = Running::start(&consumer(host.broker(), &db, &some, options()));
    host.consumed("ear").await;
    host.publish(&event("user.renamed", "b")).await;
    host.publish(&event("user.created", "c")).await;
    until("the type it hears", async || (effects(&db).await == 2).then_some(())).await;
    running.stop().await;
    assert_eq!((some.calls().len(), host.waiting("ear").await, host.waiting("ear.dead").await), (1, 0, 0));
}

async fn a_handler_that_panics_has_failed_and_its_consumer_goes_on(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, event, _| {
        let is_bad = event.subject == "bad";
        Box::pin(async move {
            assert!(!is_bad, "a handler may be wrong");
            Ok(())
        })
    });
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    host.publish(&event("user.created", "bad")).await;
    host.publish(&event("user.created", "good")).await;
    let dead = host.arrival("ear.dead").await;
    running.stop().await;
    let told = ["x-reason", "x-attempts", "x-error"].map(|name| header(&dead, name));
    assert_eq!(told, ["gave_up", "3", "the handler panicked"]);
    assert_eq!(effects(&db).await, 1);
}

async fn a_handler_that_takes_too_long_has_failed(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, _, call| {
        Box::pin(async move { if call == 1 { std::future::pending().await } else { Ok(()) } })
    });
    let brief = ConsumerOptions { timeout: Duration::from_millis(200), ..options() };
    let running = Running::start(&consumer(host.broker(), &db, &ear, brief));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    until("the effect", async || (effects(&db).await == 1).then_some(())).await;
    running.stop().await;
    assert_eq!((ear.calls().len(), host.waiting("ear.dead").await), (2, 0));
}

async fn a_database_that_is_away_is_no_attempt(db: TestDb) {
    let host = Host::new().await;
    let own = db.open(&[]).await;
    let closing = own.clone();
    let ear = Ear::new(move |_, _, _| {
        let closing = closing.clone();
        Box::pin(async move {
            // From now on it answers nobody; that all connections are back is awaited elsewhere.
            tokio::spawn(async move { closing.close().await });
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(Error::Unavailable("the database restarts".into()).into())
        })
    });
    let only_one = ConsumerOptions { attempts_max: 1, ..options() };
    let running = Running::start(&consumer(host.broker(), &own, &ear, only_one));
    host.consumed("ear").await;
    host.publish(&event("user.created", "a")).await;
    until("the call", async || (!ear.calls().is_empty()).then_some(())).await;
    running.stop().await;
    assert_eq!((ear.calls().len(), host.waiting("ear.dead").await), (1, 0));
    // Whoever has a database hears it.
    let ear = Ear::content();
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    until("the effect", async || (effects(&db).await == 1).then_some(())).await;
    running.stop().await;
}

async fn an_event_that_alone_meets_a_busy_database_has_failed(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, event, _| {
        let is_bad = event.subject == "a";
        Box::pin(async move { if is_bad { Err(Error::Busy.into()) } else { Ok(()) } })
    });
    let twice = ConsumerOptions { attempts_max: 2, ..options() };
    let running = Running::start(&consumer(host.broker(), &db, &ear, twice));
    host.consumed("ear").await;
    for subject in ["a", "b"] {
        host.publish(&event("user.created", subject)).await;
    }
    until("the other's effect", async || (effects(&db).await == 1).then_some(())).await;
    let dead = host.arrival("ear.dead").await;
    running.stop().await;
    assert_eq!(Envelope::from_json(&dead.data).unwrap().subject, "a");
}

async fn a_dead_letter_queue_that_was_deleted_is_made_again(db: TestDb) {
    let host = Host::new().await;
    let ear = Ear::new(|_, _, _| Box::pin(async { Err(Refused::never("poison")) }));
    let running = Running::start(&consumer(host.broker(), &db, &ear, options()));
    host.consumed("ear").await;
    host.channel.queue_delete("ear.dead".into(), Default::default()).await.unwrap();
    let mut poison = event("user.created", "a");
    poison.data = json!({ "long": "x".repeat(100_000) });
    host.publish(&poison).await;
    host.declared("ear.dead").await;
    let dead = host.arrival("ear.dead").await;
    running.stop().await;
    assert_eq!(Envelope::from_json(&dead.data).unwrap(), poison);
}

both_engines!(an_event_that_always_fails_waits_each_time_and_becomes_a_dead_letter, &[&MIGRATIONS]);
both_engines!(an_event_that_fails_once_is_heard_the_next_time_and_others_do_not_wait_for_it, &[&MIGRATIONS]);
both_engines!(a_wait_that_the_handler_asks_for_is_kept, &[&MIGRATIONS]);
both_engines!(what_can_never_work_is_a_dead_letter_at_once, &[&MIGRATIONS]);
both_engines!(what_is_no_event_or_of_an_unknown_version_is_a_dead_letter_with_the_reason, &[&MIGRATIONS]);
both_engines!(who_hears_all_types_hears_those_that_came_later_and_others_forget_them, &[&MIGRATIONS]);
both_engines!(a_handler_that_panics_has_failed_and_its_consumer_goes_on, &[&MIGRATIONS]);
both_engines!(a_handler_that_takes_too_long_has_failed, &[&MIGRATIONS]);
both_engines!(a_database_that_is_away_is_no_attempt, &[&MIGRATIONS]);
both_engines!(an_event_that_alone_meets_a_busy_database_has_failed, &[&MIGRATIONS]);
both_engines!(a_dead_letter_queue_that_was_deleted_is_made_again, &[&MIGRATIONS]);
