use std::{fmt, sync::Arc};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use stylobate_core::{Clock, Principal, Sealer};
use stylobate_db::{Db, Scope};
use stylobate_egress::Client;

use super::{Dispatch, WebhooksError};
use crate::{Catalogue, EventType};

/// How many endpoints a tenant may have.
pub const ENDPOINTS_MAX: usize = 50;

/// Endpoints of tenants, and the deliveries to them. Clone it freely.
///
/// It is a [`Subscriber`](crate::Subscriber) of the outbox: for each event of a tenant it makes one delivery per enabled endpoint
/// that names the type. Deliveries are carried out by whoever is told of them ([`Dispatch`]), or by [`run`](Self::run).
///
/// 1. A message is sent at least once, and always with the same `webhook-id`: the id of the event. Messages of one endpoint may
///    overtake each other; receivers that mind look at `sequence`.
/// 2. Attempts are made at once and after 5 s, 1 min, 5 min, 30 min, 1 h, 2 h, 4 h, 8 h and 8 h. A 2xx ends it. `Retry-After` of a
///    429 or 503 is honoured up to an hour. A 410, or 5 days of nothing but failures with two deliveries given up, disables the endpoint, which is on record and
///    told as the event `webhook.disabled`.
/// 3. One attempt at a time has the delivery. When its process dies between sending and writing what came of it, the lease runs out
///    and it is sent again; when the process was only frozen, it writes nothing over what came later.
/// 4. Secrets are shown once and stored sealed. Two are live for a while after a rotation, and messages are signed with both.
/// 5. Where nothing may be sent is the [`Client`]'s to decide, at every attempt.
///
/// Methods that take a context act for the tenant of its principal: what is another tenant's is as if missing. A principal without
/// tenant acts on all. Whether the caller may do so at all is decided before.
#[derive(Clone)]
pub struct Webhooks {
    pub(super) db: Db,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sealer: Arc<dyn Sealer>,
    pub(super) client: Client,
    pub(super) catalogue: Catalogue,
    pub(super) dispatch: Option<Arc<dyn Dispatch>>,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Webhooks in `db`, for the types of `catalogue`, sent by `client`; secrets are sealed by `sealer`.
    #[must_use]
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        sealer: Arc<dyn Sealer>,
        client: Client,
        catalogue: Catalogue,
    ) -> Self {
        Self { db, clock, sealer, client, catalogue, dispatch: None }
    }

    /// Hands deliveries to `dispatch` as they are made.
    #[must_use]
    pub fn dispatching(mut self, dispatch: Arc<dyn Dispatch>) -> Self {
        self.dispatch = Some(dispatch);
        self
    }

    /// The types of events that webhooks themselves tell, for the catalogue.
    #[must_use]
    pub fn event_types() -> Vec<EventType> {
        let id = serde_json::json!({ "type": "string", "format": "uuid" });
        vec![
            EventType {
                name: DISABLED,
                version: 1,
                exchange: None,
                description: "A webhook was disabled because its receiver is gone, or failed for days.",
                schema: serde_json::json!({
                    "type": "object",
                    "required": ["endpoint_id", "reason"],
                    "properties": {
                        "endpoint_id": id,
                        "reason": { "enum": ["gone", "failing"] },
                        "failing_since": { "type": ["string", "null"], "format": "date-time" },
                    },
                }),
            },
            EventType {
                name: TEST,
                version: 1,
                exchange: None,
                description: "Somebody tries out a webhook. It is sent to that one alone, whatever types it names.",
                schema: serde_json::json!({
                    "type": "object",
                    "required": ["endpoint_id"],
                    "properties": { "endpoint_id": id },
                }),
            },
        ]
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(6)
    }

    /// How long an attempt has its delivery: as long as the client takes at most, and half a minute for the database.
    pub(super) fn lease(&self) -> TimeDelta {
        let total = TimeDelta::from_std(self.client.limits().total).unwrap_or(TimeDelta::days(1));
        total + TimeDelta::seconds(30)
    }
}

/// The type of event that tells of an endpoint that was disabled.
pub(super) const DISABLED: &str = "webhook.disabled";
/// The type of event that tries out an endpoint.
pub(super) const TEST: &str = "webhook.test";

/// On whose rows a principal acts.
pub(super) fn scope(principal: &Principal, reason: &'static str) -> Scope {
    principal.tenant.map_or(Scope::Platform(reason), Scope::Tenant)
}

/// Names an endpoint where events are ordered by what they are about.
pub(super) fn subject(id: stylobate_core::WebhookEndpointId) -> String {
    format!("webhook:{id}")
}

/// A panic in a task is an error like others.
pub(super) fn joined<T>(
    result: Result<Result<T, WebhooksError>, tokio::task::JoinError>,
) -> Result<T, WebhooksError> {
    result.unwrap_or(Err(WebhooksError::Panicked))
}
