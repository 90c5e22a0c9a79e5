#[cfg(feature = "notify")]
use std::sync::OnceLock;
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use secrecy::{ExposeSecret as _, SecretString};
use stylobate_audit::AuditLog;
use stylobate_auth::{Auth, KeyEncryptionKey, LocalSealer};
#[cfg(feature = "notify")]
use stylobate_core::Sealer;
use stylobate_core::{AuditSink, Clock, RequestContext, SystemClock, TenantId};
use stylobate_db::{DatabaseHealth, Db, DbOptions, Engine, MigrationSet, Scope, migrate};
#[cfg(feature = "webhooks")]
use stylobate_events::Webhooks;
use stylobate_events::{EventType, Events, EventsHealth, Outbox, Subscriber};
use stylobate_jobs::{Jobs, QueueHealth, Registry, ScheduleHealth, Schedules};
#[cfg(feature = "notify")]
use stylobate_notify::Notifier;
#[cfg(feature = "metrics")]
use stylobate_observability::{Build, Metrics};
use stylobate_observability::{HealthRegistry, Shutdown};
use stylobate_rbac::{Catalogue, Rbac, default_catalogue};
use stylobate_tenancy::{DefaultOrg, Tenancy, TenancyConfig, TenancyMode};
#[cfg(feature = "notify")]
use stylobate_tower_middleware::LiveConnections;

#[cfg(feature = "notify")]
use crate::messaging::{Messages, MessagesDraft};
use crate::{
    Environment, Extensions, Handles, SettingProblem, Settings, SettingsInvalid, StartError,
    background::Kinds,
    extensions::ExtensionsDraft,
    hearing::{EventsDraft, Hearers},
    subjects::Subjects,
};

/// The tables that the platform's crates own, in the order they are made.
#[must_use]
pub fn migration_sets() -> Vec<&'static MigrationSet> {
    vec![
        &stylobate_db::MIGRATIONS,
        &stylobate_auth::MIGRATIONS,
        &stylobate_tenancy::MIGRATIONS,
        &stylobate_rbac::MIGRATIONS,
        &stylobate_audit::MIGRATIONS,
        &stylobate_jobs::MIGRATIONS,
        &stylobate_events::MIGRATIONS,
        #[cfg(feature = "notify")]
        &stylobate_notify::MIGRATIONS,
    ]
}

/// Everything a service stands on, as plain handles. Clone it freely.
#[derive(Clone)]
pub struct Platform {
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    settings: Settings,
    clock: Arc<dyn Clock>,
    db: Db,
    auth: Auth,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    default_org: TenantId,
    audit_log: AuditLog,
    audit_sink: Arc<dyn AuditSink>,
    jobs: Jobs,
    kinds: Registry,
    schedules: Schedules,
    pub(crate) sweeps_by_jobs: bool,
    pub(crate) keeps_up: AtomicBool,
    events: Events,
    pub(crate) hearers: Hearers,
    #[cfg(feature = "webhooks")]
    webhooks: Webhooks,
    pub(crate) keeps_up_events: AtomicBool,
    #[cfg(feature = "notify")]
    pub(crate) notifier: Notifier,
    #[cfg(feature = "notify")]
    pub(crate) live_connections: OnceLock<LiveConnections>,
    health: Arc<HealthRegistry>,
    #[cfg(feature = "metrics")]
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    extensions: Extensions,
}

impl Platform {
    /// A platform from the process environment.
    ///
    /// # Errors
    /// [`StartError`], whose message says what to change.
    pub async fn from_env() -> Result<Self, StartError> {
        Self::builder(Settings::from_env()?).start().await
    }

    /// A platform from the process environment, where every short name may have `prefix` in front.
    ///
    /// # Errors
    /// [`StartError`], whose message says what to change.
    pub async fn from_env_prefix(prefix: &str) -> Result<Self, StartError> {
        Self::builder(Settings::from_env_prefix(prefix)?).start().await
    }

    /// Begins to put a platform together.
    #[must_use]
    pub fn builder(settings: Settings) -> PlatformBuilder {
        PlatformBuilder {
            settings,
            clock: Arc::new(SystemClock),
            migrations: migration_sets(),
            catalogue: None,
            kinds: Kinds::default(),
            events: EventsDraft::default(),
            #[cfg(feature = "notify")]
            messages: MessagesDraft::default(),
            sweeps_by_jobs: false,
            extensions: ExtensionsDraft::default(),
            shutdown: Shutdown::default(),
        }
    }

    /// What the operator set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Where the present comes from.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// The database; its transactions write their audit events.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.parts.db
    }

    /// Sign-in, sessions and tokens.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.parts.auth
    }

    /// Roles and permissions.
    #[must_use]
    pub fn rbac(&self) -> &Rbac {
        &self.parts.rbac
    }

    /// Organisations and memberships.
    #[must_use]
    pub fn tenancy(&self) -> &Arc<Tenancy> {
        &self.parts.tenancy
    }

    /// Whether there is one organisation or any number (`TENANCY_MODE`).
    #[must_use]
    pub fn tenancy_mode(&self) -> TenancyMode {
        tenancy_mode(self.settings())
    }

    /// The organisation that every installation has.
    #[must_use]
    pub fn default_org(&self) -> TenantId {
        self.parts.default_org
    }

    /// The audit trail, to read.
    #[must_use]
    pub fn audit_log(&self) -> &AuditLog {
        &self.parts.audit_log
    }

    /// The audit trail, for facts without a change.
    #[must_use]
    pub fn audit_sink(&self) -> &Arc<dyn AuditSink> {
        &self.parts.audit_sink
    }

    /// The queue of background jobs.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.parts.jobs
    }

    /// The kinds of job that the service knows.
    #[must_use]
    pub fn kinds(&self) -> &Registry {
        &self.parts.kinds
    }

    /// The schedules of background jobs.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.parts.schedules
    }

    /// What happened, who is told of it, and what is owed to whom.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.parts.events
    }

    /// The webhook endpoints of organisations, and what was delivered to them.
    #[cfg(feature = "webhooks")]
    #[must_use]
    pub fn webhooks(&self) -> &Webhooks {
        &self.parts.webhooks
    }

    /// Whether the service can do its work.
    #[must_use]
    pub fn health(&self) -> &Arc<HealthRegistry> {
        &self.parts.health
    }

    /// What the service measures.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// When the service ends.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.parts.shutdown
    }

    /// The value of type `T` that the service added, if any.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.parts.extensions.get()
    }

    /// Serves `app` on the address of the settings until a signal or [`Shutdown::begin`], then lets running requests
    /// end for at most 30 s.
    ///
    /// # Errors
    /// [`StartError::Io`] when the address cannot be listened on.
    #[cfg(feature = "server")]
    pub async fn serve<S>(&self, app: S) -> Result<(), StartError>
    where
        S: tower::Service<
                axum::extract::Request,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
            > + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let address = self.settings().bind_address;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Io { what: format!("cannot listen on {address}"), source })?;
        self.shutdown().on_signals()?;
        crate::serve(listener, app, self.shutdown()).await;
        self.end().await;
        Ok(())
    }

    /// Waits for what still runs and closes the database.
    pub async fn end(&self) {
        self.shutdown().begin();
        let drained = self.shutdown().wait().await;
        tracing::info!(left = drained.left, "drained");
        self.db().close().await;
    }
}

/// Puts a [`Platform`] together.
pub struct PlatformBuilder {
    settings: Settings,
    clock: Arc<dyn Clock>,
    migrations: Vec<&'static MigrationSet>,
    catalogue: Option<Catalogue>,
    kinds: Kinds,
    events: EventsDraft,
    #[cfg(feature = "notify")]
    pub(crate) messages: MessagesDraft,
    sweeps_by_jobs: bool,
    extensions: ExtensionsDraft,
    shutdown: Shutdown,
}

impl PlatformBuilder {
    /// Takes the time from `clock` instead of the system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Also makes the tables of `set`.
    #[must_use]
    pub fn migrations(mut self, set: &'static MigrationSet) -> Self {
        self.migrations.push(set);
        self
    }

    /// Knows these permissions and roles instead of [`default_catalogue`].
    #[must_use]
    pub fn catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = Some(catalogue);
        self
    }

    /// Adds kinds of job to those that the service knows, each with what it works with. Whether this process works on jobs
    /// is decided by [`Platform::work`].
    #[must_use]
    pub fn jobs(mut self, fill: impl FnOnce(Registry, &Handles<'_>) -> Registry + Send + 'static) -> Self {
        self.kinds.add(fill);
        self
    }

    /// Knows these types of events beside [`default_event_types`](crate::default_event_types): no other can be emitted.
    #[must_use]
    pub fn event_types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.events.add_types(types);
        self
    }

    /// Adds somebody who hears events in the processes that call [`Platform::relay_events`]. What happens from the first start on
    /// is owed to it under its name, whether such a process runs or not.
    #[must_use]
    pub fn subscriber(
        mut self,
        make: impl FnOnce(&Handles<'_>) -> Arc<dyn Subscriber> + Send + 'static,
    ) -> Self {
        self.events.add_subscriber(make);
        self
    }

    /// Leaves it to the service's own jobs to call [`Auth::sweep`] and [`Jobs::prune`] now and then, instead of every process
    /// doing so every minute.
    #[must_use]
    pub fn sweeps_by_jobs(mut self) -> Self {
        self.sweeps_by_jobs = true;
        self
    }

    /// Carries `value`, to be had back by its type from [`Platform::extension`].
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Connects, migrates, opens the keys, makes the default organisation and the default roles, and starts what runs in
    /// the background.
    ///
    /// # Errors
    /// [`StartError`], whose message says what to change.
    pub async fn start(self) -> Result<Platform, StartError> {
        let Self {
            settings,
            clock,
            migrations,
            catalogue,
            kinds,
            events,
            #[cfg(feature = "notify")]
            messages,
            sweeps_by_jobs,
            extensions,
            shutdown,
        } = self;
        let (event_types, make_subscribers) = events.split()?;
        settings.make_data_dir()?;
        let options = DbOptions { connections_max: settings.database_connections, ..DbOptions::default() };
        migrate_as_owner(&settings, &options, &migrations).await?;
        let writer = Arc::new(stylobate_audit::Writer::new(Arc::clone(&clock)));
        let outbox = Arc::new(Outbox::new(event_types.clone(), Arc::clone(&clock)));
        let db = Db::builder(settings.database_url.expose_secret(), options)
            .participant(Arc::clone(&writer) as Arc<dyn stylobate_db::Participant>)
            .participant(Arc::clone(&outbox) as Arc<dyn stylobate_db::Participant>)
            .connect()
            .await?;
        refuse_superuser(&settings, &db).await?;
        let audit_sink: Arc<dyn AuditSink> = Arc::new(stylobate_audit::Sink::new(db.clone(), writer));
        let sealer = Arc::new(LocalSealer::new(&key_encryption_key(&settings)?));

        let auth = crate::auth_setup::auth(&settings, &db, &clock, Arc::clone(&sealer), &audit_sink).await?;
        let tenancy = Arc::new(Tenancy::new(Arc::clone(&clock)));
        let catalogue = match catalogue {
            Some(catalogue) => catalogue,
            None => default_catalogue(),
        };
        let engine =
            rbac_engine(&settings, stylobate_rbac::Engine::new(Arc::new(catalogue), Arc::clone(&clock)));
        let subjects = Subjects { auth: auth.clone(), tenancy: Arc::clone(&tenancy) };
        let rbac =
            Rbac::with_engine(db.clone(), Arc::clone(&clock), engine).with_directory(Arc::new(subjects));
        let jobs = Jobs::new(db.clone(), Arc::clone(&clock));
        let events = Events::new(db.clone(), outbox, Arc::clone(&clock));
        let handles = Handles {
            settings: &settings,
            clock: &clock,
            db: &db,
            auth: &auth,
            rbac: &rbac,
            tenancy: &tenancy,
            audit_sink: &audit_sink,
            jobs: &jobs,
            events: &events,
        };
        let kinds = kinds.fill(&handles);
        let subscribers: Vec<_> = make_subscribers.into_iter().map(|make| make(&handles)).collect();
        #[cfg(feature = "notify")]
        let Messages { notifier, watch } =
            crate::messaging::messages(messages, &handles, Arc::clone(&sealer) as Arc<dyn Sealer>)?;
        #[cfg(feature = "notify")]
        let (kinds, subscribers) = crate::messaging::deliver(kinds, subscribers, &notifier, &handles);
        #[cfg(feature = "webhooks")]
        let webhooks = crate::hearing::webhooks(&settings, &db, &clock, sealer, &event_types, &jobs)?;
        #[cfg(feature = "webhooks")]
        let (kinds, subscribers) = crate::hearing::deliver(kinds, subscribers, &webhooks, &jobs, &db);
        let hearers = Hearers {
            subscribers,
            #[cfg(feature = "rabbitmq")]
            publisher: crate::hearing::publisher(&settings, &event_types)?,
        };
        // First: what is made below is told as well.
        hearers.register(&events).await?;
        let default_org = make_defaults(&settings, &db, &tenancy, &rbac).await?;
        let schedules = Schedules::new(jobs.clone(), kinds.clone());
        let health = HealthRegistry::new()
            .with_shutdown(&shutdown)
            .register(Arc::new(DatabaseHealth::new(db.clone())))
            .register(Arc::new(QueueHealth::new(jobs.clone())))
            .register(Arc::new(ScheduleHealth::new(schedules.clone())))
            .register(Arc::new(EventsHealth::new(events.clone())));
        #[cfg(feature = "rabbitmq")]
        let health = match &hearers.publisher {
            Some(publisher) => health.register(Arc::new(publisher.clone())),
            None => health,
        };
        #[cfg(feature = "notify")]
        let health = crate::messaging::watch(health, watch, &shutdown);
        #[cfg(feature = "metrics")]
        let metrics = {
            let metrics =
                Metrics::new(Build { service: "stylobate", version: crate::VERSION }, clock.as_ref())?;
            auth.hasher().observe(&metrics.meter("stylobate-auth"));
            rbac.observe(&metrics.meter("stylobate-rbac"));
            jobs.observe(&metrics.meter("stylobate-jobs"));
            events.observe(&metrics.meter("stylobate-events"));
            #[cfg(feature = "notify")]
            notifier.observe(&metrics.meter("stylobate-notify"));
            Arc::new(metrics)
        };
        let parts = Parts {
            #[cfg(feature = "metrics")]
            metrics,
            audit_log: AuditLog::new(db.clone(), Arc::clone(&clock)),
            health: Arc::new(health),
            extensions: extensions.finish(),
            settings,
            clock,
            db,
            auth,
            rbac,
            tenancy,
            default_org,
            audit_sink,
            jobs,
            kinds,
            schedules,
            sweeps_by_jobs,
            keeps_up: AtomicBool::new(false),
            events,
            hearers,
            #[cfg(feature = "webhooks")]
            webhooks,
            keeps_up_events: AtomicBool::new(false),
            #[cfg(feature = "notify")]
            notifier,
            #[cfg(feature = "notify")]
            live_connections: OnceLock::new(),
            shutdown,
        };
        let platform = Platform { parts: Arc::new(parts) };
        platform.follow_others();
        Ok(platform)
    }
}

/// Migrates as the owner of the tables, and lets the server's own role work on them.
async fn migrate_as_owner(
    settings: &Settings,
    options: &DbOptions,
    sets: &[&'static MigrationSet],
) -> Result<(), StartError> {
    let url = settings.database_migration_url.as_ref().unwrap_or(&settings.database_url);
    let owner_options = DbOptions { connections_max: 2, ..options.clone() };
    let owner = Db::connect(url.expose_secret(), owner_options).await?;
    let done = async {
        migrate(&owner, sets).await?;
        if let Some(role) = other_role(settings) {
            owner.grant(sets, &role).await?;
        }
        Ok::<_, stylobate_db::Error>(())
    };
    let done = done.await;
    owner.close().await;
    Ok(done?)
}

/// The role that the server connects as, when it is not the owner.
fn other_role(settings: &Settings) -> Option<String> {
    let user = |url: &SecretString| {
        let url: url::Url = url.expose_secret().parse().ok()?;
        Some(url.username().to_owned()).filter(|user| !user.is_empty())
    };
    let owner = user(settings.database_migration_url.as_ref()?)?;
    user(&settings.database_url).filter(|role| *role != owner)
}

// A34
async fn refuse_superuser(settings: &Settings, db: &Db) -> Result<(), StartError> {
    if !settings.is_production() || db.engine() != Engine::Postgres {
        return Ok(());
    }
    let sql = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    if db.read().await?.q(sql).scalar::<bool>().await? {
        let problem = "the role is a superuser or bypasses row-level security".to_owned();
        return Err(weak("DATABASE_URL", problem));
    }
    Ok(())
}

pub(crate) fn weak(name: &str, problem: String) -> StartError {
    let problems = vec![SettingProblem { name: name.to_owned(), problem }];
    StartError::Settings(SettingsInvalid { problems })
}

fn key_encryption_key(settings: &Settings) -> Result<KeyEncryptionKey, StartError> {
    Ok(match &settings.key_encryption_key {
        Some(text) => KeyEncryptionKey::from_text(text.expose_secret())?,
        None => {
            debug_assert!(settings.environment != Environment::Production, "the settings refuse this");
            KeyEncryptionKey::from_file_or_generate(Path::new(&settings.data_dir).join("kek").as_path())?
        }
    })
}

/// The engine that the settings choose.
fn rbac_engine(settings: &Settings, native: stylobate_rbac::Engine) -> stylobate_rbac::Engine {
    match settings.rbac_engine {
        #[cfg(feature = "casbin")]
        crate::RbacEngine::Casbin => native.with_casbin(),
        // Without the feature, the settings have refused casbin.
        _ => native,
    }
}

async fn make_defaults(
    settings: &Settings,
    db: &Db,
    tenancy: &Tenancy,
    rbac: &Rbac,
) -> Result<TenantId, StartError> {
    let context = RequestContext::system("start");
    let wanted = default_org(settings)?;
    let org = db
        .transact(Scope::Platform("default organisation"), async |tx| {
            tenancy.ensure_default_org(tx, &context, &wanted).await
        })
        .await?;
    rbac.seed(&context, Some(org.id)).await?;
    Ok(org.id)
}

fn tenancy_mode(settings: &Settings) -> TenancyMode {
    if settings.multi_tenant { TenancyMode::Multi } else { TenancyMode::Single }
}

fn default_org(settings: &Settings) -> Result<DefaultOrg, StartError> {
    let code =
        settings.default_org_code.parse().map_err(|error| weak("DEFAULT_ORG_SLUG", format!("{error}")))?;
    let name =
        settings.default_org_name.parse().map_err(|error| weak("DEFAULT_ORG_NAME", format!("{error}")))?;
    let config = TenancyConfig {
        mode: tenancy_mode(settings),
        default_org: DefaultOrg { id: settings.default_org_id.map(TenantId::from_uuid), code, name },
    };
    config.validate().map_err(|problems| {
        let problems = problems.iter().map(|problem| SettingProblem {
            name: problem.field.to_owned(),
            problem: problem.problem.to_owned(),
        });
        StartError::Settings(SettingsInvalid { problems: problems.collect() })
    })?;
    Ok(config.default_org)
}
