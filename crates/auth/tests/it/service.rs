//! The service on both engines.

mod authenticate;
mod background;
mod bootstrap;
mod chooser;
mod cookies;
mod credentials;
mod email;
mod guessing;
mod hashes;
mod login;
mod passwords;
mod people;
mod recovery;
mod refresh;
mod session_admin;
mod sessions;
mod setup;
mod switch;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_auth::{
    Auth, AuthBuilder, AuthConfig, AuthError, AuthenticateError, CounterStore, Email, KeyEncryptionKey,
    LocalSealer, NewPerson, Password, PasswordHash, Person, TokenPair, Username, VerifiedToken,
};
use stylobate_core::{
    AuditError, AuditEvent, AuditSink, BoxFuture, Clock as _, DomainEvent, Message, MessageError,
    MessageSender, Principal, RequestContext, Sealer, SessionId,
};
use stylobate_db::{Db, Error, Participant, Pending, Scope, Takes, Tx};
use stylobate_testkit::{ManualClock, TestDb};

pub(crate) const SCOPE: Scope = Scope::Platform("test");
pub(crate) const PASSWORD: &str = "quarry moss lantern seven";
pub(crate) const WRONG: &str = "another thing entirely";

/// Records audit events, those of changes and those without; domain events; and what people are told.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<AuditEvent>>, Mutex<Vec<DomainEvent>>, Mutex<Vec<Message>>);

impl Recorder {
    pub(crate) fn count(&self, action: &str) -> usize {
        self.0.lock().iter().filter(|event| event.action == action).count()
    }

    pub(crate) fn last(&self, action: &str) -> AuditEvent {
        self.0.lock().iter().rfind(|event| event.action == action).expect(action).clone()
    }

    /// All of `action`, the oldest first.
    pub(crate) fn all(&self, action: &str) -> Vec<AuditEvent> {
        self.0.lock().iter().filter(|event| event.action == action).cloned().collect()
    }

    pub(crate) fn events(&self, kind: &str) -> Vec<DomainEvent> {
        self.1.lock().iter().filter(|event| event.kind == kind).cloned().collect()
    }

    pub(crate) fn keep(&self, message: Message) {
        self.2.lock().push(message);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.2.lock().clone()
    }
}

impl MessageSender for Recorder {
    fn send(&self, message: Message) -> BoxFuture<'_, Result<(), MessageError>> {
        self.keep(message);
        Box::pin(async { Ok(()) })
    }
}

impl Participant for Recorder {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: true }
    }

    fn before_commit<'a>(&'a self, _: &'a mut Tx, _: &'a Pending) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn after_commit(&self, pending: &Pending) {
        self.0.lock().extend(pending.audit.iter().cloned());
        self.1.lock().extend(pending.events.iter().cloned());
    }
}

impl AuditSink for Recorder {
    fn record(&self, event: AuditEvent) -> BoxFuture<'_, Result<(), AuditError>> {
        self.0.lock().push(event);
        Box::pin(async { Ok(()) })
    }
}

/// An installation with one process; [`House::another_process`] makes further ones.
pub(crate) struct House {
    pub(crate) test_db: TestDb,
    pub(crate) db: Db,
    pub(crate) auth: Auth,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) audit: Arc<Recorder>,
    sealer: Arc<dyn Sealer>,
    config: AuthConfig,
}

impl House {
    pub(crate) async fn new(test_db: TestDb) -> Self {
        Self::with(test_db, AuthConfig::default()).await
    }

    pub(crate) async fn with(test_db: TestDb, config: AuthConfig) -> Self {
        let audit = Arc::new(Recorder::default());
        let db = test_db.open(&[Arc::clone(&audit) as Arc<dyn Participant>]).await;
        let clock = Arc::new(ManualClock::new());
        let sealer: Arc<dyn Sealer> = Arc::new(LocalSealer::new(&KeyEncryptionKey::generate().unwrap()));
        let auth = build(&db, &config, &sealer, &audit, &clock).await;
        Self { test_db, db, auth, clock, audit, sealer, config }
    }

    pub(crate) async fn another_process(&self) -> Auth {
        let db = self.test_db.open(&[Arc::clone(&self.audit) as Arc<dyn Participant>]).await;
        build(&db, &self.config, &self.sealer, &self.audit, &self.clock).await
    }

    /// What another process is made with, that is configured in another way.
    pub(crate) fn configured(&self, config: AuthConfig) -> AuthBuilder {
        let audit = Arc::clone(&self.audit) as Arc<dyn AuditSink>;
        Auth::builder(&self.db, config, Arc::clone(&self.sealer), audit).clock(Arc::clone(&self.clock) as _)
    }

    /// Another process, whose counters are elsewhere.
    pub(crate) async fn counting_in(&self, store: Arc<dyn CounterStore>) -> Auth {
        let (config, sealer) = (self.config.clone(), Arc::clone(&self.sealer));
        Auth::builder(&self.db, config, sealer, Arc::clone(&self.audit) as Arc<dyn AuditSink>)
            .clock(Arc::clone(&self.clock) as _)
            .counters(store)
            .build()
            .await
            .unwrap()
    }

    pub(crate) fn clock_now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Adds `name` with address `name@example.org` and [`PASSWORD`].
    pub(crate) async fn person(&self, name: &'static str) -> Person {
        self.person_who(name, false).await
    }

    pub(crate) async fn person_who(&self, name: &'static str, must_change: bool) -> Person {
        let (auth, hash) = (self.auth.clone(), password_hash(&self.auth).await);
        let add = async move |tx: &mut Tx| {
            let person = auth.people().insert(tx, &system(), new_person(name)).await?;
            auth.set_password(tx, &system(), person.id, &hash, must_change).await?;
            Ok::<_, AuthError>(person)
        };
        self.db.transact(SCOPE, add).await.unwrap()
    }

    pub(crate) async fn login(&self, identifier: &str, password: &str) -> Result<TokenPair, AuthError> {
        let verified = self.auth.verify_login(&nobody(), identifier, typed(password)).await?;
        self.auth.start_session(&nobody(), &verified, None).await
    }

    pub(crate) async fn try_login(&self, identifier: &str, password: &str) -> &'static str {
        code(self.login(identifier, password).await)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<TokenPair, AuthError> {
        self.auth.refresh(&nobody(), token, None).await
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// The context of a request with this access token.
    pub(crate) async fn as_holder(&self, pair: &TokenPair) -> RequestContext {
        let token = check(&self.auth, &pair.access_token).await.unwrap();
        RequestContext::new(token.principal.clone())
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.db.read().await.unwrap().q(sql).scalar().await.unwrap()
    }
}

async fn build(
    db: &Db,
    config: &AuthConfig,
    sealer: &Arc<dyn Sealer>,
    audit: &Arc<Recorder>,
    clock: &Arc<ManualClock>,
) -> Auth {
    Auth::builder(db, config.clone(), Arc::clone(sealer), Arc::clone(audit) as Arc<dyn AuditSink>)
        .clock(Arc::clone(clock) as _)
        .messages(Arc::clone(audit) as Arc<dyn MessageSender>)
        .build()
        .await
        .unwrap()
}

/// The hash of [`PASSWORD`], computed once.
async fn password_hash(auth: &Auth) -> PasswordHash {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return hash.clone();
    }
    let hash = auth.hash_new_password(&stylobate_auth::ContextWords::new(), typed(PASSWORD)).await.unwrap();
    HASH.get_or_init(|| hash).clone()
}

/// What the middleware does with a token.
pub(crate) async fn check(auth: &Auth, token: &str) -> Result<Arc<VerifiedToken>, AuthenticateError> {
    match auth.authenticate(token) {
        Err(AuthenticateError::Stale) => auth.authenticate_slow(token).await,
        decided => decided,
    }
}

pub(crate) async fn is_revoked(auth: &Auth, pair: &TokenPair) -> bool {
    match check(auth, &pair.access_token).await {
        Ok(_) => false,
        Err(AuthenticateError::Revoked) => true,
        Err(other) => panic!("{other:?}"),
    }
}

pub(crate) fn new_person(name: &str) -> NewPerson {
    NewPerson {
        username: Some(Username::parse(name).unwrap()),
        email: Email::parse(&format!("{name}@example.org")).unwrap(),
        email_verified: false,
        must_change_password: false,
    }
}

pub(crate) fn typed(text: &str) -> Password {
    Password::new(text).unwrap()
}

pub(crate) fn nobody() -> RequestContext {
    RequestContext::new(Principal::anonymous())
}

pub(crate) fn system() -> RequestContext {
    RequestContext::system("test")
}

pub(crate) fn code<T>(result: Result<T, AuthError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

/// Waits until `done`, for ten times what is promised.
pub(crate) async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn ids(sessions: &[stylobate_auth::Session]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}
