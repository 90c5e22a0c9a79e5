use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use serde_json::{Value, json};
use stylobate_core::{
    Actor, ActorKind, AuditEvent, BoxFuture, Clock as _, DomainEvent, EventId, PersonId, Principal,
    RequestContext, SealError, Sealer, SystemClock, TenantId, WebhookDeliveryId, WebhookEndpointId,
};
use stylobate_db::{Db, Error, Participant, Pending, Scope, Takes, Tx};
use stylobate_egress::{AddressPolicy, Client, Limits, Lookup};
use stylobate_events::{
    Catalogue, DeliveryQuery, DeliveryState, Envelope, EventType, NewEndpoint, Next, Subscriber as _,
    WebhookDelivery, WebhookEndpoint, WebhookSecret, Webhooks, WebhooksError,
};
use stylobate_testkit::{ManualClock, TestDb};

use super::receiver::{Got, Receiver};

/// Seals with a key of its own, and can be out of order.
pub(crate) struct KeySealer {
    key: LessSafeKey,
    pub(crate) is_away: std::sync::atomic::AtomicBool,
}

impl KeySealer {
    fn new() -> Self {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        Self { key, is_away: false.into() }
    }

    fn check(&self) -> Result<(), SealError> {
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(SealError::Unavailable("away".to_owned())),
            false => Ok(()),
        }
    }
}

impl Sealer for KeySealer {
    fn seal<'a>(&'a self, plain: &'a [u8], context: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        Box::pin(async move {
            self.check()?;
            let mut nonce = [0; 12];
            SystemRandom::new().fill(&mut nonce).unwrap();
            let mut sealed = plain.to_vec();
            let unique = Nonce::assume_unique_for_key(nonce);
            self.key.seal_in_place_append_tag(unique, Aad::from(context), &mut sealed).unwrap();
            Ok([&nonce[..], &sealed].concat())
        })
    }

    fn open<'a>(&'a self, sealed: &'a [u8], context: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        Box::pin(async move {
            self.check()?;
            let (nonce, sealed) = sealed.split_first_chunk().ok_or(SealError::Mismatch)?;
            let mut plain = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = self.key.open_in_place(nonce, Aad::from(context), &mut plain);
            Ok(opened.map_err(|_| SealError::Mismatch)?.to_vec())
        })
    }
}

/// Keeps what transactions told.
#[derive(Default)]
pub(crate) struct Told {
    audit: Mutex<Vec<AuditEvent>>,
    events: Mutex<Vec<DomainEvent>>,
}

impl Participant for Told {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: true }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn after_commit(&self, pending: &Pending) {
        self.audit.lock().unwrap().extend(pending.audit.iter().cloned());
        self.events.lock().unwrap().extend(pending.events.iter().cloned());
    }
}

/// Answers with the addresses that it was told, one answer after the other and the last for ever.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) answers: Vec<&'static str>,
    pub(crate) asked: AtomicUsize,
}

impl Lookup for Names {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(asked).or(self.answers.last()).map(|text| text.parse().unwrap());
        Box::pin(async move { Ok(answer.into_iter().collect()) })
    }
}

pub(crate) fn limits() -> Limits {
    Limits { total: Duration::from_secs(8), ..Limits::default() }
}

/// What may be asked in these tests: plain http on loopback.
pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy::public().allow(["127.0.0.0/8".parse().unwrap()]).insecure_allow_http()
}

pub(crate) fn catalogue() -> Catalogue {
    let kind = |name| EventType { name, version: 1, exchange: None, description: "", schema: json!({}) };
    let own = ["user.created", "user.updated", "role.created"].map(kind);
    Catalogue::new(own.into_iter().chain(Webhooks::event_types())).unwrap()
}

pub(crate) struct World {
    pub(crate) test_db: TestDb,
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sealer: Arc<KeySealer>,
    pub(crate) told: Arc<Told>,
    pub(crate) webhooks: Webhooks,
    pub(crate) receiver: Receiver,
    pub(crate) tenant: TenantId,
}

impl World {
    pub(crate) async fn new(db: TestDb) -> Self {
        let client = Client::builder(loopback()).limits(limits()).build().unwrap();
        Self::with(db, client).await
    }

    pub(crate) async fn with(test_db: TestDb, client: Client) -> Self {
        let told = Arc::new(Told::default());
        let db = test_db.open(&[Arc::clone(&told) as _]).await;
        let clock = Arc::new(ManualClock::new());
        let sealer = Arc::new(KeySealer::new());
        let (shared_clock, shared_sealer) = (Arc::clone(&clock), Arc::clone(&sealer));
        let webhooks = Webhooks::new(db.clone(), shared_clock, shared_sealer, client, catalogue());
        let tenant = TenantId::new(SystemClock.now());
        Self { test_db, db, clock, sealer, told, webhooks, receiver: Receiver::start().await, tenant }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.clock.advance(time);
    }

    pub(crate) fn context(&self) -> RequestContext {
        as_tenant(self.tenant)
    }

    /// An endpoint at the receiver that hears everything.
    pub(crate) async fn endpoint(&self) -> (WebhookEndpoint, WebhookSecret) {
        self.create(self.all()).await.unwrap()
    }

    pub(crate) fn all(&self) -> NewEndpoint {
        NewEndpoint { url: self.receiver.url(), types: vec!["*".to_owned()], ..NewEndpoint::default() }
    }

    pub(crate) async fn create(
        &self,
        new: NewEndpoint,
    ) -> Result<(WebhookEndpoint, WebhookSecret), WebhooksError> {
        self.webhooks.create(&self.context(), new).await
    }

    pub(crate) async fn get(&self, id: WebhookEndpointId) -> WebhookEndpoint {
        self.webhooks.get(&self.context(), id).await.unwrap()
    }

    pub(crate) fn event(&self, kind: &str) -> Envelope {
        Envelope {
            id: EventId::new(self.now()),
            kind: kind.to_owned(),
            version: 1,
            occurred_at: self.now(),
            tenant_id: Some(self.tenant),
            actor: Actor { kind: ActorKind::System, id: None },
            subject: "person:7".to_owned(),
            sequence: 3,
            trace: None,
            data: json!({ "name": "Ada \u{0}\u{1F389}" }),
        }
    }

    /// Hands an event over as the relay does: in a transaction with the scope of its tenant.
    pub(crate) async fn hand_over(&self, event: &Envelope) {
        hand_over(&self.db, &self.webhooks, event).await.unwrap();
    }

    /// Tells an event, and returns its delivery to the endpoint.
    pub(crate) async fn owe(&self, endpoint: WebhookEndpointId) -> WebhookDeliveryId {
        let event = self.event("user.created");
        self.hand_over(&event).await;
        let all = self.deliveries(endpoint).await;
        all.into_iter().find(|one| one.event_id == event.id).unwrap().id
    }

    pub(crate) async fn deliveries(&self, endpoint: WebhookEndpointId) -> Vec<WebhookDelivery> {
        self.webhooks.deliveries(&self.context(), &DeliveryQuery::of(endpoint)).await.unwrap().items
    }

    pub(crate) async fn delivery(&self, id: WebhookDeliveryId) -> WebhookDelivery {
        self.webhooks.delivery(&self.context(), id).await.unwrap()
    }

    pub(crate) async fn state(&self, id: WebhookDeliveryId) -> DeliveryState {
        self.delivery(id).await.state
    }

    pub(crate) async fn deliver(&self, id: WebhookDeliveryId) -> Next {
        self.webhooks.deliver(id).await.unwrap()
    }

    /// The last message of the receiver.
    pub(crate) fn last(&self) -> Got {
        self.receiver.got().pop().unwrap()
    }

    /// The actions on the audit trail, and forgets them.
    pub(crate) fn audited(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut *self.told.audit.lock().unwrap())
    }

    pub(crate) fn actions(&self) -> Vec<&'static str> {
        self.audited().into_iter().map(|event| event.action).collect()
    }

    /// The events that were told, and forgets them.
    pub(crate) fn emitted(&self) -> Vec<(&'static str, Option<TenantId>, Value)> {
        let events = std::mem::take(&mut *self.told.events.lock().unwrap());
        events.into_iter().map(|event| (event.kind, event.tenant, event.data)).collect()
    }
}

pub(crate) async fn hand_over(
    db: &Db,
    webhooks: &Webhooks,
    event: &Envelope,
) -> Result<(), stylobate_events::Refused> {
    let scope = event.tenant_id.map_or(Scope::Platform("tests"), Scope::Tenant);
    let (webhooks, event) = (webhooks.clone(), event.clone());
    db.transact(scope, async move |tx: &mut Tx| webhooks.handle(tx, &event).await).await
}

pub(crate) fn as_tenant(tenant: TenantId) -> RequestContext {
    RequestContext::new(Principal::person(PersonId::new(SystemClock.now())).in_tenant(tenant))
}

pub(crate) fn platform() -> RequestContext {
    RequestContext::system("tests")
}
