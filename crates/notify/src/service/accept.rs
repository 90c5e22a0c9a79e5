use chrono::TimeDelta;
use serde_json::Value;
use stylobate_core::{BoxFuture, Message, MessageError, MessageId, MessageSender, MessageTo, TenantId};
use stylobate_db::{MessageOutbox, Scope, Tx};

use super::{
    Notifier,
    error::checked_line,
    sealed::{self, Place},
};
use crate::{
    Accepted, Announcement, EmailAddress, MessageKind, MessageRef, NotifierError, NotifyError,
    policy::dedup,
    store::{
        lane,
        messages::{self, NewMessage},
        tenant_of,
    },
};

/// How long the values of a message may be, as JSON: more than any mail that somebody reads says.
pub const VALUES_BYTES_MAX: usize = 64 << 10;

/// How long a key may be.
const KEY_CHARS_MAX: usize = 200;
/// How long a topic may be: as long as names of types of events.
const TOPIC_CHARS_MAX: usize = 128;

/// To whom a message goes.
enum To<'a> {
    Person(stylobate_core::PersonId),
    /// What may be no address: then nothing is sent.
    Email(String),
    Channels {
        topic: Option<&'a str>,
    },
}

/// What is accepted, whoever it is for.
struct Asked<'a> {
    kind: &'static str,
    to: To<'a>,
    tenant: Option<TenantId>,
    values: &'a Value,
    key: Option<&'a str>,
}

/// What a message asks for, to an address as `address` reads it.
fn asked(
    message: &Message,
    address: impl Fn(&str) -> Result<String, NotifierError>,
) -> Result<Asked<'_>, NotifierError> {
    let to = match &message.to {
        MessageTo::Person(person) => To::Person(*person),
        MessageTo::Email(text) => To::Email(address(text)?),
        _ => return Err(NotifyError::Unreachable.into()),
    };
    let (kind, tenant, values) = (message.kind, message.tenant, &message.values);
    Ok(Asked { kind, to, tenant, values, key: message.idempotency_key.as_deref() })
}

fn checked_address(text: &str) -> Result<String, NotifierError> {
    let address = EmailAddress::parse(text).map_err(NotifyError::Address)?;
    Ok(address.as_str().to_owned())
}

impl Notifier {
    /// Takes a message with the change that it is about: it goes out if that commits, and only then. Without a tenant it is of the
    /// transaction's.
    ///
    /// # Errors
    /// [`NotifierError::Notify`] for a kind that is unknown, values that are not the kind's, and an address that is none;
    /// [`NotifierError::TooLarge`] above [`VALUES_BYTES_MAX`]; [`NotifierError::Invalid`] for a key that is none;
    /// [`NotifierError::ForeignTenant`]; [`NotifierError::Seal`]; the database's own. None is about whether it will arrive.
    pub async fn notify_in(&self, tx: &mut Tx, message: &Message) -> Result<Accepted, NotifierError> {
        let asked = asked(message, checked_address)?;
        let new = self.new_message(asked, tx.scope().tenant()).await?;
        self.accept_one(tx, new).await
    }

    /// Takes something for the channels of a tenant with the change that it is about.
    ///
    /// # Errors
    /// As of [`notify_in`](Self::notify_in).
    pub async fn announce_in(
        &self,
        tx: &mut Tx,
        announcement: &Announcement,
    ) -> Result<Accepted, NotifierError> {
        let (kind, tenant, values) = (announcement.kind, Some(announcement.tenant), &announcement.values);
        let to = To::Channels { topic: announcement.topic.as_deref() };
        let key = announcement.idempotency_key.as_deref();
        let new = self.new_message(Asked { kind, to, tenant, values, key }, tx.scope().tenant()).await?;
        self.accept_one(tx, new).await
    }

    /// Takes a message in a transaction of its own.
    ///
    /// # Errors
    /// As of [`notify_in`](Self::notify_in).
    pub async fn notify(&self, message: Message) -> Result<Accepted, NotifierError> {
        let new = self.new_message(asked(&message, checked_address)?, None).await?;
        let this = self.clone();
        let accept = move |all| this.clone().accept_all(all);
        self.inner.batches.accepted.ask(new, accept).await
    }

    /// Takes an announcement in a transaction of its own.
    ///
    /// # Errors
    /// As of [`notify_in`](Self::notify_in).
    pub async fn announce(&self, announcement: Announcement) -> Result<Accepted, NotifierError> {
        let scope = Scope::Tenant(announcement.tenant);
        let this = self.clone();
        let accept = async move |tx: &mut Tx| this.announce_in(tx, &announcement).await;
        self.inner.db.transact(scope, accept).await
    }

    /// What is kept of a message that is accepted for `own`, or for the tenant that it names.
    async fn new_message(
        &self,
        asked: Asked<'_>,
        own: Option<TenantId>,
    ) -> Result<NewMessage, NotifierError> {
        let tenant = match (own, asked.tenant) {
            (Some(own), Some(named)) if own != named => return Err(NotifierError::ForeignTenant),
            (own, named) => named.or(own),
        };
        let kind = *self.catalogue().kind(asked.kind)?;
        let tenant = tenant.filter(|_| !kind.is_platform_wide);
        let json = self.checked_values(&kind, asked.values)?;
        if let Some(key) = asked.key {
            checked_line("idempotency_key", key, KEY_CHARS_MAX)?;
        }
        let now = self.now();
        let id = MessageId::new(now);
        let sealer = &*self.inner.sealer;
        let values_sealed = sealed::seal(sealer, Place::Values, id.as_uuid(), &json).await?;
        let (person, email_sealed, recipient, topic) = match &asked.to {
            To::Person(person) => {
                (Some(person.as_uuid()), None, person.as_uuid().as_bytes().to_vec(), kind.name)
            }
            To::Email(address) => {
                let text = address.as_bytes();
                let sealed = sealed::seal(sealer, Place::Recipient, id.as_uuid(), text).await?;
                (None, Some(sealed), address.to_lowercase().into_bytes(), kind.name)
            }
            To::Channels { topic } => {
                let topic = topic.unwrap_or(kind.name);
                checked_line("topic", topic, TOPIC_CHARS_MAX)?;
                (None, None, topic.as_bytes().to_vec(), topic)
            }
        };
        let said = Some(asked.values).filter(|_| !kind.is_confidential);
        Ok(NewMessage {
            id,
            lane: lane(tenant),
            kind: kind.name.to_owned(),
            topic: topic.to_owned(),
            person,
            email_sealed,
            digest: kind.one_within.map(|_| dedup::digest(kind.name, &recipient, said)),
            values_sealed,
            idempotency_key: asked.key.map(str::to_owned),
            is_planned: false,
            now,
            expires_at: kind
                .expires_after
                .and_then(|after| now.checked_add_signed(TimeDelta::from_std(after).ok()?)),
        })
    }

    async fn accept_one(&self, tx: &mut Tx, new: NewMessage) -> Result<Accepted, NotifierError> {
        let accepted = self.accept_in(tx, vec![new]).await?.pop();
        Ok(accepted.unwrap_or(Accepted::Already))
    }

    async fn accept_all(self, all: Vec<NewMessage>) -> Result<Vec<Accepted>, NotifierError> {
        // They may be of several tenants, and each says of which.
        const SCOPE: Scope = Scope::Platform("accept messages");
        let db = self.inner.db.clone();
        let accept = async move |tx: &mut Tx| self.accept_in(tx, all.clone()).await;
        db.transact(SCOPE, accept).await
    }

    // Boxed, so that the compiler sees that it can go from thread to thread without knowing for which lifetimes it is asked.
    fn accept_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        all: Vec<NewMessage>,
    ) -> BoxFuture<'a, Result<Vec<Accepted>, NotifierError>> {
        Box::pin(async move {
            let messages: Vec<_> =
                all.iter().map(|one| MessageRef { id: one.id, tenant: tenant_of(one.lane) }).collect();
            let inserted = messages::insert(tx, all).await?;
            let is_new = |one: &MessageRef| inserted.contains(&one.id.as_uuid());
            let new: Vec<_> = messages.iter().filter(|one| is_new(one)).copied().collect();
            if let Some(dispatch) = &self.inner.dispatch
                && !new.is_empty()
            {
                dispatch.plan(tx, new).await?;
            }
            let accepted = |one: MessageRef| match is_new(&one) {
                true => Accepted::New(one.id),
                false => Accepted::Already,
            };
            Ok(messages.iter().copied().map(accepted).collect())
        })
    }

    /// The values as JSON, if they are those of the kind.
    pub(super) fn checked_values(
        &self,
        kind: &MessageKind,
        values: &Value,
    ) -> Result<Vec<u8>, NotifierError> {
        let invalid = |problem| NotifyError::ValuesInvalid { kind: kind.name.to_owned(), problem };
        let given = values.as_object().ok_or_else(|| invalid("are no object"))?;
        // Writing JSON into memory cannot fail.
        let json = serde_json::to_vec(values).unwrap_or_default();
        if json.len() > VALUES_BYTES_MAX {
            return Err(NotifierError::TooLarge { bytes: json.len(), max: VALUES_BYTES_MAX });
        }
        let sample = self.catalogue().sample(kind.name)?.as_object();
        match sample.into_iter().flat_map(|sample| sample.keys()).find(|name| !given.contains_key(*name)) {
            Some(missing) => {
                Err(NotifyError::ValueMissing { kind: kind.name.to_owned(), variable: missing.clone() }
                    .into())
            }
            None => Ok(json),
        }
    }
}

impl MessageSender for Notifier {
    fn send(&self, message: Message) -> BoxFuture<'_, Result<(), MessageError>> {
        Box::pin(async move {
            let sent = self.notify(message).await;
            sent.map(drop).map_err(|error| MessageError(Box::new(error)))
        })
    }
}

impl MessageOutbox for Notifier {
    fn hand_over<'a>(
        &'a self,
        tx: &'a mut Tx,
        message: Message,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>> {
        Box::pin(async move {
            // Whose address is no address that mail can be written to must not show in the answer: planning drops it.
            let as_it_is = |text: &str| {
                Ok(EmailAddress::parse(text)
                    .map_or_else(|_| text.to_owned(), |read| read.as_str().to_owned()))
            };
            let accept = async {
                let new = self.new_message(asked(&message, as_it_is)?, tx.scope().tenant()).await?;
                self.accept_one(tx, new).await.map(drop)
            };
            accept.await.map_err(|error| match error {
                NotifierError::Db(error) => error,
                NotifierError::Seal(error) => stylobate_db::Error::Unavailable(Box::new(error)),
                refused => stylobate_db::Error::Participant(Box::new(refused)),
            })
        })
    }
}
