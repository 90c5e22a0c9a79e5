use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stylobate_core::{AuditEvent, BoxFuture, DomainEvent, RequestContext, SuppressionId};
use stylobate_db::Tx;
use uuid::Uuid;

use super::{Notifier, deliver::SCOPE};
use crate::{
    ChannelDisabled, ChannelOwner, DeliveryState, FailureClass, Medium, Next, NotificationChannel,
    NotifierError, Reason, Receipt, SendError, Suppression,
    failure::GONE,
    policy::retry,
    store::{
        channels,
        deliveries::{self, Left, Owed, Why},
        messages, suppressions,
    },
};

/// How long a channel may fail before it is switched off, and how many deliveries have to be given up within that time: one failure
/// and then nothing to send is not failing for days.
const FAILING_MAX: TimeDelta = TimeDelta::days(5);
const GIVEN_UP_MIN: i64 = 3;

/// How long nothing is sent to an address that the other side did not know: servers err too, and somebody may take the name.
const BAD_RECIPIENT_FOR: TimeDelta = TimeDelta::days(7);

/// What came of an attempt.
pub(super) struct Outcome {
    owed: Owed,
    medium: Medium,
    channel: Option<NotificationChannel>,
    left: Left,
    /// The other side's status, where it has one.
    sent: Result<Option<u16>, SendError>,
}

impl Outcome {
    fn is_finished(&self) -> bool {
        matches!(self.left, Left::Finished(..))
    }
}

impl Notifier {
    /// Writes what came of an attempt, and what follows for its channel and address.
    pub(super) async fn settle(
        &self,
        owed: Owed,
        medium: Medium,
        channel: Option<NotificationChannel>,
        sent: Result<Receipt, SendError>,
    ) -> Result<Next, NotifierError> {
        let now = self.now();
        let (left, next, sent) = match sent {
            Ok(Receipt { status }) => (Left::Finished(DeliveryState::Sent, None), Next::Done, Ok(status)),
            Err(error) => {
                let wait = retry::wait(error.class, owed.attempts(), owed.outage(now), fastrand::u64(..));
                let why = match error.class {
                    FailureClass::Outage => Why::NoAttempt,
                    _ => Why::Failed,
                };
                match wait {
                    Some(wait) => {
                        let due_at = now + TimeDelta::from_std(wait).unwrap_or_default();
                        (Left::Pending(due_at, why), Next::After(wait), Err(error))
                    }
                    None => {
                        let reason = match error.class {
                            FailureClass::Permanent => Reason::Refused,
                            FailureClass::BadRecipient => Reason::BadRecipient,
                            _ => Reason::Exhausted,
                        };
                        (Left::Finished(DeliveryState::Failed, Some(reason)), Next::Done, Err(error))
                    }
                }
            }
        };
        let outcome = Outcome { owed, medium, channel, left, sent };
        let this = self.clone();
        let settle = move |all| this.clone().in_one(SCOPE, all, Self::settle_in);
        self.inner.batches.settled.ask(Arc::new(outcome), settle).await?;
        Ok(next)
    }

    fn settle_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        all: &'a [Arc<Outcome>],
    ) -> BoxFuture<'a, Result<(), NotifierError>> {
        Box::pin(async move {
            let now = self.now();
            messages::lock(tx, all.iter().map(|one| one.owed.message_id).collect()).await?;
            let mut settled = HashSet::new();
            let mut sent: HashMap<Option<u16>, Vec<&Owed>> = HashMap::new();
            for outcome in all {
                match &outcome.sent {
                    Ok(status) => sent.entry(*status).or_default().push(&outcome.owed),
                    Err(error) => {
                        let (owed, left) = (&outcome.owed, outcome.left);
                        if deliveries::settle(tx, owed, left, Some(error.code), error.status, now).await? {
                            settled.insert(owed.id);
                        }
                    }
                }
            }
            for (status, owed) in sent {
                settled.extend(deliveries::sent(tx, &owed, status, now).await?);
            }
            // Of the others the lease ran out, and somebody else has them, or had.
            let mut settled: Vec<&Outcome> =
                all.iter().map(|one| &**one).filter(|one| settled.contains(&one.owed.id)).collect();
            // So that no two who do this wait for each other.
            settled.sort_by_key(|one| one.channel.as_ref().map(|channel| channel.id));
            for outcome in &settled {
                let age = now - outcome.owed.accepted_at;
                self.note_on_commit(tx, outcome.medium, outcome.left.state(), age);
                note_what_follows(tx, outcome, now).await?;
            }
            let finished = settled.iter().filter(|one| one.is_finished()).map(|one| one.owed.message_id);
            let finished: Vec<Uuid> = finished.collect();
            if !finished.is_empty() {
                messages::finish(tx, finished, now).await?;
            }
            Ok(())
        })
    }

    /// Writes how a delivery is left without an attempt.
    pub(super) async fn write_outcome(
        &self,
        owed: Owed,
        left: Left,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let this = self.clone();
        let write = async move |tx: &mut Tx| {
            messages::lock(tx, vec![owed.message_id]).await?;
            let settled = deliveries::settle(tx, &owed, left, None, None, now).await?;
            if settled && matches!(left, Left::Finished(..)) {
                if let Some(medium) = Medium::of(&owed.medium) {
                    this.note_on_commit(tx, medium, left.state(), now - owed.accepted_at);
                }
                messages::finish(tx, vec![owed.message_id], now).await?;
            }
            Ok::<_, NotifierError>(())
        };
        self.inner.db.transact(SCOPE, write).await
    }
}

/// Notes what an attempt says about its channel and its address.
async fn note_what_follows(tx: &mut Tx, outcome: &Outcome, now: DateTime<Utc>) -> Result<(), NotifierError> {
    let Outcome { owed, medium, channel, sent, .. } = outcome;
    match (sent, channel) {
        (Ok(_), Some(channel)) => channels::note_success(tx, channel.id).await?,
        // That our own mail server is away, or hangs, says nothing about a channel.
        (Err(error), Some(_)) if *medium == Medium::Email && error.is_of_server() => {}
        (Err(error), Some(channel)) if error.class != FailureClass::Outage => {
            note_failure(tx, channel, error.code == GONE, outcome.is_finished(), now).await?;
        }
        _ => {}
    }
    if sent.as_ref().is_err_and(|error| error.class == FailureClass::BadRecipient)
        && matches!(medium, Medium::Email | Medium::Sms)
    {
        suppress(tx, owed, *medium, now).await?;
    }
    Ok(())
}

/// Nothing is sent there for a while, whoever wants to: it is the same mailbox for every tenant.
async fn suppress(tx: &mut Tx, owed: &Owed, medium: Medium, now: DateTime<Utc>) -> Result<(), NotifierError> {
    let suppression = Suppression {
        id: SuppressionId::new(now),
        tenant_id: None,
        medium,
        destination: owed.destination.clone(),
        reason: Reason::BadRecipient.as_str().to_owned(),
        created_at: now,
        expires_at: Some(now + BAD_RECIPIENT_FOR),
    };
    suppressions::put_by_itself(tx, Uuid::nil(), owed.address_key.clone(), &suppression).await?;
    Ok(())
}

/// Notes that an attempt failed, and switches a channel off that is gone or has failed for too long.
async fn note_failure(
    tx: &mut Tx,
    channel: &NotificationChannel,
    is_gone: bool,
    is_given_up: bool,
    now: DateTime<Utc>,
) -> Result<(), NotifierError> {
    channels::note_failure(tx, channel, now).await?;
    let (reason, failing) = if is_gone {
        (ChannelDisabled::Gone, None)
    } else if is_given_up
        && channel.failing_since.is_some_and(|since| since <= now - FAILING_MAX)
        && deliveries::given_up(tx, channel.id, now - FAILING_MAX).await? >= GIVEN_UP_MIN
    {
        (ChannelDisabled::Failing, Some(now - FAILING_MAX))
    } else {
        return Ok(());
    };
    if channels::disable(tx, channel, reason, failing, now).await? {
        let mut context = RequestContext::system("notify");
        if let ChannelOwner::Tenant(tenant) = channel.owner {
            context.principal.tenant = Some(tenant);
        }
        let event = AuditEvent::new(&context, "notification_channel.disable", "notification_channel");
        tx.audit(event.on(channel.id).with("reason", reason.as_str()));
        let owner_id = match channel.owner {
            ChannelOwner::Person(person) => Some(person),
            ChannelOwner::Tenant(_) => None,
        };
        let data = json!({
            "channel_id": channel.id,
            "owner_id": owner_id,
            "reason": reason.as_str(),
        });
        let subject = format_args!("notification_channel:{}", channel.id);
        tx.emit(DomainEvent::new(&context, "notification_channel.disabled", subject, data));
        tracing::warn!(notify.channel = %channel.id, reason = reason.as_str(), "a channel is switched off");
    }
    Ok(())
}
