use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stylobate_core::{AuditEvent, NotificationChannelId, Page, PersonId, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_egress::WebhookSecret;

use super::{
    Notifier,
    error::{NO_CHANNEL, checked_line, invalid},
    sealed::{self, Place},
};
use crate::{
    ChannelChange, ChannelDisabled, ChannelOwner, ChannelQuery, EmailAddress, Medium, NewChannel,
    NotificationChannel, NotifierError, Severity,
    channel_config::ChannelConfig,
    policy::route,
    store::{
        self,
        channels::{self, Stored},
    },
};

/// How many channels a tenant, or a person, may have.
pub const CHANNELS_MAX: usize = 50;

/// How long a label may be.
const LABEL_CHARS_MAX: usize = 100;
/// How many patterns a channel may name, and how long one may be.
const EVENTS_MAX: usize = 100;
const EVENT_CHARS_MAX: usize = 128;

impl Notifier {
    /// Makes a channel. A webhook's secret is returned with it, and shown this once.
    ///
    /// # Errors
    /// [`NotifierError::ChannelInvalid`] with the field of the configuration that is wrong, [`NotifierError::Invalid`] with another;
    /// [`NotifierError::TooMany`] above [`CHANNELS_MAX`]; [`NotifierError::Randomness`]; [`NotifierError::Seal`]; the database's own.
    pub async fn create_channel(
        &self,
        context: &RequestContext,
        owner: ChannelOwner,
        new: NewChannel,
    ) -> Result<(NotificationChannel, Option<WebhookSecret>), NotifierError> {
        let now = self.now();
        checked_line("label", &new.label, LABEL_CHARS_MAX)?;
        let events = checked_events(new.events)?;
        let config = self.checked_config(owner, new.channel_type, &new.config).await?;
        let secret = match &config {
            ChannelConfig::Webhook { secret, .. } => WebhookSecret::parse(secret).ok(),
            _ => None,
        };
        let channel = NotificationChannel {
            id: NotificationChannelId::new(now),
            owner,
            channel_type: new.channel_type,
            label: new.label,
            destination: config.masked(),
            events,
            severity_min: new.severity_min,
            is_active: true,
            disabled_reason: None,
            failing_since: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let stored = self.stored_config(channel.id, &config).await?;
        let context = context.clone();
        let create = async move |tx: &mut Tx| {
            store::lock(tx, vec![owner_lock(owner)]).await?;
            if channels::count(tx, owner).await? >= CHANNELS_MAX {
                return Err(NotifierError::TooMany { max: CHANNELS_MAX });
            }
            channels::insert(tx, &channel, stored.clone()).await?;
            let event = noted(&context, "notification_channel.create", &channel);
            tx.audit(event.change(None::<()>, Some(Summary::of(&channel))));
            Ok(channel.clone())
        };
        let channel = self.inner.db.transact(scope_of(owner, "make a channel"), create).await?;
        Ok((channel, secret))
    }

    /// A channel of `owner`.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`], and the database's own.
    pub async fn channel(
        &self,
        owner: ChannelOwner,
        id: NotificationChannelId,
    ) -> Result<NotificationChannel, NotifierError> {
        let mut tx = self.inner.db.begin_read(scope_of(owner, "read a channel")).await?;
        let found = channels::find(&mut tx, owner, id, false).await?;
        tx.rollback().await?;
        Ok(found.ok_or(NO_CHANNEL)?.channel)
    }

    /// Channels of `owner`, the newest first.
    ///
    /// # Errors
    /// [`NotifierError::Cursor`], and the database's own.
    pub async fn channels(
        &self,
        owner: ChannelOwner,
        query: &ChannelQuery,
    ) -> Result<Page<NotificationChannel>, NotifierError> {
        let mut tx = self.inner.db.begin_read(scope_of(owner, "list channels")).await?;
        let page = channels::list(&mut tx, owner, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Edits a channel. Another configuration, and switching it on, begin a new life: what failed before does not count. A webhook
    /// with another configuration has another secret, which is returned.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]; [`NotifierError::VersionConflict`]; else as [`create_channel`](Self::create_channel).
    pub async fn update_channel(
        &self,
        context: &RequestContext,
        owner: ChannelOwner,
        id: NotificationChannelId,
        change: ChannelChange,
    ) -> Result<(NotificationChannel, Option<WebhookSecret>), NotifierError> {
        let now = self.now();
        if let Some(label) = &change.label {
            checked_line("label", label, LABEL_CHARS_MAX)?;
        }
        let change = ChannelChange { events: change.events.map(checked_events).transpose()?, ..change };
        let (mut config, mut stored) = (None, None);
        if let Some(value) = &change.config {
            let channel_type = self.channel(owner, id).await?.channel_type;
            let read = self.checked_config(owner, channel_type, value).await?;
            stored = Some(self.stored_config(id, &read).await?);
            config = Some(read);
        }
        let secret = match &config {
            Some(ChannelConfig::Webhook { secret, .. }) => WebhookSecret::parse(secret).ok(),
            _ => None,
        };
        let masked = config.map(|config| config.masked());
        let context = context.clone();
        let update = async move |tx: &mut Tx| {
            let before = channels::find(tx, owner, id, true).await?.ok_or(NO_CHANNEL)?.channel;
            if change.version.is_some_and(|version| version != before.version) {
                return Err(NotifierError::VersionConflict);
            }
            let after = changed(before.clone(), &change, masked.clone(), now);
            channels::update(tx, &after, stored.clone()).await?;
            let event = noted(&context, "notification_channel.update", &after);
            let event = event.change(Some(Summary::of(&before)), Some(Summary::of(&after)));
            tx.audit(event.with("config_changed", masked.is_some()));
            Ok(after)
        };
        let channel = self.inner.db.transact(scope_of(owner, "edit a channel"), update).await?;
        Ok((channel, secret))
    }

    /// Removes a channel and what opens it. What was owed to it is dropped when it is due.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`], and the database's own.
    pub async fn delete_channel(
        &self,
        context: &RequestContext,
        owner: ChannelOwner,
        id: NotificationChannelId,
    ) -> Result<(), NotifierError> {
        let context = context.clone();
        let delete = async move |tx: &mut Tx| {
            let before = channels::find(tx, owner, id, true).await?.ok_or(NO_CHANNEL)?.channel;
            channels::delete(tx, id).await?;
            let event = noted(&context, "notification_channel.delete", &before);
            tx.audit(event.change(Some(Summary::of(&before)), None::<()>));
            Ok(())
        };
        self.inner.db.transact(scope_of(owner, "remove a channel"), delete).await
    }

    /// Switches off the channels of a person that were last changed at `changed_by` or before, in a transaction of
    /// [`Scope::Platform`]: those that somebody else may have set up in the person's name. Their owner can switch them on again. Returns
    /// how many it were.
    ///
    /// # Errors
    /// The database's own.
    pub async fn pause_own_channels(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        person: PersonId,
        changed_by: DateTime<Utc>,
    ) -> Result<usize, NotifierError> {
        let mut paused = 0;
        for Stored { channel, .. } in channels::listening(tx, &[ChannelOwner::Person(person)]).await? {
            let is_old = channel.updated_at <= changed_by;
            if is_old && channels::disable(tx, &channel, ChannelDisabled::ByHand, None, self.now()).await? {
                // Beside what it goes along with, and in nobody's organisation: where it leads is the person's own business.
                let event = noted(context, "notification_channel.update", &channel).in_tenant(None);
                let change = (json!({ "is_active": true }), json!({ "is_active": false }));
                tx.audit_also(event.change(Some(change.0), Some(change.1)));
                paused += 1;
            }
        }
        Ok(paused)
    }

    /// Whether anything of `topic` that is said to `tenant` would reach a channel: asking costs less than a message that reaches none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn is_heard_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        topic: &str,
    ) -> Result<bool, NotifierError> {
        let listening = channels::listening(tx, &[ChannelOwner::Tenant(tenant)]).await?;
        let hears = |events: &[String]| events.iter().any(|pattern| route::matches(pattern, topic));
        Ok(listening.iter().any(|stored| hears(&stored.channel.events)))
    }

    async fn checked_config(
        &self,
        owner: ChannelOwner,
        channel_type: Medium,
        value: &Value,
    ) -> Result<ChannelConfig, NotifierError> {
        if channel_type.is_channel() && channel_type != Medium::Email && cfg!(not(feature = "client")) {
            return Err(invalid("channel_type", "needs a build with the feature `client`"));
        }
        let inner = &self.inner;
        let (hosts, addresses) = (&inner.hosts, &inner.addresses);
        let config = ChannelConfig::read(channel_type, value, hosts, addresses, WebhookSecret::generate)?;
        if let (ChannelOwner::Person(person), ChannelConfig::Email { address }) = (owner, &config) {
            // Otherwise anybody could have the product write to anybody.
            let contact = inner.directory.contact(person).await;
            let contact = contact.map_err(|error| NotifierError::Directory(Box::new(error)))?;
            let own = contact.filter(|contact| contact.is_email_verified).and_then(|contact| contact.email);
            let own = own.and_then(|own| EmailAddress::parse(&own).ok());
            if own.is_none_or(|own| !own.as_str().eq_ignore_ascii_case(address)) {
                let problem = "is not the address that you have shown to be yours".to_owned();
                return Err(NotifierError::ChannelInvalid { field: "config.address", problem });
            }
        }
        Ok(config)
    }

    async fn stored_config(
        &self,
        id: NotificationChannelId,
        config: &ChannelConfig,
    ) -> Result<channels::Config, NotifierError> {
        let sealed =
            sealed::seal(&*self.inner.sealer, Place::Channel, id.as_uuid(), &config.to_json()).await?;
        Ok(channels::Config { sealed, address_key: config.address_key(id) })
    }
}

/// Channels of a person are of no tenant: the rows are told apart by the person.
pub(super) fn scope_of(owner: ChannelOwner, reason: &'static str) -> Scope {
    match owner {
        ChannelOwner::Tenant(tenant) => Scope::Tenant(tenant),
        ChannelOwner::Person(_) => Scope::Platform(reason),
    }
}

fn owner_lock(owner: ChannelOwner) -> String {
    match owner {
        ChannelOwner::Tenant(tenant) => format!("channels:tenant:{tenant}"),
        ChannelOwner::Person(person) => format!("channels:person:{person}"),
    }
}

/// The patterns, without doubles.
fn checked_events(events: Vec<String>) -> Result<Vec<String>, NotifierError> {
    let events: BTreeSet<String> = events.into_iter().collect();
    if events.is_empty() || events.len() > EVENTS_MAX {
        return Err(invalid("events", format!("has 1 to {EVENTS_MAX} names or patterns")));
    }
    let is_pattern = |pattern: &String| {
        let name = match pattern.as_str() {
            "*" => return true,
            other => other.strip_suffix(".*").unwrap_or(other),
        };
        (1..=EVENT_CHARS_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    if !events.iter().all(is_pattern) {
        return Err(invalid("events", "has a pattern that is not a name, `name.*` or `*`"));
    }
    Ok(events.into_iter().collect())
}

/// The channel after `change`, whose values are checked.
fn changed(
    mut channel: NotificationChannel,
    change: &ChannelChange,
    masked: Option<String>,
    now: DateTime<Utc>,
) -> NotificationChannel {
    let is_active = change.is_active.unwrap_or(channel.is_active);
    if masked.is_some() || (is_active && !channel.is_active) {
        channel.failing_since = None;
    }
    channel.disabled_reason = match (is_active, channel.disabled_reason) {
        (true, _) => None,
        (false, reason) => reason.or(Some(ChannelDisabled::ByHand)),
    };
    channel.is_active = is_active;
    channel.label = change.label.clone().unwrap_or(channel.label);
    channel.destination = masked.unwrap_or(channel.destination);
    channel.events = change.events.clone().unwrap_or(channel.events);
    channel.severity_min = change.severity_min.unwrap_or(channel.severity_min);
    channel.version += 1;
    channel.updated_at = now;
    channel
}

pub(super) fn noted(
    context: &RequestContext,
    action: &'static str,
    channel: &NotificationChannel,
) -> AuditEvent {
    let event = AuditEvent::new(context, action, "notification_channel").on(channel.id);
    match channel.owner {
        ChannelOwner::Tenant(tenant) => event.in_tenant(Some(tenant)),
        ChannelOwner::Person(_) => event,
    }
}

/// What the audit trail says about a channel.
#[derive(serde::Serialize)]
struct Summary<'a> {
    channel_type: Medium,
    label: &'a str,
    destination: &'a str,
    events: &'a [String],
    severity_min: Severity,
    is_active: bool,
}

impl<'a> Summary<'a> {
    fn of(channel: &'a NotificationChannel) -> Self {
        Self {
            channel_type: channel.channel_type,
            label: &channel.label,
            destination: &channel.destination,
            events: &channel.events,
            severity_min: channel.severity_min,
            is_active: channel.is_active,
        }
    }
}
