//! Who looks after what the platform switched off is told that it did.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stylobate_core::{EventId, Message, NotificationChannelId, PersonId, TenantId, WebhookEndpointId};
use stylobate_db::{Db, Scope, Tx};
use stylobate_jobs::{Attempt, Failed, Job};
use stylobate_notify::{ChannelOwner, Notifier, NotifierError};
use stylobate_rbac::{AssigneeKind, Rbac};
use stylobate_tenancy::Tenancy;

use super::kinds::{CHANNEL_DISABLED, WEBHOOK_DISABLED};

/// How many people are told at most: whoever gives everybody the permission must not have everybody written to.
const PEOPLE_MAX: usize = 100;

/// How many people are looked up at once.
const LOOKED_UP_AT_ONCE: usize = 1_000;

/// What was switched off, and why.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(super) enum SwitchedOff {
    Webhook {
        id: WebhookEndpointId,
        is_gone: bool,
    },
    Channel {
        id: NotificationChannelId,
        /// Of whom it is, if it is not the tenant's.
        owner: Option<PersonId>,
        is_gone: bool,
    },
}

/// Tells the owner, or the members of the tenant who may switch it on again. It holds ids and nothing of what is said, as jobs are
/// shown to administrators.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TellOfSwitchedOff {
    pub(super) event: EventId,
    pub(super) tenant: Option<TenantId>,
    pub(super) what: SwitchedOff,
}

/// What those are found and told with.
#[derive(Clone)]
pub(super) struct Caretakers {
    pub(super) notifier: Notifier,
    pub(super) rbac: Rbac,
    pub(super) tenancy: Arc<Tenancy>,
    pub(super) db: Db,
}

impl Job for TellOfSwitchedOff {
    const NAME: &'static str = "notify.tell_of_switched_off";
    const QUEUE: &'static str = super::MESSAGE_QUEUE;

    type State = Caretakers;
    type Output = ();
    type Error = Failed;

    async fn run(self, _attempt: Attempt, with: Caretakers) -> Result<(), Failed> {
        let Self { event, tenant, what } = self;
        let Some((kind, values)) = with.said(tenant, what).await? else { return Ok(()) };
        let people = match (what, tenant) {
            (SwitchedOff::Channel { owner: Some(owner), .. }, _) => vec![owner],
            (SwitchedOff::Channel { .. }, Some(tenant)) => {
                with.who_may(tenant, "notification.channel.manage").await?
            }
            (SwitchedOff::Webhook { .. }, Some(tenant)) => with.who_may(tenant, "webhook.manage").await?,
            (_, None) => Vec::new(),
        };
        let told = people.into_iter().map(|person| {
            let message = Message::to_person(kind, person).in_tenant(tenant).with(values.clone());
            // The event may be heard twice, and the job done twice.
            message.key(format!("{event}:{person}"))
        });
        Ok(with.tell(tenant, told.collect()).await?)
    }
}

impl Caretakers {
    /// All of them, or none.
    async fn tell(&self, tenant: Option<TenantId>, messages: Vec<Message>) -> Result<(), NotifierError> {
        let notifier = self.notifier.clone();
        let tell = async move |tx: &mut Tx| {
            for message in messages.clone() {
                notifier.notify_in(tx, &message).await?;
            }
            Ok(())
        };
        let scope = tenant.map_or(Scope::Platform("tell the owner of a channel"), Scope::Tenant);
        self.db.transact(scope, tell).await
    }

    /// The kind of message, and its values; `None` when there is nothing to be switched on any more.
    async fn said(
        &self,
        tenant: Option<TenantId>,
        what: SwitchedOff,
    ) -> Result<Option<(&'static str, Value)>, Failed> {
        let (id, owner, is_gone) = match what {
            SwitchedOff::Webhook { id, is_gone } => {
                let values = json!({
                    "subject": format!("webhook:{id}"),
                    "is_gone": is_gone,
                    "entity_type": "webhook",
                    "entity_id": id,
                });
                return Ok(Some((WEBHOOK_DISABLED.name, values)));
            }
            SwitchedOff::Channel { id, owner, is_gone } => (id, owner, is_gone),
        };
        let owner = match (owner, tenant) {
            (Some(person), _) => ChannelOwner::Person(person),
            (None, Some(tenant)) => ChannelOwner::Tenant(tenant),
            (None, None) => return Ok(None),
        };
        let channel = match self.notifier.channel(owner, id).await {
            Ok(channel) => channel,
            Err(NotifierError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let values = json!({
            "label": channel.label,
            "is_gone": is_gone,
            "entity_type": "notification_channel",
            "entity_id": id,
        });
        Ok(Some((CHANNEL_DISABLED.name, values)))
    }

    /// Members of `tenant` who have `permission` there.
    async fn who_may(&self, tenant: TenantId, permission: &'static str) -> Result<Vec<PersonId>, Failed> {
        self.rbac.ensure(Some(tenant)).await?;
        let engine = Arc::clone(self.rbac.engine());
        // Looks at every subject of the policy, for which others on this thread would wait.
        let able = tokio::task::spawn_blocking(move || engine.who_can(Some(tenant), permission)).await?;
        let able: Vec<PersonId> = able
            .into_iter()
            .filter(|one| one.kind == AssigneeKind::Person)
            .map(|one| PersonId::from_uuid(one.id))
            .collect();
        let mut members = Vec::new();
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        for some in able.chunks(LOOKED_UP_AT_ONCE) {
            members.extend(self.tenancy.members_among(&mut tx, tenant, some).await?);
            if members.len() >= PEOPLE_MAX {
                break;
            }
        }
        tx.rollback().await?;
        members.sort_unstable();
        if members.len() > PEOPLE_MAX {
            tracing::warn!(permission, most = PEOPLE_MAX, "more people have a permission than are told");
            members.truncate(PEOPLE_MAX);
        }
        Ok(members)
    }
}
