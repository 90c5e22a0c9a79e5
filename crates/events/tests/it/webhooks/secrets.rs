//! Signatures and the secrets behind them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use ring::digest::{SHA256, digest};
use stylobate_core::{Sealer as _, WebhookEndpointId};
use stylobate_db::Tx;
use stylobate_events::{
    DeliveryState, ENVELOPE_MAX, Envelope, MIGRATIONS, NewEndpoint, Next, Rejected, SignatureStyle,
    WebhookSecret,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, platform};

/// HMAC-SHA256 as RFC 2104 §2 writes it, beside the library's own.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 { digest(&SHA256, key).as_ref().to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let padded = |pad: u8, rest: &[u8]| {
        let inner: Vec<u8> = block.iter().map(|byte| byte ^ pad).chain(rest.iter().copied()).collect();
        digest(&SHA256, &inner).as_ref().to_vec()
    };
    padded(0x5c, &padded(0x36, message))
}

async fn a_message_is_signed_as_receivers_compute_it(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, secret) = world.endpoint().await;
    let event = world.event("user.created");
    world.hand_over(&event).await;
    let delivery = world.deliveries(endpoint.id).await.remove(0);
    assert_eq!(world.deliver(delivery.id).await, Next::Done);
    let got = world.last();
    assert_eq!(got.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(Envelope::from_json(&got.body).unwrap(), event);
    assert_eq!(got.body, event.to_json());
    // Ours, and one that knows nothing of ours.
    assert_eq!(got.verify(std::slice::from_ref(&secret)).unwrap().as_str(), event.id.to_string());
    let timestamp = got.header("webhook-timestamp").unwrap();
    assert_eq!(timestamp, world.now().timestamp().to_string());
    let key = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap()).unwrap();
    let message = [format!("{}.{timestamp}.", event.id).as_bytes(), &got.body].concat();
    let expected = format!("v1,{}", STANDARD.encode(hmac(&key, &message)));
    assert_eq!(got.header("webhook-signature"), Some(expected.as_str()));
    for absent in ["x-webhook-event", "x-webhook-signature", "idempotency-key"] {
        assert_eq!(got.header(absent), None);
    }
    // Not with another secret, and not with another body.
    assert_eq!(got.verify(&[WebhookSecret::generate().unwrap()]).unwrap_err(), Rejected::Unsigned);
    let mut changed = got.clone();
    changed.body.push(b' ');
    assert_eq!(changed.verify(&[secret]).unwrap_err(), Rejected::Unsigned);
}
both_engines!(a_message_is_signed_as_receivers_compute_it, &[&MIGRATIONS]);

async fn the_longest_event_arrives(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, secret) = world.endpoint().await;
    let data = serde_json::json!({ "text": "ä".repeat(ENVELOPE_MAX / 2 - 500) });
    let event = Envelope { data, ..world.event("user.created") };
    assert!(event.to_json().len() > ENVELOPE_MAX - 1_000);
    world.hand_over(&event).await;
    let id = world.deliveries(endpoint.id).await[0].id;
    assert_eq!(world.deliver(id).await, Next::Done);
    assert_eq!(world.last().body, event.to_json());
    assert!(world.last().verify(&[secret]).is_ok());
}
both_engines!(the_longest_event_arrives, &[&MIGRATIONS]);

async fn receivers_of_older_systems_get_the_headers_they_know(db: TestDb) {
    let world = World::new(db).await;
    for signature in [SignatureStyle::Classic, SignatureStyle::Both] {
        let (endpoint, secret) = world.create(NewEndpoint { signature, ..world.all() }).await.unwrap();
        let id = world.owe(endpoint.id).await;
        world.deliver(id).await;
        let got = world.last();
        let event = Envelope::from_json(&got.body).unwrap();
        assert_eq!(got.header("x-webhook-event"), Some("user.created"));
        assert_eq!(got.header("idempotency-key"), Some(event.id.to_string().as_str()));
        let expected = format!("sha256={}", hex::encode(hmac(secret.expose().as_bytes(), &got.body)));
        assert_eq!(got.header("x-webhook-signature"), Some(expected.as_str()));
        assert_eq!(got.header("webhook-signature").is_some(), signature == SignatureStyle::Both);
        world.webhooks.delete(&world.context(), endpoint.id).await.unwrap();
    }
}
both_engines!(receivers_of_older_systems_get_the_headers_they_know, &[&MIGRATIONS]);

async fn both_secrets_sign_until_the_overlap_is_over(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, first) = world.endpoint().await;
    world.audited();
    let (rotated, second) = world.webhooks.rotate_secret(&world.context(), endpoint.id, None).await.unwrap();
    assert_eq!(rotated.previous_secret_until, Some(world.now() + TimeDelta::hours(24)));
    assert_eq!(world.get(endpoint.id).await, rotated);
    let verifies = async |secret: &WebhookSecret| {
        let id = world.owe(endpoint.id).await;
        assert_eq!(world.deliver(id).await, Next::Done);
        world.last().verify(std::slice::from_ref(secret)).is_ok()
    };
    assert!(verifies(&first).await && verifies(&second).await);
    world.pass(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert!(verifies(&first).await && verifies(&second).await);
    world.pass(TimeDelta::seconds(1));
    assert!(!verifies(&first).await && verifies(&second).await);

    // Two are live at most, and with no overlap one.
    let rotate = async |overlap| {
        world.webhooks.rotate_secret(&world.context(), endpoint.id, Some(overlap)).await.unwrap().1
    };
    let third = rotate(Duration::from_secs(60)).await;
    // Whoever asks twice takes nothing from the receiver.
    let minute = Some(Duration::from_secs(60));
    let twice = world.webhooks.rotate_secret(&world.context(), endpoint.id, minute).await.unwrap_err();
    assert_eq!(twice.code(), "webhook_secret_rotating");
    assert!(verifies(&second).await && verifies(&third).await);
    world.pass(TimeDelta::seconds(60));
    let fourth = rotate(Duration::from_secs(60)).await;
    assert!(!verifies(&second).await && verifies(&third).await && verifies(&fourth).await);
    let fifth = rotate(Duration::ZERO).await;
    assert!(!verifies(&fourth).await && verifies(&fifth).await);
    assert_eq!(world.get(endpoint.id).await.previous_secret_until, None);
    let too_long = Some(Duration::from_secs(8 * 86_400));
    let refused = world.webhooks.rotate_secret(&world.context(), endpoint.id, too_long).await.unwrap_err();
    assert_eq!(refused.code(), "validation");
    assert_eq!(world.actions(), ["webhook.rotate_secret"; 4]);
}
both_engines!(both_secrets_sign_until_the_overlap_is_over, &[&MIGRATIONS]);

async fn stored(world: &World, id: WebhookEndpointId) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut tx = world.db.begin_read(stylobate_db::Scope::Platform("tests")).await.unwrap();
    let sql = "SELECT secret_sealed, previous_secret_sealed FROM webhook_endpoints WHERE id = $1";
    let row = tx.q(sql).bind(id.as_uuid()).one().await.unwrap();
    tx.rollback().await.unwrap();
    row
}

async fn secrets_are_stored_sealed_for_their_endpoint(db: TestDb) {
    let world = World::new(db).await;
    let ((one, secret), (other, _)) = (world.endpoint().await, world.endpoint().await);
    let (sealed, _) = stored(&world, one.id).await;
    let bytes = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap()).unwrap();
    assert!(!sealed.windows(bytes.len()).any(|part| part == bytes));
    assert!(!String::from_utf8_lossy(&sealed).contains(secret.expose()));
    // Put into the row of another, it opens nothing.
    let id = world.owe(other.id).await;
    let swap = async move |tx: &mut Tx| {
        tx.q("UPDATE webhook_endpoints SET secret_sealed = $1 WHERE id = $2")
            .bind(sealed.clone())
            .bind(other.id.as_uuid())
            .run()
            .await
    };
    world.db.transact(stylobate_db::Scope::Platform("tests"), swap).await.unwrap();
    let before = world.receiver.connections();
    assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(60)));
    let delivery = world.delivery(id).await;
    assert_eq!((delivery.attempts, delivery.error.as_deref()), (0, Some("webhook_secret_unusable")));
    assert_eq!(world.receiver.connections(), before);
    // Rotation drops what is signed with no more, when it is cleared up.
    world.webhooks.rotate_secret(&platform(), one.id, Some(Duration::from_secs(60))).await.unwrap();
    assert!(stored(&world, one.id).await.1.is_some());
    world.pass(TimeDelta::seconds(60));
    world.webhooks.prune(stylobate_events::Webhooks::KEPT).await.unwrap();
    assert!(stored(&world, one.id).await.1.is_none());
    assert_eq!(world.get(one.id).await.previous_secret_until, None);
}
both_engines!(secrets_are_stored_sealed_for_their_endpoint, &[&MIGRATIONS]);

async fn a_sealer_that_is_away_is_not_the_receivers_fault(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, secret) = world.endpoint().await;
    let id = world.owe(endpoint.id).await;
    world.sealer.is_away.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(world.sealer.seal(b"", b"").await.is_err());
    assert_eq!(world.create(world.all()).await.unwrap_err().code(), "webhook_secret_unusable");
    for minutes in [1, 1, 2, 4, 8, 16] {
        assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(60 * minutes)));
        world.pass(TimeDelta::seconds(60) * i32::try_from(minutes).unwrap());
    }
    assert_eq!(
        (world.state(id).await, world.get(endpoint.id).await.failing_since),
        (DeliveryState::Pending, None)
    );
    world.sealer.is_away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.deliver(id).await, Next::Done);
    assert!(world.last().verify(&[secret]).is_ok());
    assert_eq!(world.delivery(id).await.attempts, 1);
}
both_engines!(a_sealer_that_is_away_is_not_the_receivers_fault, &[&MIGRATIONS]);

async fn secrets_that_nobody_opens_for_a_day_are_the_end(db: TestDb) {
    let world = World::new(db).await;
    let (endpoint, _) = world.endpoint().await;
    let (id, begun) = (world.owe(endpoint.id).await, world.now());
    world.sealer.is_away.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut tries = 0;
    while let Next::After(wait) = world.deliver(id).await {
        world.pass(TimeDelta::from_std(wait).unwrap());
        tries += 1;
    }
    let span = world.now() - begun;
    assert!(tries < 20 && span > TimeDelta::days(1) && span < TimeDelta::hours(29), "{tries} in {span}");
    let delivery = world.delivery(id).await;
    assert_eq!(
        (delivery.state, delivery.attempts, delivery.error.as_deref()),
        (DeliveryState::Failed, 0, Some("webhook_secret_unusable"))
    );
    let endpoint = world.get(endpoint.id).await;
    assert_eq!((endpoint.is_enabled, endpoint.failing_since), (true, None));
    // Asked for again, it has another day.
    world.webhooks.redeliver(&world.context(), id).await.unwrap();
    assert_eq!(world.deliver(id).await, Next::After(Duration::from_secs(60)));
}
both_engines!(secrets_that_nobody_opens_for_a_day_are_the_end, &[&MIGRATIONS]);
