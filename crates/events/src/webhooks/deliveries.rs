use serde_json::json;
use stylobate_core::{Actor, EventId, Page, RequestContext, WebhookDeliveryId, WebhookEndpointId};
use stylobate_db::Tx;

use super::{
    DeliveryQuery, WebhookDelivery, Webhooks, WebhooksError,
    endpoints::noted,
    error::{NO_DELIVERY, NO_ENDPOINT},
    fan_out::Dispatched,
    service::{TEST, scope, subject},
    store::{
        deliveries::{self, NewDelivery},
        endpoints,
    },
};
use crate::Envelope;

impl Webhooks {
    /// Deliveries to an endpoint of the caller's tenant, the newest first and without their bodies.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`] when there is no such endpoint; [`WebhooksError::Cursor`]; the database's own.
    pub async fn deliveries(
        &self,
        context: &RequestContext,
        query: &DeliveryQuery,
    ) -> Result<Page<WebhookDelivery>, WebhooksError> {
        let scope = scope(&context.principal, "list deliveries of a webhook");
        let mut tx = self.db.begin_read(scope).await?;
        endpoints::find(&mut tx, scope, query.endpoint, false).await?.ok_or(NO_ENDPOINT)?;
        let page = deliveries::list(&mut tx, scope, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// A delivery of the caller's tenant, with its body.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`], and the database's own.
    pub async fn delivery(
        &self,
        context: &RequestContext,
        id: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, WebhooksError> {
        let scope = scope(&context.principal, "read a delivery of a webhook");
        let mut tx = self.db.begin_read(scope).await?;
        let found = deliveries::find(&mut tx, scope, id).await?;
        tx.rollback().await?;
        found.ok_or(NO_DELIVERY)
    }

    /// Asks for a delivery again, whatever came of it: at once, and with all its attempts. The receiver sees the same `webhook-id`.
    /// What comes of an attempt that is under way counts no more.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`]; [`WebhooksError::Disabled`] when its endpoint is; the database's own.
    pub async fn redeliver(
        &self,
        context: &RequestContext,
        id: WebhookDeliveryId,
    ) -> Result<WebhookDelivery, WebhooksError> {
        let scope = scope(&context.principal, "ask for a delivery of a webhook again");
        let now = self.now();
        let (this, context) = (self.clone(), context.clone());
        let redeliver = async move |tx: &mut Tx| {
            let before = deliveries::find(tx, scope, id).await?.ok_or(NO_DELIVERY)?;
            let endpoint =
                endpoints::find(tx, scope, before.endpoint_id, false).await?.ok_or(NO_DELIVERY)?.endpoint;
            if !endpoint.is_enabled {
                return Err(WebhooksError::Disabled);
            }
            let generation = deliveries::reopen(tx, id, now).await?.ok_or(NO_DELIVERY)?;
            let (endpoint_id, tenant) = (before.endpoint_id, before.tenant_id);
            this.hand_on(tx, Dispatched { id, generation, endpoint: endpoint_id, tenant }).await?;
            let event = noted(&context, "webhook.redeliver", &endpoint);
            let event = event.with("delivery", id.to_string());
            tx.audit(event.with("state_before", before.state.as_str()));
            deliveries::find(tx, scope, id).await?.ok_or(NO_DELIVERY)
        };
        self.db.transact(scope, redeliver).await
    }

    /// Sends an event `webhook.test` to an endpoint, whatever types it names.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`]; [`WebhooksError::Disabled`]; the database's own.
    pub async fn test(
        &self,
        context: &RequestContext,
        id: WebhookEndpointId,
    ) -> Result<WebhookDelivery, WebhooksError> {
        let scope = scope(&context.principal, "try out a webhook");
        let now = self.now();
        let (event_id, delivery_id) = (EventId::new(now), WebhookDeliveryId::new(now));
        let (this, context) = (self.clone(), context.clone());
        let test = async move |tx: &mut Tx| {
            let endpoint = endpoints::find(tx, scope, id, false).await?.ok_or(NO_ENDPOINT)?.endpoint;
            if !endpoint.is_enabled {
                return Err(WebhooksError::Disabled);
            }
            let envelope = Envelope {
                id: event_id,
                kind: TEST.to_owned(),
                version: 1,
                occurred_at: now,
                tenant_id: Some(endpoint.tenant_id),
                actor: Actor::from(&context.principal),
                subject: subject(id),
                // It is told to nobody else, and has no place among what is.
                sequence: 0,
                trace: context.traceparent,
                data: json!({ "endpoint_id": id }),
            };
            let new = NewDelivery {
                id: delivery_id,
                tenant: endpoint.tenant_id,
                endpoint: id,
                event: event_id,
                kind: envelope.kind.clone(),
                body: String::from_utf8(envelope.to_json()).unwrap_or_default(),
                now,
            };
            deliveries::insert(tx, &[new]).await?;
            let (generation, tenant) = (deliveries::FIRST, endpoint.tenant_id);
            this.hand_on(tx, Dispatched { id: delivery_id, generation, endpoint: id, tenant }).await?;
            tx.audit(noted(&context, "webhook.test", &endpoint).with("delivery", delivery_id.to_string()));
            deliveries::find(tx, scope, delivery_id).await?.ok_or(NO_DELIVERY)
        };
        self.db.transact(scope, test).await
    }
}
