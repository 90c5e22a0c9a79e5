use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use stylobate_core::{MessageDeliveryId, SealError};
use stylobate_db::{Scope, Tx};

use super::{
    CHANNEL_TEST, LEASE, Notifier,
    prepare::{concern_of, is_still_theirs, zone_of},
    sealed::{self, Destination, Place},
    sending::Parcel,
};
use crate::{
    ATTEMPTS_MAX, ChannelOwner, DeliveryState, FailureClass, Medium, MessageKind, Next, NotifierError,
    QuietHours, Reason, Rendered, TemplateVersion,
    channel_config::ChannelConfig,
    policy::retry,
    store::{
        channels::{self, ById, Stored},
        deliveries::{self, Left, Owed, Why},
        messages, preferences, suppressions, templates,
    },
};

pub(super) const SCOPE: Scope = Scope::Platform("deliver a message");

/// When to come back to a delivery that somebody else was quicker with.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(1);

/// What was read about a delivery.
#[derive(Clone)]
pub(super) struct Found {
    owed: Owed,
    /// Where it has one.
    channel: Option<ById>,
    templates: Vec<TemplateVersion>,
    quiet_hours: Option<QuietHours>,
    is_suppressed: bool,
}

/// What speaks against an attempt.
enum Against {
    /// Nothing will come of it.
    Finished(DeliveryState, Reason),
    /// Something is away that is needed; with what it is when one has waited long enough.
    Away(Reason),
    /// Its recipient is not to be disturbed until then.
    Quiet(DateTime<Utc>),
}

fn failed(reason: Reason) -> Against {
    Against::Finished(DeliveryState::Failed, reason)
}

fn dropped(reason: Reason) -> Against {
    Against::Finished(DeliveryState::Dropped, reason)
}

impl From<SealError> for Against {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Unavailable(_) => Self::Away(Reason::Unopenable),
            _ => failed(Reason::Unopenable),
        }
    }
}

/// What is sent, and where.
struct Opened {
    kind: MessageKind,
    medium: Medium,
    destination: Destination,
    config: Option<ChannelConfig>,
    rendered: Rendered,
}

impl Notifier {
    /// How long an attempt may take: 4 minutes. A server that has all of a mail may look at it for long before it says that it took it
    /// (RFC 5321 §4.5.3.2.6 asks to wait for 10 minutes), and whoever gives up on it sends the mail twice; but what a process was at when
    /// it died waits half a minute longer than this.
    pub const ATTEMPT_MAX: Duration = Duration::from_secs(240);

    /// Takes a delivery one step further: makes an attempt if one is due and nobody is at it. Call it again when
    /// [`Next::After`] is over.
    ///
    /// # Errors
    /// The database's own: nothing may be known about an attempt that was made, and the next follows when its lease has run out.
    pub async fn deliver(&self, id: MessageDeliveryId) -> Result<Next, NotifierError> {
        let now = self.now();
        let Some(found) = self.found(id).await? else { return Ok(Next::Done) };
        let owed = found.owed.clone();
        // Whoever is at it tells what comes of it.
        if let Some(wait) = owed.lease_until.and_then(|lease| wait_until(lease, now)) {
            return Ok(Next::After(wait));
        }
        let is_due = wait_until(owed.due_at, now);
        let opened = match self.opened(&found, is_due.is_some(), now).await {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(Next::After(is_due.unwrap_or_default())),
            Err(against) => return self.set_aside(owed, against, now).await,
        };
        // Opening may have asked others, and taken its time.
        let now = self.now();
        if is_expired(&owed, now) {
            return self.set_aside(owed, dropped(Reason::Expired), now).await;
        }
        let this = self.clone();
        let claim = move |all| this.clone().claim_all(all);
        let Some(claimed) = self.inner.batches.claimed.ask(owed, claim).await? else {
            return Ok(Next::After(OVERTAKEN_WAIT));
        };
        let Opened { kind, medium, destination, config, rendered } = opened;
        let parcel = Parcel { owed: &claimed, kind: &kind, medium, destination, config, rendered };
        let sent = self.send_once(&parcel, now).await;
        drop(parcel);
        self.inner.outages.note(medium, &sent, self.now());
        let channel = match found.channel {
            Some(ById::Found(stored)) => Some(stored.channel),
            _ => None,
        };
        self.settle(claimed, medium, channel, sent).await
    }

    /// The delivery while it is pending, with all that is stored about it.
    async fn found(&self, id: MessageDeliveryId) -> Result<Option<Found>, NotifierError> {
        let this = self.clone();
        let all_found = move |ids| this.clone().all_found(ids);
        self.inner.batches.found.ask(id, all_found).await
    }

    async fn all_found(self, ids: Vec<MessageDeliveryId>) -> Result<Vec<Option<Found>>, NotifierError> {
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let all = deliveries::owed(&mut tx, &ids).await?;
        let channels = all.iter().filter_map(|owed| owed.channel_id).collect();
        let channels = channels::by_ids(&mut tx, channels).await?;
        // Whoever tries out a channel of theirs waits for it.
        let people = all.iter().filter(|owed| owed.kind != CHANNEL_TEST.name);
        let people = people.filter_map(|owed| owed.person_id).collect();
        let preferences = preferences::of_people(&mut tx, people).await?;
        let (lanes, kinds) = all.iter().map(|owed| (owed.lane, owed.kind.clone())).unzip();
        let overrides = templates::of_kinds(&mut tx, lanes, kinds).await?;
        let addresses: Vec<_> = all.iter().map(|owed| (owed.lane, owed.address_key.as_slice())).collect();
        let suppressed = suppressions::among(&mut tx, addresses, self.now()).await?;
        tx.rollback().await?;
        let found = |owed: &Owed| Found {
            owed: owed.clone(),
            channel: owed.channel_id.map(|id| channels.get(&id).cloned().unwrap_or(ById::Gone)),
            templates: templates::concerning(&overrides, owed.lane, &owed.kind),
            quiet_hours: owed
                .person_id
                .filter(|_| owed.kind != CHANNEL_TEST.name)
                .and_then(|person| preferences.get(&person)?.quiet_hours),
            is_suppressed: suppressed.has(owed.lane, &owed.address_key),
        };
        let of = |id: MessageDeliveryId| all.iter().find(|owed| owed.id == id.as_uuid()).map(found);
        Ok(ids.into_iter().map(of).collect())
    }

    async fn claim_all(self, all: Vec<Owed>) -> Result<Vec<Option<Owed>>, NotifierError> {
        let (db, now) = (self.inner.db.clone(), self.now());
        let claim = async move |tx: &mut Tx| deliveries::claim(tx, all.clone(), now, now + LEASE).await;
        Ok(db.transact(SCOPE, claim).await?)
    }

    /// What is to be sent; `None` while it is not due.
    async fn opened(
        &self,
        found: &Found,
        is_early: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<Opened>, Against> {
        let Found { owed, channel, templates, is_suppressed, .. } = found;
        let channel = match channel {
            None => None,
            Some(ById::Found(stored)) => Some(&**stored),
            Some(ById::Gone) => return Err(dropped(Reason::ChannelGone)),
            Some(ById::Unreadable) => return Err(failed(Reason::Unopenable)),
        };
        if let Some(channel) = channel {
            if !channel.channel.is_active {
                return Err(dropped(Reason::ChannelInactive));
            }
            // Suppressions, budgets and what is learnt from an answer go by the address that it was planned for.
            if channel.address_key != owed.address_key {
                return Err(dropped(Reason::ChannelGone));
            }
        }
        if is_expired(owed, now) {
            return Err(dropped(Reason::Expired));
        }
        if is_early {
            return Ok(None);
        }
        if *is_suppressed {
            return Err(dropped(Reason::Suppressed));
        }
        // Processes died at it again and again.
        if owed.attempts() >= ATTEMPTS_MAX {
            return Err(failed(Reason::Interrupted));
        }
        let medium = Medium::of(&owed.medium).ok_or(failed(Reason::NoTransport))?;
        if !self.carries(medium) {
            return Err(failed(Reason::NoTransport));
        }
        if self.inner.outages.is_held_back(medium, now) {
            return Err(Against::Away(Reason::Exhausted));
        }
        let kind = *self.catalogue().find(&owed.kind).ok_or(failed(Reason::Template))?;
        self.ask_for_person(found, channel, &kind, now).await?;
        let sealer = &*self.inner.sealer;
        let unopenable = || failed(Reason::Unopenable);
        let values = owed.values_sealed.as_ref().ok_or_else(unopenable)?;
        let values: Value = sealed::open_json(sealer, Place::Values, owed.message_id, values).await?;
        let destination = owed.destination_sealed.as_ref().ok_or_else(unopenable)?;
        let destination: Destination =
            sealed::open_json(sealer, Place::Destination, owed.id, destination).await?;
        let config = match channel {
            Some(Stored { channel, config_sealed, .. }) => {
                Some(sealed::open_config(sealer, channel.id.as_uuid(), config_sealed).await?)
            }
            None => None,
        };
        let (locale, name) = (owed.locale.as_deref(), destination.name.as_str());
        let rendered = self.rendered(templates, owed.lane, &kind, locale, name, &values).await;
        let rendered = rendered.map_err(|error| {
            if matches!(error, NotifierError::Db(_)) {
                return Against::Away(Reason::Template);
            }
            tracing::error!(notify.delivery = %owed.id, code = error.code(), %error, "a message cannot be rendered");
            failed(Reason::Template)
        })?;
        Ok(Some(Opened { kind, medium, destination, config, rendered }))
    }

    /// Asks again what may have changed since it was planned: whether the person still has the address of their channel, and whether
    /// they are not to be disturbed by now.
    async fn ask_for_person(
        &self,
        found: &Found,
        channel: Option<&Stored>,
        kind: &MessageKind,
        now: DateTime<Utc>,
    ) -> Result<(), Against> {
        let theirs = channel.filter(|stored| {
            stored.channel.channel_type == Medium::Email
                && matches!(stored.channel.owner, ChannelOwner::Person(_))
        });
        let quiet = found.quiet_hours.filter(|_| !concern_of(kind, &found.owed.topic).is_urgent());
        let Some(person) = found.owed.person_id.filter(|_| theirs.is_some() || quiet.is_some()) else {
            return Ok(());
        };
        let contact = self.inner.directory.contact(person.into()).await.map_err(|error| {
            tracing::warn!(%error, "nobody says how a person is reached");
            Against::Away(Reason::NoAddress)
        })?;
        let contact = contact.ok_or(dropped(Reason::NoAddress))?;
        if theirs.is_some_and(|stored| !is_still_theirs(stored, &contact)) {
            return Err(dropped(Reason::Unverified));
        }
        match quiet.and_then(|quiet| quiet.end(now, zone_of(contact.time_zone.as_deref()))) {
            Some(until) if found.owed.expires_at.is_some_and(|expires_at| expires_at <= until) => {
                Err(dropped(Reason::Quiet))
            }
            Some(until) => Err(Against::Quiet(until)),
            None => Ok(()),
        }
    }

    /// Counts an attempt that failed by itself, `code` says how, before anybody was asked; the next follows later, as often as others.
    pub(super) async fn put_off_delivery(
        &self,
        id: MessageDeliveryId,
        code: &'static str,
    ) -> Result<(), NotifierError> {
        let now = self.now();
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let owed = deliveries::owed(&mut tx, &[id]).await?.pop();
        tx.rollback().await?;
        // An attempt that had begun comes back when its lease has run out.
        let Some(owed) = owed.filter(|owed| owed.lease_until.is_none_or(|lease| lease <= now)) else {
            return Ok(());
        };
        let (class, attempts) = (FailureClass::TRANSIENT, owed.attempts() + 1);
        let left = match retry::wait(class, attempts, Duration::ZERO, fastrand::u64(..)) {
            Some(wait) => Left::Pending(now + TimeDelta::from_std(wait).unwrap_or_default(), Why::Failed),
            None => Left::Finished(DeliveryState::Failed, Some(Reason::Interrupted)),
        };
        // As a whole: the compiler cannot see that a closure with a bare text goes from thread to thread.
        let error = crate::failure::failed(FailureClass::TRANSIENT, code);
        let this = self.clone();
        let put_off = async move |tx: &mut Tx| {
            messages::lock(tx, vec![owed.message_id]).await?;
            let claimed = deliveries::claim(tx, vec![owed.clone()], now, now).await?.pop();
            let Some(claimed) = claimed.flatten() else { return Ok(()) };
            let error = &error;
            let settled = deliveries::settle(tx, &claimed, left, Some(error.code), None, now).await?;
            if settled && matches!(left, Left::Finished(..)) {
                if let Some(medium) = Medium::of(&owed.medium) {
                    this.note_on_commit(tx, medium, left.state(), now - owed.accepted_at);
                }
                messages::finish(tx, vec![claimed.message_id], now).await?;
            }
            Ok::<_, NotifierError>(())
        };
        self.inner.db.transact(SCOPE, put_off).await
    }

    /// Ends or puts off a delivery without an attempt.
    async fn set_aside(
        &self,
        owed: Owed,
        against: Against,
        now: DateTime<Utc>,
    ) -> Result<Next, NotifierError> {
        let (left, next) = match against {
            Against::Finished(state, reason) => (Left::Finished(state, Some(reason)), Next::Done),
            Against::Quiet(until) => {
                (Left::Pending(until, Why::Quiet), Next::After(wait_until(until, now).unwrap_or_default()))
            }
            Against::Away(reason) => {
                tracing::warn!(notify.delivery = %owed.id, reason = reason.as_str(), "a delivery waits");
                match retry::wait(FailureClass::Outage, 1, owed.outage(now), fastrand::u64(..)) {
                    Some(wait) => {
                        let due_at = now + TimeDelta::from_std(wait).unwrap_or_default();
                        (Left::Pending(due_at, Why::Away), Next::After(wait))
                    }
                    None => (Left::Finished(DeliveryState::Failed, Some(reason)), Next::Done),
                }
            }
        };
        self.write_outcome(owed, left, now).await?;
        Ok(next)
    }
}

fn is_expired(owed: &Owed, now: DateTime<Utc>) -> bool {
    owed.expires_at.is_some_and(|expires_at| expires_at <= now)
}

/// How long it is until `time`, if that is to come.
pub(super) fn wait_until(time: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    (time - now).to_std().ok().filter(|wait| !wait.is_zero())
}
