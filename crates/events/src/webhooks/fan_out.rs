use stylobate_core::{BoxFuture, TenantId, WebhookDeliveryId, WebhookEndpointId};
use stylobate_db::Tx;

use super::{
    Webhooks, filter,
    store::{
        deliveries::{self, NewDelivery},
        endpoints,
    },
};
use crate::{Envelope, Refused, Subscriber, Types};

/// Takes deliveries as they are made, and sees to it that [`Webhooks::deliver_generation`] is called for each until it is done: a queue of
/// jobs. Without one, [`Webhooks::run`] does it.
pub trait Dispatch: Send + Sync {
    /// Takes a delivery inside the transaction that makes it, or that asks for it again.
    ///
    /// # Errors
    /// The database's own; or [`stylobate_db::Error::Participant`] with what went wrong. Nothing is made then.
    fn dispatch<'a>(
        &'a self,
        tx: &'a mut Tx,
        delivery: Dispatched,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>>;
}

/// A delivery that is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dispatched {
    /// Which one.
    pub id: WebhookDeliveryId,
    /// Which asking it is of, for [`Webhooks::deliver_generation`]: what was to be done about those before ends by itself.
    pub generation: i64,
    /// To which endpoint it goes. One that is slow should not take all places from those of others.
    pub endpoint: WebhookEndpointId,
    /// Whose it is.
    pub tenant: TenantId,
}

impl Webhooks {
    pub(super) async fn hand_on(&self, tx: &mut Tx, delivery: Dispatched) -> Result<(), stylobate_db::Error> {
        match &self.dispatch {
            Some(dispatch) => dispatch.dispatch(tx, delivery).await,
            None => Ok(()),
        }
    }
}

impl Subscriber for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn types(&self) -> Types {
        Types::All
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            // What happens on the platform is nobody's.
            let Some(tenant) = event.tenant_id else { return Ok(()) };
            let hearing = endpoints::hearing(tx, tenant).await?;
            let concerned = hearing
                .into_iter()
                .filter(|(_, types)| types.iter().any(|pattern| filter::matches(pattern, &event.kind)));
            let now = self.now();
            // The one text that all of them are sent.
            let body = String::from_utf8(event.to_json()).map_err(Refused::never)?;
            let new: Vec<_> = concerned
                .map(|(endpoint, _)| NewDelivery {
                    id: WebhookDeliveryId::new(now),
                    tenant,
                    endpoint,
                    event: event.id,
                    kind: event.kind.clone(),
                    body: body.clone(),
                    now,
                })
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            let made = deliveries::insert(tx, &new).await?;
            for NewDelivery { id, endpoint, .. } in new.into_iter().filter(|one| made.contains(&one.id)) {
                self.hand_on(tx, Dispatched { id, generation: deliveries::FIRST, endpoint, tenant }).await?;
            }
            Ok(())
        })
    }
}
