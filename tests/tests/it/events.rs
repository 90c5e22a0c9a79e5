//! Events: what changes is told to the broker and to whoever asks, and to nobody whose it is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lapin::{
    Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};
use stylobate_tests::{Client, Engine, TestApp, eventually};

stylobate_tests::both_engines!(
    a_change_reaches_a_queue_of_the_broker,
    changes_go_on_while_the_broker_is_away,
    what_happened_is_listed_for_those_whose_it_is,
    what_was_given_up_is_seen_and_owed_again
);

const AMQP_URL: &str = "STYLOBATE_TEST_AMQP_URL";

fn broker() -> String {
    std::env::var(AMQP_URL)
        .unwrap_or_else(|_| panic!("{AMQP_URL} names no broker; `cargo xtask test` starts one"))
}

/// A queue of this test's own, bound to what it wants to hear.
struct Queue {
    channel: lapin::Channel,
    name: String,
    // The channel ends with it.
    _connection: Connection,
}

impl Queue {
    async fn bound(bindings: &[(&str, &str)]) -> Self {
        let connection =
            Connection::connect(&broker(), ConnectionProperties::default()).await.expect("a broker");
        let channel = connection.create_channel().await.unwrap();
        let own =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await.unwrap();
        let name = queue.name().to_string();
        for (exchange, key) in bindings {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let topic = lapin::ExchangeKind::Topic;
            channel
                .exchange_declare((*exchange).into(), topic, durable, FieldTable::default())
                .await
                .unwrap();
            let (queue, exchange, key) = (name.as_str().into(), (*exchange).into(), (*key).into());
            let bind =
                channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default());
            bind.await.unwrap();
        }
        Self { channel, name, _connection: connection }
    }

    /// Waits for the message that `wanted` picks. Others of this broker's users are passed over.
    async fn find(&self, wanted: impl Fn(&Value) -> bool) -> (lapin::message::BasicGetMessage, Value) {
        eventually("the message", async || {
            let got = self
                .channel
                .basic_get(self.name.as_str().into(), BasicGetOptions::default())
                .await
                .unwrap()?;
            got.ack(BasicAckOptions::default()).await.unwrap();
            let event: Value = serde_json::from_slice(&got.data).unwrap();
            wanted(&event).then_some((got, event))
        })
        .await
    }
}

async fn subscriber(admin: &Client, name: &str) -> Value {
    let listed = admin.get("/v1/events/subscribers").await.expect(200);
    let found = listed["items"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("no {name}: {listed}"))
}

async fn a_change_reaches_a_queue_of_the_broker(engine: Engine) {
    let queue = Queue::bound(&[("audit.events", "user.*"), ("security.events", "auth.login")]).await;
    let app = TestApp::builder(engine).env("AMQP_URL", &broker()).start().await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    let (message, event) = queue.find(|event| event["data"]["user_id"] == json!(ada.id)).await;
    assert_eq!((&event["type"], &event["version"]), (&json!("user.created"), &json!(1)), "{event}");
    assert_eq!(message.routing_key.as_str(), "user.created");
    let properties = &message.properties;
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), event["id"].as_str());
    assert_eq!(properties.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert_eq!(*properties.delivery_mode(), Some(2), "it survives a restart of the broker");
    let (_, login) = queue.find(|event| event["data"]["user_id"] == json!(ada.id)).await;
    assert_eq!((&login["type"], &login["actor"]["id"]), (&json!("auth.login"), &json!(ada.id)), "{login}");
    let text = format!("{event}{login}");
    for secret in ["password", "token", "hash"] {
        assert!(!text.contains(secret), "{text}");
    }
    eventually("nothing to be owed", async || {
        let rabbit = subscriber(&admin, "rabbitmq").await;
        // Roles and the like have no queue here, and are kept until there is one.
        (rabbit["is_served"] == true && rabbit["last_delivered_at"].is_string()).then_some(())
    })
    .await;
}

// A32
async fn changes_go_on_while_the_broker_is_away(engine: Engine) {
    // A port that nobody listens on.
    let app = TestApp::builder(engine).env("AMQP_URL", "amqp://guest:hush@127.0.0.1:9/").start().await;
    let admin = app.administrator().await;
    app.person(&admin, "ada").await;
    let owed = eventually("what is owed to the broker", async || {
        let rabbit = subscriber(&admin, "rabbitmq").await;
        (rabbit["owed"].as_u64() >= Some(2)).then_some(rabbit)
    })
    .await;
    assert_eq!((&owed["dead"], &owed["held"]), (&json!(0), &json!(0)), "an outage parks nothing: {owed}");
    let health = eventually("the health to tell", async || {
        let health = admin.get("/health").await;
        health.json().to_string().contains("rabbitmq").then_some(health)
    })
    .await;
    let text = health.json().to_string();
    assert!(!text.contains("hush"), "{text}");
    admin.get("/health/live").await.expect(200);
}

async fn what_happened_is_listed_for_those_whose_it_is(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    let ada = app.person(&admin, "ada").await;
    admin.patch(&format!("/people/{}", ada.id), json!({ "status": "inactive" })).await.expect(200);
    let of_ada = format!("/v1/events?subject={}", ada.id);
    let types = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let events = admin.all(&of_ada).await;
    assert_eq!(types(&events)[..2], ["user.deactivated", "user.updated"], "{events:?}");
    assert_eq!(events.last().unwrap()["type"], "user.created");
    let sequences: Vec<_> = events.iter().rev().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=u64::try_from(events.len()).unwrap()).collect::<Vec<_>>(), "{events:?}");
    let page = admin.get(&format!("{of_ada}&limit=1")).await.expect(200);
    assert!(page["next_cursor"].is_string() && page["items"].as_array().unwrap().len() == 1, "{page}");
    let created = admin.all("/v1/events?type=user.created").await;
    assert!(created.iter().all(|event| event["type"] == "user.created") && !created.is_empty());
    let until = created[0]["occurred_at"].as_str().unwrap();
    let earlier = admin.all(&format!("/v1/events?type=user.created&to={until}")).await;
    assert_eq!(earlier.len() + 1, created.len());
    admin.get("/v1/events?cursor=nonsense").await.problem_of(422, "validation", "cursor");
    admin.get("/v1/events?order_dir=asc").await.problem_of(422, "validation", "order_dir");
    admin.get("/v1/events?from=yesterday").await.problem_of(422, "validation", "from");
    admin.get("/v1/events/00000000-0000-0000-0000-000000000000").await.problem(404, "not_found");
    // Every type that happened is one that is documented.
    let known: BTreeSet<String> = admin.get("/v1/events/types").await.expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(known.contains("user.created") && known.contains("auth.login"), "{known:?}");
    assert!(types(&admin.all("/v1/events").await).iter().all(|kind| known.contains(kind)));
}

async fn what_was_given_up_is_seen_and_owed_again(engine: Engine) {
    let app = TestApp::start(engine).await;
    let admin = app.administrator().await;
    admin.post("/roles", json!({ "name": "clerk" })).await.expect(201);
    let event = admin.all("/v1/events?type=role.created").await.remove(0);
    eventually("it to be delivered", async || {
        (subscriber(&admin, "webhooks").await["owed"] == 0).then_some(())
    })
    .await;
    give_up(&app).await;
    let letters = admin.all("/v1/events/dead-letters").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["event"], &letter["attempts"]), (&event, &json!(12)), "{letter}");
    assert_eq!(admin.all("/v1/events/dead-letters?subscriber=rabbitmq").await, Vec::<Value>::new());
    let replay = |body: Value| admin.post("/v1/events/dead-letters/replay", body);
    replay(json!({ "subscriber": "webhooks", "event_id": uuid::Uuid::nil() }))
        .await
        .problem(404, "not_found");
    let replayed = replay(json!({ "subscriber": "webhooks", "event_id": event["id"] })).await.expect(200);
    assert_eq!(replayed, json!({ "replayed": 1 }));
    assert_eq!(admin.all("/v1/events/dead-letters").await, Vec::<Value>::new());
    assert_eq!(replay(json!({ "subscriber": "webhooks" })).await.expect(200), json!({ "replayed": 0 }));
    replay(json!({ "subscriber": "nobody" })).await.problem(404, "not_found");
    admin.delete("/v1/events/subscribers/webhooks").await.problem(409, "subscriber_served");
    assert!(admin.all("/audit-events?action=event.replay").await.len() == 1);
    admin.delete("/v1/events/subscribers/nobody").await.problem(404, "not_found");

    // Or for good.
    eventually("it to be delivered again", async || {
        (subscriber(&admin, "webhooks").await["owed"] == 0).then_some(())
    })
    .await;
    give_up(&app).await;
    let letter = |name: &str| format!("/v1/events/dead-letters/{name}/{}", event["id"].as_str().unwrap());
    admin.delete(&letter("rabbitmq")).await.problem(404, "not_found");
    admin.delete("/v1/events/dead-letters/webhooks/nothing").await.problem_of(422, "validation", "event_id");
    admin.delete(&letter("webhooks")).await.expect(204);
    assert_eq!(admin.all("/v1/events/dead-letters").await, Vec::<Value>::new());
    admin.delete(&letter("webhooks")).await.problem(404, "not_found");
    assert_eq!(subscriber(&admin, "webhooks").await["owed"], 0);
    let dropped = admin.all("/audit-events?action=event.drop").await;
    assert_eq!((dropped.len(), &dropped[0]["entity_id"]), (1, &event["id"]), "{dropped:?}");
}

/// As if the delivery of the role to webhooks had failed too often.
async fn give_up(app: &TestApp) {
    app.place
        .sql(
            "INSERT INTO event_dead_letters (subscriber, ordinal, tenant_id, id, attempts, error, parked_at)
             SELECT 'webhooks', ordinal, lane, id, 12, 'it panicked', written_at FROM events WHERE type = 'role.created'",
        )
        .await;
}

/// `docs/event-types.md` is the catalogue. `UPDATE_DOCS=1` writes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_event_types_is_the_catalogue() {
    let app = TestApp::start(Engine::Sqlite).await;
    let admin = app.administrator().await;
    let types = admin.get("/v1/events/types").await.expect(200);
    let mut page = "# Types of events\n\nMade from the catalogue by a test; `UPDATE_DOCS=1` writes it anew. What an event \
                    looks like around its payload, and how it is delivered, is in [events.md](events.md).\n"
        .to_owned();
    for one in types["items"].as_array().unwrap() {
        let exchange =
            one["exchange"].as_str().map_or("kept from the broker".to_owned(), |name| format!("`{name}`"));
        let schema = serde_json::to_string_pretty(&sorted(&one["schema"])).unwrap();
        page += &format!(
            "\n### `{}` version {}\n\n{} Exchange: {exchange}.\n\n```json\n{schema}\n```\n",
            one["name"].as_str().unwrap(),
            one["version"],
            one["description"].as_str().unwrap(),
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/event-types.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "docs/event-types.md is not the catalogue: UPDATE_DOCS=1 writes it anew");
}

/// The same JSON with the names of objects in order, whatever order the build keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ordered: std::collections::BTreeMap<_, _> = fields.iter().collect();
            Value::Object(ordered.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Every emitter names a type of the catalogue, and every type but those of webhooks themselves has an emitter.
#[test]
fn every_emitter_is_in_the_catalogue_and_every_type_has_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["crates", "examples/control-plane/src"];
    // Types that have a name, because more than one place speaks of them.
    let mut named = BTreeMap::new();
    for folder in folders {
        sources(&root.join(folder), &mut |_, text| {
            for constant in text.split("const ").skip(1) {
                let declared = constant.split_once(": &str = \"").zip(constant.split('"').nth(1));
                if let Some(((name, _), value)) = declared.filter(|(_, value)| is_type(value)) {
                    named.insert(name.to_owned(), value.to_owned());
                }
            }
        });
    }
    let mut emitted = BTreeSet::new();
    for folder in folders {
        sources(&root.join(folder), &mut |path, text| {
            if path.components().any(|part| part.as_os_str() == "tests") {
                return;
            }
            // Tests at the foot of a file emit what they like.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in [
                "DomainEvent::new(",
                "tell_session(",
                "tell_role(",
                "tell_assignment(",
                "tell_person(",
                "tell_key(",
                "tell_account(",
                "tell_org(",
                "tell_document(",
                "self.tell(",
            ] {
                for after in text.split(call).skip(1) {
                    let arguments = after.split(");").next().unwrap_or_default();
                    let literal = arguments.split('"').nth(1).filter(|text| is_type(text));
                    emitted.extend(literal.map(str::to_owned));
                    let mut words = arguments.split(|c: char| !c.is_ascii_uppercase() && c != '_');
                    emitted.extend(words.find_map(|word| named.get(word).cloned()));
                }
            }
        });
    }
    let page = std::fs::read_to_string(root.join("docs/event-types.md")).unwrap();
    let known: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.split('`').next().map(str::to_owned))
        .collect();
    let own = BTreeSet::from(["webhook.disabled".to_owned(), "webhook.test".to_owned()]);
    assert!(emitted.is_subset(&known), "not in the catalogue: {:?}", emitted.difference(&known));
    let silent: BTreeSet<_> = known.difference(&emitted).filter(|kind| !own.contains(*kind)).collect();
    assert!(silent.is_empty(), "nobody emits {silent:?}");
    assert!(emitted.len() >= 10, "{emitted:?}");
}

/// Helpers that emit are given the type by those who call them.
fn is_type(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_')
}

fn sources(folder: &Path, seen: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, seen);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            seen(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
