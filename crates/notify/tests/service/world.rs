use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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
    AuditEvent, BoxFuture, Clock as _, DomainEvent, Message, PersonId, Principal, RequestContext, SealError,
    Sealer, SystemClock, TenantId,
};
use stylobate_db::{Db, Error, Participant, Pending, Scope, Takes, Tx};
use stylobate_egress::{AddressPolicy, Client, Limits};
use stylobate_notify::{
    Accepted, Announcement, Budget, Budgets, CHANNEL_TEST, Category, ChannelOwner, ChatHosts, Composer,
    Contact, Directory, DirectoryError, FailureClass, Mail, MailTransport, Mailbox, Media, Medium,
    MessageCatalogue, MessageDelivery, MessageDeliveryId, MessageDeliveryQuery, MessageId, MessageKind,
    NewChannel, Next, NotificationChannel, Notifier, NotifierBuilder, Product, PublicUrl, Receipt, SendError,
    Severity, TemplateText,
};
use stylobate_testkit::{ManualClock, TestDb};

use super::receiver::Receiver;

pub(crate) const PLATFORM: Scope = Scope::Platform("tests");

const EN: TemplateText = TemplateText { locale: "en", subject: "s", text: "t", html: None };

/// By mail and in the product.
pub(crate) const WELCOME: MessageKind = MessageKind {
    templates: &[
        TemplateText {
            subject: "Welcome to {{ product.name }}",
            text: "Hello {{ recipient.name }}, you have {{ plan }}.\n",
            html: Some("<p>Hello {{ recipient.name }}, you have {{ plan }}.</p>"),
            ..EN
        },
        TemplateText {
            locale: "de",
            subject: "Willkommen bei {{ product.name }}",
            text: "Hallo {{ recipient.name }}, du hast {{ plan }}.\n",
            html: None,
        },
    ],
    sample: r#"{ "plan": "free" }"#,
    ..MessageKind::new("welcome", Category::Account, Severity::Info)
};

/// A secret, twice an hour at most, for ten minutes.
pub(crate) const RESET: MessageKind = MessageKind {
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 2, within: Duration::from_secs(3_600) }),
    expires_after: Some(Duration::from_secs(600)),
    templates: &[TemplateText { subject: "Reset", text: "{{ link('/reset', token=token) }}\n", ..EN }],
    sample: r#"{ "token": "x" }"#,
    ..MessageKind::new("reset", Category::Security, Severity::Info)
};

/// About an account, which is of no tenant.
pub(crate) const CLOSED: MessageKind = MessageKind {
    is_platform_wide: true,
    templates: &[TemplateText { subject: "Closed", text: "Your account is closed.\n", ..EN }],
    ..MessageKind::new("closed", Category::Security, Severity::Info)
};

/// A secret that is not about security.
pub(crate) const CONFIRM: MessageKind = MessageKind { category: Category::Account, name: "confirm", ..RESET };

/// A code for the phone.
pub(crate) const CODE: MessageKind = MessageKind {
    is_confidential: true,
    media: Media { email: false, sms: true, in_app: false },
    templates: &[TemplateText { subject: "Code", text: "Your code is {{ code }}.\n", ..EN }],
    sample: r#"{ "code": "123" }"#,
    ..MessageKind::new("code", Category::Security, Severity::Info)
};

/// Said once a minute.
pub(crate) const ALERT: MessageKind = MessageKind {
    one_within: Some(Duration::from_secs(60)),
    templates: &[TemplateText { subject: "Alert: {{ rule }}", text: "{{ rule }} is too high.\n", ..EN }],
    sample: r#"{ "rule": "cpu", "path": "/alerts/1" }"#,
    ..MessageKind::new("alert.triggered", Category::Alert, Severity::Warning)
};

/// Somebody must look.
pub(crate) const CRITICAL: MessageKind =
    MessageKind { severity: Severity::Critical, name: "alert.critical", one_within: None, ..ALERT };

/// For channels only.
pub(crate) const EVENT: MessageKind = MessageKind {
    media: Media { email: false, sms: false, in_app: false },
    templates: &[TemplateText { subject: "{{ type }}", text: "{{ words }}\n", ..EN }],
    sample: r#"{ "type": "user.created", "words": "Ada came" }"#,
    ..MessageKind::new("event", Category::System, Severity::Info)
};

pub(crate) fn catalogue() -> MessageCatalogue {
    MessageCatalogue::new([WELCOME, RESET, CLOSED, CONFIRM, CODE, ALERT, CRITICAL, EVENT, CHANNEL_TEST])
        .unwrap()
}

/// Seals with a key of its own, and can be out of order.
pub(crate) struct KeySealer {
    key: LessSafeKey,
    pub(crate) is_away: AtomicBool,
    on_open: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl KeySealer {
    fn new() -> Self {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).unwrap();
        Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap()),
            is_away: false.into(),
            on_open: Mutex::default(),
        }
    }

    /// What happens whenever something is opened, from now on.
    pub(crate) fn on_open(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.on_open.lock().unwrap() = Some(Arc::new(hook));
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
            let hook = self.on_open.lock().unwrap().clone();
            if let Some(hook) = hook {
                hook();
            }
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
pub(crate) struct Told(Mutex<Vec<AuditEvent>>, Mutex<Vec<DomainEvent>>);

impl Participant for Told {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: true }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn after_commit(&self, pending: &Pending) {
        self.0.lock().unwrap().extend(pending.audit.iter().cloned());
        self.1.lock().unwrap().extend(pending.events.iter().cloned());
    }
}

/// Knows people, and can be away.
#[derive(Default)]
pub(crate) struct People {
    known: Mutex<HashMap<PersonId, Contact>>,
    pub(crate) is_away: AtomicBool,
}

impl Directory for People {
    fn contact(&self, person: PersonId) -> BoxFuture<'_, Result<Option<Contact>, DirectoryError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                return Err(DirectoryError("away".into()));
            }
            Ok(self.known.lock().unwrap().get(&person).cloned())
        })
    }
}

/// Keeps mails, and refuses as it was told.
#[derive(Default)]
pub(crate) struct Postbox {
    mails: Mutex<Vec<Mail>>,
    refusals: Mutex<VecDeque<SendError>>,
    /// While set, mails get stuck until somebody wakes them.
    pub(crate) is_stuck: AtomicBool,
    stuck: AtomicUsize,
    woken: tokio::sync::Notify,
}

impl Postbox {
    pub(crate) fn refuse(&self, class: FailureClass, code: &'static str, status: u16) {
        let refusal = SendError { class, code, status: Some(status), words: "refused" };
        self.refusals.lock().unwrap().push_back(refusal);
    }

    /// Waits until a mail got stuck.
    pub(crate) async fn until_stuck(&self) {
        until(async || self.stuck.load(Ordering::SeqCst) > 0).await;
    }

    /// Lets go of one mail that is stuck.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// The last mail as text.
    pub(crate) fn last(&self) -> String {
        String::from_utf8(self.mails().pop().unwrap().as_bytes().to_vec()).unwrap()
    }
}

impl MailTransport for Postbox {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async move {
            if self.is_stuck.load(Ordering::SeqCst) {
                self.stuck.fetch_add(1, Ordering::SeqCst);
                self.woken.notified().await;
                self.stuck.fetch_sub(1, Ordering::SeqCst);
            }
            if let Some(refusal) = self.refusals.lock().unwrap().pop_front() {
                return Err(refusal);
            }
            self.mails.lock().unwrap().push(mail.clone());
            Ok(Receipt { status: Some(250) })
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct World {
    pub(crate) test_db: TestDb,
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sealer: Arc<KeySealer>,
    pub(crate) told: Arc<Told>,
    pub(crate) people: Arc<People>,
    pub(crate) post: Arc<Postbox>,
    pub(crate) receiver: Receiver,
    pub(crate) notifier: Notifier,
    pub(crate) tenant: TenantId,
    pub(crate) ada: PersonId,
}

/// Longer than anything takes that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Looks until it is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it did not happen");
}

/// What may be asked in these tests: plain http on loopback, and not for long.
pub(crate) fn client() -> Client {
    let policy = AddressPolicy::public().allow(["127.0.0.0/8".parse().unwrap()]).insecure_allow_http();
    let limits = Limits { total: Duration::from_secs(2), ..Limits::default() };
    Client::builder(policy).limits(limits).build().unwrap()
}

impl World {
    pub(crate) async fn new(db: TestDb) -> Self {
        Self::with(db, |builder| builder).await
    }

    pub(crate) async fn with(test_db: TestDb, set: impl FnOnce(NotifierBuilder) -> NotifierBuilder) -> Self {
        let told = Arc::new(Told::default());
        let db = test_db.open(&[Arc::clone(&told) as _]).await;
        let (clock, sealer) = (Arc::new(ManualClock::new()), Arc::new(KeySealer::new()));
        let (people, post) = (Arc::new(People::default()), Arc::new(Postbox::default()));
        let receiver = Receiver::start().await;
        let product =
            Product { name: "Acme".to_owned(), url: PublicUrl::parse("https://acme.test").unwrap() };
        let from = Composer::new(Mailbox::parse("Acme <no-reply@acme.test>").unwrap());
        let hosts = ChatHosts::default()
            .allow(["127.0.0.1"])
            .unwrap()
            .telegram_at(format!("http://{}", receiver.address));
        let builder = Notifier::builder(
            db.clone(),
            catalogue(),
            product,
            Arc::clone(&sealer) as _,
            Arc::clone(&people) as _,
        )
        .clock(Arc::clone(&clock) as _)
        .mail(from, Arc::clone(&post) as _)
        .http(client())
        .hosts(hosts)
        .budgets(Budgets { email: Budget::daily(5), ..Budgets::default() });
        let notifier = set(builder).build().unwrap();
        let (tenant, ada) = (TenantId::new(SystemClock.now()), PersonId::new(SystemClock.now()));
        let world = Self { test_db, db, clock, sealer, told, people, post, receiver, notifier, tenant, ada };
        world.know(ada, Self::contact("Ada", "ada@example.org"));
        world
    }

    /// Somebody who has proven what is said about them.
    pub(crate) fn contact(name: &str, email: &str) -> Contact {
        Contact {
            name: name.to_owned(),
            email: Some(email.to_owned()),
            is_email_verified: true,
            phone: Some("+436601234567".to_owned()),
            is_phone_verified: true,
            locale: Some("en".to_owned()),
            time_zone: Some("UTC".to_owned()),
        }
    }

    pub(crate) fn know(&self, person: PersonId, contact: Contact) {
        self.people.known.lock().unwrap().insert(person, contact);
    }

    /// Another person.
    pub(crate) fn person(&self, contact: Contact) -> PersonId {
        let person = PersonId::new(SystemClock.now());
        self.know(person, contact);
        person
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.clock.advance(time);
    }

    pub(crate) fn context(&self) -> RequestContext {
        as_person(self.ada, self.tenant)
    }

    pub(crate) fn tenants(&self) -> ChannelOwner {
        ChannelOwner::Tenant(self.tenant)
    }

    pub(crate) fn adas(&self) -> ChannelOwner {
        ChannelOwner::Person(self.ada)
    }

    pub(crate) fn welcome(&self) -> Message {
        Message::to_person("welcome", self.ada).in_tenant(self.tenant).with(json!({ "plan": "gold" }))
    }

    pub(crate) fn alert(&self, rule: &str) -> Message {
        let values = json!({ "rule": rule, "path": "/alerts/7" });
        Message::to_person("alert.triggered", self.ada).in_tenant(self.tenant).with(values)
    }

    pub(crate) fn reset(&self) -> Message {
        Message::to_person("reset", self.ada).in_tenant(self.tenant).with(json!({ "token": "canary" }))
    }

    pub(crate) fn event(&self, topic: &str) -> Announcement {
        Announcement {
            kind: "event",
            tenant: self.tenant,
            topic: Some(topic.to_owned()),
            values: json!({ "type": topic, "words": "Ada came" }),
            idempotency_key: None,
        }
    }

    pub(crate) async fn accept(&self, message: Message) -> MessageId {
        new_id(self.notifier.notify(message).await.unwrap())
    }

    /// Accepts and plans, and returns its deliveries, the mail first.
    pub(crate) async fn planned(&self, message: Message) -> Vec<MessageDelivery> {
        let id = self.accept(message).await;
        assert_eq!(self.notifier.plan(id).await.unwrap(), Next::Done);
        self.of(id).await
    }

    pub(crate) async fn announced(&self, announcement: Announcement) -> Vec<MessageDelivery> {
        let id = new_id(self.notifier.announce(announcement).await.unwrap());
        assert_eq!(self.notifier.plan(id).await.unwrap(), Next::Done);
        self.of(id).await
    }

    pub(crate) async fn of(&self, id: MessageId) -> Vec<MessageDelivery> {
        let all =
            self.notifier.deliveries(&platform(), &MessageDeliveryQuery::default()).await.unwrap().items;
        let mut own: Vec<_> = all.into_iter().filter(|one| one.message_id == id).collect();
        own.sort_by_key(|one| (one.medium.as_str() != "email", one.medium.as_str(), one.id));
        own
    }

    pub(crate) async fn delivery(&self, id: MessageDeliveryId) -> MessageDelivery {
        self.notifier.delivery(&platform(), id).await.unwrap()
    }

    pub(crate) async fn deliver(&self, id: MessageDeliveryId) -> Next {
        self.notifier.deliver(id).await.unwrap()
    }

    /// Delivers once, and tells how the delivery is then: state, reason, error, status, attempts.
    pub(crate) async fn delivered(&self, id: MessageDeliveryId) -> Outcome {
        self.deliver(id).await;
        let one = self.delivery(id).await;
        let reason = one.reason.map(|reason| reason.as_str());
        (one.state.as_str(), reason, one.last_error, one.last_status, one.attempts)
    }

    pub(crate) async fn channel(
        &self,
        owner: ChannelOwner,
        medium: Medium,
        config: Value,
    ) -> NotificationChannel {
        let new = NewChannel {
            channel_type: medium,
            label: "mine".to_owned(),
            config,
            events: vec!["*".to_owned()],
            severity_min: Severity::Info,
        };
        self.notifier.create_channel(&self.context(), owner, new).await.unwrap().0
    }

    /// A webhook of the tenant at the receiver.
    pub(crate) async fn hook(&self) -> NotificationChannel {
        self.channel(self.tenants(), Medium::Webhook, json!({ "url": self.receiver.url() })).await
    }

    /// The actions on the audit trail, and forgets them.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.told.0.lock().unwrap()).into_iter().map(|event| event.action).collect()
    }

    /// What happened, and forgets it.
    pub(crate) fn events(&self) -> Vec<DomainEvent> {
        std::mem::take(&mut *self.told.1.lock().unwrap())
    }

    /// All there is on the audit trail, as text.
    pub(crate) fn trail(&self) -> String {
        format!("{:?}", self.told.0.lock().unwrap())
    }

    /// Changes rows behind the notifier's back.
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        self.db.transact(PLATFORM, async move |tx: &mut Tx| tx.q(sql).run().await).await.unwrap()
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut tx = self.db.begin_read(PLATFORM).await.unwrap();
        let number = tx.q(sql).scalar().await.unwrap();
        tx.rollback().await.unwrap();
        number
    }
}

pub(crate) type Outcome = (&'static str, Option<&'static str>, Option<String>, Option<u16>, u32);

pub(crate) fn new_id(accepted: Accepted) -> MessageId {
    match accepted {
        Accepted::New(id) => id,
        Accepted::Already => panic!("it was there already"),
    }
}

/// Medium, state and reason of deliveries.
pub(crate) fn states(
    deliveries: &[MessageDelivery],
) -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let state = |one: &MessageDelivery| {
        (one.medium.as_str(), one.state.as_str(), one.reason.map(|reason| reason.as_str()))
    };
    deliveries.iter().map(state).collect()
}

pub(crate) fn as_person(person: PersonId, tenant: TenantId) -> RequestContext {
    RequestContext::new(Principal::person(person).in_tenant(tenant))
}

pub(crate) fn platform() -> RequestContext {
    RequestContext::system("tests")
}

pub(crate) const SENT: (&str, Option<&str>, Option<String>, Option<u16>, u32) =
    ("sent", None, None, Some(250), 1);

/// Another notifier on the same database, as another process has one.
pub(crate) async fn sibling(world: &World, set: impl FnOnce(NotifierBuilder) -> NotifierBuilder) -> Notifier {
    let db = world.test_db.open(&[Arc::clone(&world.told) as _]).await;
    let product = Product { name: "Acme".to_owned(), url: PublicUrl::parse("https://acme.test").unwrap() };
    let from = Composer::new(Mailbox::parse("Acme <no-reply@acme.test>").unwrap());
    let (sealer, people) = (Arc::clone(&world.sealer) as _, Arc::clone(&world.people) as _);
    let builder = Notifier::builder(db, catalogue(), product, sealer, people)
        .clock(Arc::clone(&world.clock) as _)
        .mail(from, Arc::clone(&world.post) as _)
        .http(client());
    set(builder).build().unwrap()
}
