use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use stylobate_core::{
    BoxFuture, Clock, Message, MessageError, MessageSender, MessageTo, PersonId, SystemClock,
};
use tokio::sync::OnceCell;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    Composer, Directory, DkimKey, Draft, EmailAddress, MailTransport, Mailbox, MessageCatalogue, NotifyError,
    Product, Renderer,
};

/// Sends messages by mail, at once and once: without a database, and so without retries, budgets, channels and a list of what was
/// sent. For programs that send a mail now and then; the caller waits for the server.
///
/// Messages with an idempotency key are sent once for as long as the process lives and 10,000 further keys have not come by. A second
/// one that comes while the first is under way waits for what comes of that.
#[derive(Clone)]
pub struct Direct {
    inner: Arc<Inner>,
}

struct Inner {
    renderer: Renderer,
    composer: Composer,
    transport: Arc<dyn MailTransport>,
    directory: Option<Arc<dyn Directory>>,
    clock: Arc<dyn Clock>,
    sent: Mutex<Sent>,
}

/// A [`Direct`] that is being put together.
pub struct DirectBuilder {
    renderer: Renderer,
    composer: Composer,
    transport: Arc<dyn MailTransport>,
    directory: Option<Arc<dyn Directory>>,
    clock: Arc<dyn Clock>,
}

impl DirectBuilder {
    /// Who knows the addresses of people. Unset, messages go to addresses only.
    #[must_use]
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Where the present comes from. The system's clock unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Signs each mail (DKIM).
    #[must_use]
    pub fn signed_by(mut self, key: DkimKey) -> Self {
        self.composer = self.composer.signed_by(key);
        self
    }

    /// Puts it together.
    #[must_use]
    pub fn build(self) -> Direct {
        let Self { renderer, composer, transport, directory, clock } = self;
        let inner = Inner { renderer, composer, transport, directory, clock, sent: Mutex::default() };
        Direct { inner: Arc::new(inner) }
    }
}

impl Direct {
    /// Sends the kinds of `catalogue`, from `from`, through `transport`.
    #[must_use]
    pub fn builder(
        catalogue: MessageCatalogue,
        product: Product,
        from: Mailbox,
        transport: Arc<dyn MailTransport>,
    ) -> DirectBuilder {
        DirectBuilder {
            renderer: Renderer::new(catalogue, product),
            composer: Composer::new(from),
            transport,
            directory: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Sends `message`; the server has taken it when this returns.
    ///
    /// # Errors
    /// [`NotifyError`]: [`Unreachable`](NotifyError::Unreachable) when the person has no address, [`Send`](NotifyError::Send) when
    /// the mail was not taken.
    pub async fn deliver(&self, message: &Message) -> Result<(), NotifyError> {
        let Some(key) = &message.idempotency_key else { return self.deliver_once(message).await };
        let key = (message.tenant.map(|tenant| tenant.as_uuid()), message.kind, key.clone());
        let sent = self.inner.sent.lock().unwrap_or_else(PoisonError::into_inner).of(key);
        // Whoever comes while it is under way waits for what comes of it, and tries in turn if that was nothing.
        sent.get_or_try_init(|| self.deliver_once(message)).await.copied()
    }

    async fn deliver_once(&self, message: &Message) -> Result<(), NotifyError> {
        let Inner { renderer, composer, transport, clock, .. } = &*self.inner;
        let (to, locale) = self.recipient(&message.to).await?;
        let draft = Draft {
            kind: message.kind,
            locale: locale.as_deref(),
            recipient_name: to.name().unwrap_or_default(),
            values: &message.values,
        };
        let rendered = renderer.render(&draft)?;
        let now = clock.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()));
        let mail = composer.compose(id, &to, &rendered, now)?;
        transport.send(&mail).await?;
        Ok(())
    }

    async fn recipient(&self, to: &MessageTo) -> Result<(Mailbox, Option<String>), NotifyError> {
        match to {
            MessageTo::Email(address) => Ok((EmailAddress::parse(address)?.into(), None)),
            MessageTo::Person(person) => self.contact(*person).await,
            _ => Err(NotifyError::Unreachable),
        }
    }

    async fn contact(&self, person: PersonId) -> Result<(Mailbox, Option<String>), NotifyError> {
        let directory = self.inner.directory.as_ref().ok_or(NotifyError::Unreachable)?;
        let contact = directory.contact(person).await?.ok_or(NotifyError::Unreachable)?;
        let address = EmailAddress::parse(&contact.email.ok_or(NotifyError::Unreachable)?)?;
        Ok((Mailbox::new(&contact.name, address), contact.locale))
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").field("renderer", &self.inner.renderer).finish_non_exhaustive()
    }
}

impl MessageSender for Direct {
    fn send(&self, message: Message) -> BoxFuture<'_, Result<(), MessageError>> {
        Box::pin(async move { self.deliver(&message).await.map_err(|error| MessageError(Box::new(error))) })
    }
}

/// How many keys are remembered.
const KEYS_MAX: usize = 10_000;

type Key = (Option<Uuid>, &'static str, String);

/// What was sent last, or is being sent.
#[derive(Default)]
struct Sent {
    /// Set when it was sent.
    keys: HashMap<Key, Arc<OnceCell<()>>>,
    /// Oldest first.
    order: VecDeque<Key>,
}

impl Sent {
    fn of(&mut self, key: Key) -> Arc<OnceCell<()>> {
        if let Some(known) = self.keys.get(&key) {
            return Arc::clone(known);
        }
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key.clone());
        Arc::clone(self.keys.entry(key).or_default())
    }
}
