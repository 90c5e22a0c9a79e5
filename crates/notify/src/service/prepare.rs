//! What is known of a message before it is planned: read, opened and rendered without holding a transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use stylobate_core::{MessageDeliveryId, MessageId, NotificationId, PersonId, SealError};
use uuid::Uuid;

use super::{
    Notifier,
    plan::SCOPE,
    sealed::{self, Destination, Place},
};
use crate::{
    ChannelOwner, Contact, DeliveryState, EmailAddress, Medium, MessageKind, Notification,
    NotificationChannel, NotifierError, PhoneNumber, Preferences, Reason, TemplateVersion, mask,
    policy::{
        dedup::address_key,
        retry,
        route::{self, Concern, Listening, Reach, Route},
    },
    store::{
        channels::{self, Stored},
        messages::{self, Waiting},
        preferences, templates, tenant_of,
    },
};

/// A way that a message takes, with all that is needed to write it down.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: MessageDeliveryId,
    pub(super) medium: Medium,
    pub(super) channel: Option<Uuid>,
    pub(super) address_key: Vec<u8>,
    pub(super) destination: String,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) dropped: Option<(DeliveryState, Reason)>,
}

impl Entry {
    /// Whether nothing speaks against it yet.
    pub(super) fn is_open(&self) -> bool {
        self.dropped.is_none()
    }

    pub(super) fn drop_for(&mut self, reason: Reason) {
        self.dropped = Some((DeliveryState::Dropped, reason));
    }
}

/// What is to be planned.
pub(super) struct Prepared {
    pub(super) message: Waiting,
    pub(super) kind: MessageKind,
    pub(super) entries: Vec<Entry>,
    /// What appears in the product.
    pub(super) notification: Option<Notification>,
    pub(super) locale: Option<String>,
    /// When quiet hours that are now end.
    pub(super) quiet_until: Option<DateTime<Utc>>,
    /// What others who plan for the same recipient wait for.
    pub(super) locks: Vec<String>,
}

/// What came of it.
pub(super) enum Preparation {
    Ready(Box<Prepared>),
    /// Nothing can be planned, for this reason.
    Hopeless(DeliveryState, Reason),
    /// Something is away.
    Later(Duration),
}

/// A message that waits, with what is stored about its recipient.
#[derive(Clone)]
pub(super) struct Before {
    pub(super) message: Waiting,
    listening: Vec<Stored>,
    preferences: Preferences,
    templates: Vec<TemplateVersion>,
}

/// To whom a message goes, as far as that is known now.
enum Recipient {
    Person(PersonId, Contact),
    Email(EmailAddress),
    Channels,
}

/// What one cannot wait for any longer, or not at all, and why.
enum Stop {
    Hopeless(DeliveryState, Reason),
    /// With what it is when one has waited long enough.
    Away(Reason),
}

impl From<SealError> for Stop {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Unavailable(_) => Self::Away(Reason::Unopenable),
            // It will not open tomorrow either.
            _ => Self::Hopeless(DeliveryState::Failed, Reason::Unopenable),
        }
    }
}

impl Notifier {
    /// The message while it is accepted, and what else is stored that matters.
    pub(super) async fn before(&self, id: MessageId) -> Result<Option<Before>, NotifierError> {
        let this = self.clone();
        let all_before = move |ids| this.clone().all_before(ids);
        self.inner.batches.before.ask(id, all_before).await
    }

    async fn all_before(self, ids: Vec<MessageId>) -> Result<Vec<Option<Before>>, NotifierError> {
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let waiting = messages::waiting(&mut tx, &ids).await?;
        let owners: Vec<ChannelOwner> = waiting.iter().filter_map(owner_of).collect();
        let listening = channels::listening(&mut tx, &owners).await?;
        let people = waiting.iter().filter_map(|message| message.recipient_person).collect();
        let preferences = preferences::of_people(&mut tx, people).await?;
        let (lanes, kinds) = waiting.iter().map(|message| (message.lane, message.kind.clone())).unzip();
        let overrides = templates::of_kinds(&mut tx, lanes, kinds).await?;
        tx.rollback().await?;
        let before = |message: &Waiting| {
            let owner = owner_of(message);
            Before {
                message: message.clone(),
                listening: listening.iter().filter(|one| Some(one.channel.owner) == owner).cloned().collect(),
                preferences: message
                    .recipient_person
                    .and_then(|person| preferences.get(&person).cloned())
                    .unwrap_or_default(),
                templates: templates::concerning(&overrides, message.lane, &message.kind),
            }
        };
        let of = |id: MessageId| waiting.iter().find(|message| message.id == id.as_uuid()).map(before);
        Ok(ids.into_iter().map(of).collect())
    }

    pub(super) async fn prepare(&self, before: Before, now: DateTime<Utc>) -> Preparation {
        let (id, age) = (before.message.id, age(before.message.created_at, now));
        match self.try_to_prepare(before, now).await {
            Ok(prepared) => Preparation::Ready(Box::new(prepared)),
            Err(Stop::Hopeless(state, reason)) => {
                if state == DeliveryState::Failed {
                    tracing::error!(notify.message = %id, reason = reason.as_str(), "a message cannot be sent");
                }
                Preparation::Hopeless(state, reason)
            }
            Err(Stop::Away(reason)) => {
                tracing::warn!(notify.message = %id, reason = reason.as_str(), "a message waits");
                let wait = retry::wait(crate::FailureClass::Outage, 1, age, fastrand::u64(..));
                wait.map_or(Preparation::Hopeless(DeliveryState::Failed, reason), Preparation::Later)
            }
        }
    }

    async fn try_to_prepare(&self, before: Before, now: DateTime<Utc>) -> Result<Prepared, Stop> {
        let Before { message, listening, preferences, templates } = before;
        let failed = |reason| Stop::Hopeless(DeliveryState::Failed, reason);
        // A newer version has accepted it, or an older one that knew it.
        let kind = *self.catalogue().find(&message.kind).ok_or(failed(Reason::Template))?;
        let sealer = &*self.inner.sealer;
        let values = message.values_sealed.as_ref().ok_or(failed(Reason::Unopenable))?;
        let values: Value = sealed::open_json(sealer, Place::Values, message.id, values).await?;
        let recipient = self.recipient(&message).await?;
        let concern = concern_of(&kind, &message.topic);
        let (name, locale, zone) = match &recipient {
            Recipient::Person(_, contact) => {
                (contact.name.as_str(), contact.locale.clone(), contact.time_zone.as_deref())
            }
            _ => ("", None, None),
        };
        let channels: Vec<Listening> = listening.iter().map(listening_of).collect();
        let routes = routes(&concern, &recipient, &channels, &preferences);
        let mut entries = Vec::with_capacity(routes.len());
        let mut notification = None;
        for route in routes {
            let mut entry = self.entry(route, &recipient, &listening, name, now).await?;
            if let (Medium::InApp, None, Recipient::Person(person, _)) =
                (entry.medium, entry.dropped, &recipient)
            {
                let (of, locale) = (message.lane, locale.as_deref());
                match self.rendered(&templates, of, &kind, locale, name, &values).await {
                    Ok(rendered) => {
                        notification =
                            Some(notification_of(*person, &message, &kind, rendered, &values, now));
                    }
                    Err(NotifierError::Db(_)) => return Err(Stop::Away(Reason::Template)),
                    Err(error) => {
                        tracing::error!(notify.message = %message.id, code = error.code(), %error, "a message cannot be rendered");
                        entry.dropped = Some((DeliveryState::Failed, Reason::Template));
                    }
                }
            }
            entries.push(entry);
        }
        let quiet_until = preferences
            .quiet_hours
            .filter(|_| !concern.is_urgent())
            .and_then(|quiet| quiet.end(now, zone_of(zone)));
        let locks = locks(&message, &entries, &recipient);
        Ok(Prepared { message, kind, entries, notification, locale, quiet_until, locks })
    }

    async fn recipient(&self, message: &Waiting) -> Result<Recipient, Stop> {
        if let Some(sealed) = &message.recipient_email_sealed {
            let bytes = sealed::open(&*self.inner.sealer, Place::Recipient, message.id, sealed).await?;
            let text = String::from_utf8(bytes)
                .map_err(|_| Stop::Hopeless(DeliveryState::Failed, Reason::Unopenable))?;
            let nowhere = |_| Stop::Hopeless(DeliveryState::Dropped, Reason::NoAddress);
            return EmailAddress::parse(&text).map(Recipient::Email).map_err(nowhere);
        }
        let Some(person) = message.recipient_person.map(PersonId::from) else {
            return Ok(Recipient::Channels);
        };
        match self.inner.directory.contact(person).await {
            Ok(Some(contact)) => Ok(Recipient::Person(person, contact)),
            Ok(None) => Err(Stop::Hopeless(DeliveryState::Dropped, Reason::NoAddress)),
            Err(error) => {
                tracing::warn!(%error, "nobody says how a person is reached");
                Err(Stop::Away(Reason::NoAddress))
            }
        }
    }

    async fn entry(
        &self,
        route: Route,
        recipient: &Recipient,
        listening: &[Stored],
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Entry, Stop> {
        let id = MessageDeliveryId::new(now);
        let dropped = |reason| Some((DeliveryState::Dropped, reason));
        let mut entry = Entry {
            id,
            medium: route.medium,
            channel: route.channel.map(|channel| channel.as_uuid()),
            address_key: Vec::new(),
            destination: String::new(),
            sealed: None,
            dropped: route.dropped.and_then(dropped),
        };
        let mut to = String::new();
        match (route.channel, route.medium, recipient) {
            (Some(channel), ..) => {
                if let Some(found) = listening.iter().find(|one| one.channel.id == channel) {
                    entry.address_key = found.address_key.clone();
                    entry.destination = found.channel.destination.clone();
                    if let Recipient::Person(_, contact) = recipient
                        && !is_still_theirs(found, contact)
                    {
                        entry.dropped = entry.dropped.or(dropped(Reason::Unverified));
                    }
                }
            }
            (None, Medium::Email, Recipient::Email(address)) => to = address.as_str().to_owned(),
            (None, Medium::Email, Recipient::Person(_, contact)) => {
                to = contact.email.clone().unwrap_or_default();
            }
            (None, Medium::Sms, Recipient::Person(_, contact)) => {
                to = contact.phone.clone().unwrap_or_default()
            }
            (None, _, Recipient::Person(person, _)) => {
                entry.address_key = address_key(route.medium.as_str(), &person.to_string());
            }
            (None, ..) => {}
        }
        match (route.channel, route.medium) {
            (None, Medium::Email) => match EmailAddress::parse(&to) {
                Ok(address) => {
                    entry.address_key = address_key(Medium::Email.as_str(), address.as_str());
                    entry.destination = address.masked();
                }
                Err(_) => entry.dropped = entry.dropped.or(dropped(Reason::NoAddress)),
            },
            (None, Medium::Sms) => match to.parse::<PhoneNumber>() {
                Ok(number) => {
                    entry.address_key = address_key(Medium::Sms.as_str(), number.as_str());
                    entry.destination = mask::phone(number.as_str());
                }
                Err(_) => entry.dropped = entry.dropped.or(dropped(Reason::NoAddress)),
            },
            _ => {}
        }
        if entry.dropped.is_none() && entry.medium != Medium::InApp {
            let destination = Destination { to, name: name.to_owned() };
            // Writing texts as JSON cannot fail.
            let json = serde_json::to_vec(&destination).unwrap_or_default();
            let sealer = &*self.inner.sealer;
            entry.sealed = Some(sealed::seal(sealer, Place::Destination, id.as_uuid(), &json).await?);
        }
        Ok(entry)
    }
}

/// Whose channels a message may go to.
pub(super) fn owner_of(message: &Waiting) -> Option<ChannelOwner> {
    match (message.recipient_person, &message.recipient_email_sealed) {
        (Some(person), _) => Some(ChannelOwner::Person(person.into())),
        (None, Some(_)) => None,
        (None, None) => tenant_of(message.lane).map(ChannelOwner::Tenant),
    }
}

/// Whether a person's channel leads to where they are: a mail channel, to the address that they have now and have proven.
pub(super) fn is_still_theirs(stored: &Stored, contact: &Contact) -> bool {
    if stored.channel.channel_type != Medium::Email {
        return true;
    }
    let own = contact.email.as_deref().filter(|_| contact.is_email_verified);
    let own = own.and_then(|own| EmailAddress::parse(own).ok());
    own.is_some_and(|own| address_key(Medium::Email.as_str(), own.as_str()) == stored.address_key)
}

pub(super) fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(since).max(TimeDelta::zero()).to_std().unwrap_or_default()
}

pub(super) fn concern_of<'a>(kind: &MessageKind, topic: &'a str) -> Concern<'a> {
    Concern {
        topic,
        category: kind.category,
        severity: kind.severity,
        is_confidential: kind.is_confidential,
        media: kind.media,
    }
}

/// Where a clock stands; that of Greenwich where nobody says.
pub(super) fn zone_of(name: Option<&str>) -> Tz {
    name.and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}

fn routes(
    concern: &Concern<'_>,
    recipient: &Recipient,
    channels: &[Listening],
    preferences: &Preferences,
) -> Vec<Route> {
    match recipient {
        Recipient::Person(_, contact) => {
            let reach = Reach {
                email: contact.email.as_ref().map(|_| contact.is_email_verified),
                phone: contact.phone.as_ref().map(|_| contact.is_phone_verified),
            };
            route::to_person(concern, reach, channels, &preferences.muted)
        }
        // Whoever names an address wants it to be written to, whatever the kind does otherwise.
        Recipient::Email(_) => vec![Route { medium: Medium::Email, channel: None, dropped: None }],
        Recipient::Channels => route::to_channels(concern, channels),
    }
}

fn listening_of(stored: &Stored) -> Listening {
    let NotificationChannel { id, channel_type, events, severity_min, .. } = &stored.channel;
    Listening { id: *id, medium: *channel_type, events: events.clone(), severity_min: *severity_min }
}

/// Budgets are counted by address, and positions by person: whoever plans for one of them does so alone.
fn locks(message: &Waiting, entries: &[Entry], recipient: &Recipient) -> Vec<String> {
    let mut locks: Vec<String> = entries
        .iter()
        .filter(|entry| entry.dropped.is_none() && matches!(entry.medium, Medium::Email | Medium::Sms))
        .map(|entry| hex::encode(&entry.address_key))
        .collect();
    match recipient {
        Recipient::Person(person, _) => locks.push(person_lock(*person)),
        Recipient::Channels => locks.push(lane_lock(message.lane)),
        Recipient::Email(_) => {}
    }
    locks
}

/// What whoever plans for the channels of a tenant waits for.
pub(super) fn lane_lock(lane: Uuid) -> String {
    format!("lane:{lane}")
}

/// What whoever writes a notification of `person` waits for.
pub(super) fn person_lock(person: PersonId) -> String {
    format!("person:{person}")
}

/// How long a text in the product may be.
const BODY_CHARS_MAX: usize = 4_000;

fn notification_of(
    person: PersonId,
    message: &Waiting,
    kind: &MessageKind,
    rendered: crate::Rendered,
    values: &Value,
    now: DateTime<Utc>,
) -> Notification {
    let text = |name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
    Notification {
        id: NotificationId::new(now),
        tenant_id: tenant_of(message.lane),
        person_id: person,
        position: 0,
        category: kind.category,
        severity: kind.severity,
        kind: kind.name.to_owned(),
        title: rendered.subject,
        body: crate::plain::at_most(rendered.text.trim_end(), BODY_CHARS_MAX),
        link: text("path").filter(|link| super::inbox::is_path(link)),
        entity_type: text("entity_type").filter(|text| super::inbox::is_entity(text)),
        entity_id: text("entity_id").filter(|text| super::inbox::is_entity(text)),
        sender_id: None,
        created_at: now,
        read_at: None,
    }
}
