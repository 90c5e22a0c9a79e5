//! Short messages, through a real receiver.

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::json;
use stylobate_core::Message;
use stylobate_notify::{MIGRATIONS, Medium, Next, SmsGateway};
use stylobate_testkit::{TestDb, both_engines};

use super::{
    receiver::{Receiver, Reply, status},
    world::{World, client, states},
};

async fn world(db: TestDb, receiver: &Receiver, url: &str) -> World {
    let url = SecretString::from(url.replace("HOST", &receiver.address.to_string()));
    let gateway = SmsGateway::parse(&url, client()).unwrap();
    World::with(db, |builder| builder.sms(gateway)).await
}

fn code(world: &World) -> Message {
    Message::to_person("code", world.ada).in_tenant(world.tenant).with(json!({ "code": "123456" }))
}

async fn a_code_reaches_the_gateway_and_nothing_else_keeps_it(db: TestDb) {
    let receiver = Receiver::start().await;
    let world = world(db, &receiver, "twilio+http://AC1:token@HOST?from=%2B15550100").await;
    let planned = world.planned(code(&world)).await;
    receiver.will([status(201)]);
    assert_eq!(world.delivered(planned[0].id).await, ("sent", None, None, Some(201), 1));
    let got = receiver.last();
    assert_eq!(got.line, "POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1");
    let body = String::from_utf8(got.body.clone()).unwrap();
    assert_eq!(body, "To=%2B436601234567&From=%2B15550100&Body=Your+code+is+123456.");
    assert!(got.header("authorization").unwrap().starts_with("Basic "));
    // It is in no list.
    let shown = json!(world.of(planned[0].message_id).await).to_string();
    assert!(!shown.contains("123456") && !shown.contains("6601234567"), "{shown}");
}
both_engines!(a_code_reaches_the_gateway_and_nothing_else_keeps_it, &[&MIGRATIONS]);

async fn a_gateway_that_is_busy_is_asked_later(db: TestDb) {
    let receiver = Receiver::start().await;
    let world = world(db, &receiver, "http://u:p@HOST/send?sms_from=Acme").await;
    let planned = world.planned(code(&world)).await;
    receiver.will([Reply::Status(429, "Retry-After: 90\r\n".to_owned(), String::new()), status(202)]);
    assert_eq!(world.deliver(planned[0].id).await, Next::After(std::time::Duration::from_secs(90)));
    world.pass(TimeDelta::seconds(90));
    assert_eq!(world.delivered(planned[0].id).await, ("sent", None, None, Some(202), 2));
    let body = receiver.last().json();
    assert_eq!(body, json!({ "to": "+436601234567", "from": "Acme", "text": "Your code is 123456." }));
}
both_engines!(a_gateway_that_is_busy_is_asked_later, &[&MIGRATIONS]);

fn says(status: u16, code: u32) -> Reply {
    Reply::Status(status, String::new(), format!(r#"{{"code":{code},"status":{status}}}"#))
}
async fn a_gateway_that_fails_is_asked_again_and_its_words_are_not_repeated(db: TestDb) {
    let receiver = Receiver::start().await;
    let world = world(db, &receiver, "http://u:p@HOST/send?sms_from=Acme").await;
    let planned = world.planned(code(&world)).await;
    let says =
        |status, head: &str| Reply::Status(status, head.to_owned(), "canary: +436601234567".to_owned());
    receiver.will([
        says(500, ""),
        says(502, "Retry-After: 3000\r\n"),
        says(503, "Retry-After: 3000\r\n"),
        // Nobody waits a year.
        says(503, "Retry-After: 31536000\r\n"),
        Reply::Close,
        status(200),
    ]);
    for (status, code, least, most) in [
        (Some(500), "notify_status", 10, 12),
        // Only those who are busy say for how long.
        (Some(502), "notify_status", 60, 72),
        (Some(503), "notify_status", 3_000, 3_000),
        (Some(503), "notify_status", 3_600, 3_600),
        (None, "egress_answer_broken", 3_600, 4_320),
    ] {
        let Next::After(wait) = world.deliver(planned[0].id).await else { panic!("it waits") };
        assert!((least..=most).contains(&wait.as_secs()), "{status:?} {wait:?}");
        let one = world.delivery(planned[0].id).await;
        assert_eq!(
            (one.state.as_str(), one.last_error.as_deref(), one.last_status),
            ("pending", Some(code), status)
        );
        let shown = json!(one).to_string();
        assert!(!shown.contains("canary") && !shown.contains("6601234567"), "{shown}");
        world.pass(TimeDelta::from_std(wait).unwrap());
    }
    assert_eq!(world.delivered(planned[0].id).await, ("sent", None, None, Some(200), 6));
}
both_engines!(a_gateway_that_fails_is_asked_again_and_its_words_are_not_repeated, &[&MIGRATIONS]);

async fn a_wrong_number_is_left_alone_and_wrong_credentials_are_an_outage(db: TestDb) {
    let receiver = Receiver::start().await;
    let world = world(db, &receiver, "twilio+http://AC1:token@HOST?from=%2B15550100").await;
    let planned = world.planned(code(&world)).await;
    receiver.will([status(401)]);
    assert!(matches!(world.deliver(planned[0].id).await, Next::After(_)));
    let one = world.delivery(planned[0].id).await;
    assert_eq!((one.attempts, one.last_error.as_deref()), (0, Some("notify_unauthorized")));
    world.pass(TimeDelta::seconds(10));
    // The number is not at fault for a sender that is none.
    receiver.will([says(400, 21_212)]);
    let refused = ("failed", Some("refused"), Some("notify_status".to_owned()), Some(400), 1);
    assert_eq!(world.delivered(planned[0].id).await, refused);
    let planned = world.planned(code(&world)).await;
    receiver.will([says(400, 21_211)]);
    let failed = ("failed", Some("bad_recipient"), Some("notify_bad_recipient".to_owned()), Some(400), 1);
    assert_eq!(world.delivered(planned[0].id).await, failed);
    assert_eq!(states(&world.planned(code(&world)).await), [("sms", "dropped", Some("suppressed"))]);
    // It is the number that is left alone, and not the person.
    assert_eq!(states(&world.planned(world.welcome()).await)[0], (Medium::Email.as_str(), "pending", None));
}
both_engines!(a_wrong_number_is_left_alone_and_wrong_credentials_are_an_outage, &[&MIGRATIONS]);

async fn a_gateway_that_says_200_and_means_no_is_understood(db: TestDb) {
    let receiver = Receiver::start().await;
    let world = world(db, &receiver, "vonage+http://key:secret@HOST?from=Acme").await;
    let planned = world.planned(code(&world)).await;
    let says = |status: &str| {
        Reply::Status(200, String::new(), format!(r#"{{"messages":[{{"status":"{status}"}}]}}"#))
    };
    receiver.will([says("1"), Reply::Flood, says("0")]);
    for expected in ["notify_throttled", "notify_answer_broken"] {
        let Next::After(wait) = world.deliver(planned[0].id).await else { panic!("it waits") };
        assert_eq!(world.delivery(planned[0].id).await.last_error.as_deref(), Some(expected));
        world.pass(TimeDelta::from_std(wait).unwrap());
    }
    assert_eq!(world.delivered(planned[0].id).await, ("sent", None, None, Some(200), 3));
}
both_engines!(a_gateway_that_says_200_and_means_no_is_understood, &[&MIGRATIONS]);
