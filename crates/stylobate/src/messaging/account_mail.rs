//! What an event of an organisation has to say to somebody about their account, which is no organisation's.

use serde::{Deserialize, Serialize};
use stylobate_core::{EventId, Principal, RequestContext, TenantId};
use stylobate_events::{Events, EventsError};
use stylobate_jobs::{Attempt, Failed, Job};
use stylobate_notify::Notifier;

use super::{MESSAGE_QUEUE, told::message_of};

/// Tells the owner of an account. A transaction of the event's organisation may write no message of the platform's, so it asks for
/// this. It holds ids and nothing of what is said, as jobs are shown to administrators.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TellOfAccount {
    pub(super) event: EventId,
    pub(super) tenant: TenantId,
}

/// What the owner is told with.
#[derive(Clone)]
pub(super) struct Teller {
    pub(super) notifier: Notifier,
    pub(super) events: Events,
}

impl Job for TellOfAccount {
    const NAME: &'static str = "notify.tell_of_account";
    const QUEUE: &'static str = MESSAGE_QUEUE;

    type State = Teller;
    type Output = ();
    type Error = Failed;

    async fn run(self, _attempt: Attempt, with: Teller) -> Result<(), Failed> {
        let context = RequestContext::new(Principal::system().in_tenant(self.tenant));
        let event = match with.events.get(&context, self.event).await {
            Ok(event) => event,
            // It is old by now, or went with the organisation.
            Err(EventsError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The key of the message is the event's id, so that it is told once.
        if let Some(message) = message_of(&event) {
            with.notifier.notify(message).await?;
        }
        Ok(())
    }
}
