//! How the platform tells people what concerns them: the notifier, its jobs, what it hears of events, and who it is for.

mod account_mail;
mod by_jobs;
mod contacts;
mod hearing;
mod kinds;
mod switched_off;
mod told;
mod upkeep;

use std::{path::PathBuf, sync::Arc};

use stylobate_core::{Clock, Sealer};
use stylobate_db::Db;
use stylobate_events::Subscriber;
use stylobate_jobs::{Jobs, Registry};
use stylobate_notify::{
    Composer, Directory, EmailAddress, FileTransport, MailTransport, MailWatch, Mailbox, MessageCatalogue,
    MessageKind, Notifier, NotifyError, Product, PublicUrl,
};
use stylobate_observability::{HealthRegistry, Shutdown};
use stylobate_tower_middleware::{LiveConnections, LiveLimits};

pub use by_jobs::MESSAGE_QUEUE;
pub use hearing::USER_DELETED;
pub use kinds::default_message_kinds;
pub(crate) use upkeep::keep_up;

use self::{
    account_mail::{TellOfAccount, Teller},
    by_jobs::{ByJobs, Deliver, Deliverer, ForgetPerson, PlanMessage},
    contacts::Contacts,
    hearing::Announcer,
    switched_off::{Caretakers, TellOfSwitchedOff},
};
use crate::{Handles, Platform, PlatformBuilder, Settings, StartError, platform::weak, settings::table};

type MakeDirectory = Box<dyn FnOnce(&Db) -> Arc<dyn Directory> + Send>;

/// What a service adds to messages while the platform is put together.
#[derive(Default)]
pub(crate) struct MessagesDraft {
    pub(crate) kinds: Vec<MessageKind>,
    pub(crate) directory: Option<MakeDirectory>,
}

/// The notifier, and what watches over its mail server.
pub(crate) struct Messages {
    pub(crate) notifier: Notifier,
    pub(crate) watch: Option<Arc<MailWatch>>,
}

impl Platform {
    /// Messages to people: what is to be said to whom, and what came of it.
    #[must_use]
    pub fn notifier(&self) -> &Notifier {
        &self.parts.notifier
    }

    /// The folder into which mails are written where none are sent: in the embedded form.
    #[must_use]
    pub fn outbox(&self) -> Option<PathBuf> {
        outbox(self.settings())
    }

    /// The connections of this process that stay open, for routes that tell what is new as it comes. However often it is asked:
    /// they are counted together, and the metric `live_connections` tells how many there are.
    #[must_use]
    pub fn live_connections(&self) -> LiveConnections {
        let make = || {
            let authenticator = Arc::new(self.auth().clone());
            let limits = LiveLimits::default();
            let connections =
                LiveConnections::new(authenticator, self.session_cookie(), self.shutdown().clone(), limits);
            #[cfg(feature = "metrics")]
            {
                let connections = connections.clone();
                self.metrics()
                    .meter("stylobate-live")
                    .u64_observable_gauge("live_connections")
                    .with_description("WebSockets and event streams that are open.")
                    .with_callback(move |gauge| gauge.observe(connections.count() as u64, &[]))
                    .build();
            }
            connections
        };
        self.parts.live_connections.get_or_init(make).clone()
    }
}

impl PlatformBuilder {
    /// Sends these kinds of messages beside [`default_message_kinds`](crate::default_message_kinds): no other can be sent.
    #[must_use]
    pub fn message_kinds(mut self, kinds: impl IntoIterator<Item = MessageKind>) -> Self {
        self.messages.kinds.extend(kinds);
        self
    }

    /// Asks what `make` makes how people are reached, instead of sign-in, which knows a name and an address.
    #[must_use]
    pub fn directory(mut self, make: impl FnOnce(&Db) -> Arc<dyn Directory> + Send + 'static) -> Self {
        self.messages.directory = Some(Box::new(make));
        self
    }
}

/// A notifier whose messages are planned and delivered by background jobs.
pub(crate) fn messages(
    draft: MessagesDraft,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    db: &Db,
    jobs: &Jobs,
    sealer: Arc<dyn Sealer>,
) -> Result<Messages, StartError> {
    let failed = |error: NotifyError| StartError::Messages(Box::new(error));
    let catalogue =
        MessageCatalogue::new(default_message_kinds().into_iter().chain(draft.kinds)).map_err(failed)?;
    let sends_sms = catalogue.iter().any(|kind| kind.media.sms);
    let product = Product { name: settings.service_name.clone(), url: public_url(settings)? };
    let directory = match draft.directory {
        Some(make) => make(db),
        None => Arc::new(Contacts::new(db.clone())),
    };
    let http = settings.events.client().map_err(|error| StartError::Messages(Box::new(error)))?;
    let mut builder = Notifier::builder(db.clone(), catalogue, product, sealer, directory)
        .clock(Arc::clone(clock))
        .http(http)
        .hosts(settings.messages.hosts.clone())
        .budgets(settings.messages.budgets)
        .dispatching(Arc::new(ByJobs(jobs.clone())));
    let watch = settings.messages.smtp.clone().map(|smtp| Arc::new(MailWatch::new(Arc::new(smtp))));
    let transport = match &watch {
        Some(watch) => Some(Arc::clone(watch) as Arc<dyn MailTransport>),
        None => without_server(settings),
    };
    if let Some(transport) = transport {
        builder = builder.mail(composer(settings).map_err(failed)?, transport);
    }
    if let Some(gateway) = &settings.messages.sms {
        if !sends_sms {
            let name = settings.name_of(table::SMS_URL);
            tracing::warn!("{name} has no effect: no kind of message of this service goes by SMS");
        }
        builder = builder.sms(gateway.clone());
    }
    Ok(Messages { notifier: builder.build().map_err(failed)?, watch })
}

/// Has `health` tell whether the mail server takes mails, until the service ends.
pub(crate) fn watch(
    health: HealthRegistry,
    watch: Option<Arc<MailWatch>>,
    shutdown: &Shutdown,
) -> HealthRegistry {
    let Some(watch) = watch else { return health };
    let (running, draining) = (Arc::clone(&watch), shutdown.token());
    shutdown.spawn(async move { running.run(draining.cancelled()).await });
    health.register(watch)
}

/// Has the messages of the notifier planned and delivered: their jobs are known, and it hears events.
pub(crate) fn deliver(
    kinds: Registry,
    mut subscribers: Vec<Arc<dyn Subscriber>>,
    handles: &Handles<'_>,
) -> (Registry, Vec<Arc<dyn Subscriber>>) {
    let (jobs, db, notifier) = (handles.jobs.clone(), handles.db.clone(), handles.notifier);
    subscribers.push(Arc::new(Announcer { notifier: notifier.clone(), jobs: jobs.clone() }));
    let caretakers = Caretakers {
        notifier: notifier.clone(),
        rbac: handles.rbac.clone(),
        tenancy: Arc::clone(handles.tenancy),
        db: db.clone(),
    };
    let deliverer = Deliverer { notifier: notifier.clone(), jobs, db };
    let kinds = kinds
        .with::<PlanMessage>(deliverer.clone())
        .with::<Deliver>(deliverer.clone())
        .with::<ForgetPerson>(deliverer)
        .with::<TellOfAccount>(Teller { notifier: notifier.clone(), events: handles.events.clone() })
        .with::<TellOfSwitchedOff>(caretakers);
    (kinds, subscribers)
}

/// Where the outbox of the embedded form lies; `None` where mails are sent, or not even written down.
fn outbox(settings: &Settings) -> Option<PathBuf> {
    // Codes and links of people lying about in a folder are for development.
    let is_embedded = settings.messages.smtp.is_none() && !settings.is_production();
    is_embedded.then(|| settings.data_dir.join("outbox"))
}

fn public_url(settings: &Settings) -> Result<PublicUrl, StartError> {
    let url = match &settings.public_url {
        Some(url) => url.as_str().to_owned(),
        None => format!("http://{}", settings.bind_address),
    };
    PublicUrl::parse(&url).map_err(|error| weak(settings.name_of(table::PUBLIC_URL), error.to_string()))
}

/// What takes mails where there is no mail server.
fn without_server(settings: &Settings) -> Option<Arc<dyn MailTransport>> {
    let Some(folder) = outbox(settings) else {
        tracing::warn!("SMTP_URL is not set: no mail is sent");
        return None;
    };
    tracing::info!(folder = %folder.display(), "SMTP_URL is not set: mails are written into the outbox, and not sent");
    Some(Arc::new(FileTransport::new(folder)))
}

fn composer(settings: &Settings) -> Result<Composer, NotifyError> {
    let messages = &settings.messages;
    let from = match &messages.mail_from {
        Some(from) => from.clone(),
        // Nobody is at a domain that RFC 2606 keeps free.
        None => Mailbox::new(&settings.service_name, EmailAddress::parse("no-reply@stylobate.invalid")?),
    };
    let composer = Composer::new(from);
    Ok(match &messages.dkim {
        Some(key) => composer.signed_by(key.clone()),
        None => composer,
    })
}
