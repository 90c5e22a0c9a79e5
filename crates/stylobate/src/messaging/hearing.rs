use serde_json::json;
use stylobate_core::{BoxFuture, NotificationChannelId, PersonId, TenantId, WebhookEndpointId};
use stylobate_db::Tx;
use stylobate_events::{Envelope, Refused, Subscriber, Types};
use stylobate_jobs::{Jobs, JobsError};
use stylobate_notify::{Announcement, Notifier, NotifierError};

use super::{
    account_mail::TellOfAccount,
    by_jobs::{self, ForgetPerson},
    kinds::{EVENT, WARNING_EVENT, WEBHOOK_DISABLED},
    switched_off::{SwitchedOff, TellOfSwitchedOff},
    told::message_of,
};

/// The type of event that makes the platform forget a person, in all tenants: their channels, notifications and preferences go, and
/// what was to be sent to them is dropped. Its subject is the person's id. A service that does not emit it calls
/// [`Notifier::forget_person`].
pub const USER_DELETED: &str = "user.deleted";

/// Tells the channels of a tenant what happens there, those who look after what was switched off that it was, and forgets people
/// who are gone.
pub(super) struct Announcer {
    pub(super) notifier: Notifier,
    pub(super) jobs: Jobs,
}

impl Subscriber for Announcer {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn types(&self) -> Types {
        Types::All
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            if event.kind == USER_DELETED
                && let Ok(person) = event.subject.parse::<PersonId>()
            {
                // The event's transaction sees one tenant; what is the person's is of all.
                self.jobs.enqueue(tx, &ForgetPerson { person }).await.map_err(of_jobs)?;
            }
            if let Some(message) = message_of(event) {
                match event.tenant_id {
                    Some(tenant) if message.tenant.is_none() => {
                        let job = TellOfAccount { event: event.id, tenant };
                        self.jobs.enqueue(tx, &job).await.map_err(of_jobs)?;
                    }
                    _ => drop(self.notifier.notify_in(tx, &message).await.map_err(of_notifier)?),
                }
            }
            if let Some(what) = switched_off(event) {
                let job = TellOfSwitchedOff { event: event.id, tenant: event.tenant_id, what };
                let request = by_jobs::request(event.tenant_id, None);
                self.jobs.enqueue_as(tx, &job, request).await.map_err(of_jobs)?;
            }
            match event.tenant_id {
                Some(tenant) => self.announce(tx, event, tenant).await.map_err(of_notifier),
                None => Ok(()),
            }
        })
    }
}

impl Announcer {
    async fn announce(&self, tx: &mut Tx, event: &Envelope, tenant: TenantId) -> Result<(), NotifierError> {
        if !self.notifier.is_heard_in(tx, tenant, &event.kind).await? {
            return Ok(());
        }
        let actor = &event.actor;
        let actor = actor.id.clone().unwrap_or_else(|| "the system".to_owned());
        let (kind, values) = if event.kind == "webhook.disabled" {
            (WEBHOOK_DISABLED.name, json!({ "subject": event.subject, "is_gone": is_gone(event) }))
        } else {
            let values = json!({
                "event": event.kind,
                "subject": event.subject,
                "actor": actor,
                "occurred_at": event.occurred_at,
            });
            (if is_warning(&event.kind) { WARNING_EVENT.name } else { EVENT.name }, values)
        };
        let announcement = Announcement {
            kind,
            tenant,
            topic: Some(event.kind.clone()),
            values,
            // The outbox may deliver an event twice.
            idempotency_key: Some(event.id.to_string()),
        };
        self.notifier.announce_in(tx, &announcement).await.map(drop)
    }
}

/// What the event says was switched off by the platform.
fn switched_off(event: &Envelope) -> Option<SwitchedOff> {
    let field = |name| event.data.get(name).and_then(|value| value.as_str());
    let is_gone = is_gone(event);
    match event.kind.as_str() {
        "webhook.disabled" => {
            let id: WebhookEndpointId = field("endpoint_id")?.parse().ok()?;
            Some(SwitchedOff::Webhook { id, is_gone })
        }
        "notification_channel.disabled" => {
            let id: NotificationChannelId = field("channel_id")?.parse().ok()?;
            let owner: Option<PersonId> = field("owner_id").and_then(|owner| owner.parse().ok());
            Some(SwitchedOff::Channel { id, owner, is_gone })
        }
        _ => None,
    }
}

fn is_gone(event: &Envelope) -> bool {
    event.data.get("reason").and_then(|reason| reason.as_str()) == Some("gone")
}

/// Whether somebody should look.
fn is_warning(kind: &str) -> bool {
    matches!(kind, "session.reuse_detected" | "notification_channel.disabled")
        || kind.ends_with("_failed")
        || kind.ends_with(".failed")
}

fn of_notifier(error: NotifierError) -> Refused {
    match error {
        NotifierError::Db(error) => error.into(),
        error @ (NotifierError::Notify(_) | NotifierError::TooLarge { .. }) => Refused::never(error.code()),
        error => Refused::later(error.code()),
    }
}

fn of_jobs(error: JobsError) -> Refused {
    match error {
        JobsError::Db(error) => error.into(),
        error => Refused::later(error.code()),
    }
}
