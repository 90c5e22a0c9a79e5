//! Each chat in its own format, at a real receiver.

use serde_json::{Value, json};
use stylobate_notify::{ChatHosts, MIGRATIONS, Medium};
use stylobate_testkit::{TestDb, both_engines};

use super::{receiver::status, world::World};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_";

/// Announces something with tricks in it to one channel, and returns what arrived.
async fn told(world: &World, medium: Medium, config: Value) -> (String, Value) {
    let channel = world.channel(world.tenants(), medium, config).await;
    let tricks = json!({ "type": "a <!channel> b", "words": "@all [home](https://evil.test) & <b>" });
    let event = stylobate_notify::Announcement { values: tricks, ..world.event("user.created") };
    let planned = world.announced(event).await;
    let id = planned.iter().find(|one| one.channel_id == Some(channel.id)).unwrap().id;
    assert_eq!(world.delivered(id).await.0, "sent");
    world.notifier.delete_channel(&world.context(), world.tenants(), channel.id).await.unwrap();
    let got = world.receiver.last();
    assert_eq!(got.header("content-type"), Some("application/json"));
    (got.line.clone(), got.json())
}

async fn each_chat_is_told_in_its_own_way(db: TestDb) {
    let world = World::new(db).await;
    let url = json!({ "url": format!("http://{}/services/T0/x", world.receiver.address) });
    let (line, body) = told(&world, Medium::Slack, url.clone()).await;
    assert_eq!(line, "POST /services/T0/x HTTP/1.1");
    assert!(body["text"].as_str().unwrap().starts_with("a &lt;!channel&gt; b\n\n@all"), "{body}");
    let (_, body) = told(&world, Medium::Mattermost, url.clone()).await;
    assert!(!body["text"].as_str().unwrap().contains("@all"), "{body}");
    let (_, body) = told(&world, Medium::Discord, url.clone()).await;
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let (_, body) = told(&world, Medium::Teams, url).await;
    assert_eq!(body["attachments"][0]["content"]["body"][0]["inlines"][0]["text"], "a <!channel> b");
    let bot = json!({ "bot_token": TOKEN, "chat_id": "-1001" });
    let (line, body) = told(&world, Medium::Telegram, bot).await;
    assert_eq!(line, format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));
    assert_eq!((&body["chat_id"], body.get("parse_mode")), (&json!("-1001"), None));
}
both_engines!(each_chat_is_told_in_its_own_way, &[&MIGRATIONS]);

async fn a_host_that_is_allowed_no_more_is_not_asked(db: TestDb) {
    let world = World::new(db).await;
    let url = json!({ "url": format!("http://{}/services/T0/x", world.receiver.address) });
    world.channel(world.tenants(), Medium::Mattermost, url).await;
    let planned = world.announced(world.event("user.created")).await;
    // The same database, and an operator who changed their mind.
    let stricter = super::world::sibling(&world, |builder| builder.hosts(ChatHosts::default())).await;
    stricter.deliver(planned[0].id).await.unwrap();
    let one = world.delivery(planned[0].id).await;
    assert_eq!((one.state.as_str(), one.last_error.as_deref()), ("failed", Some("notify_host_not_allowed")));
    assert!(world.receiver.got().is_empty());
    // Refused by the chat itself, its words are not repeated.
    let planned = world.announced(world.event("user.created")).await;
    world.receiver.will([status(400)]);
    let refused = ("failed", Some("refused"), Some("notify_status".to_owned()), Some(400), 1);
    assert_eq!(world.delivered(planned[0].id).await, refused);
}
both_engines!(a_host_that_is_allowed_no_more_is_not_asked, &[&MIGRATIONS]);
