use std::{error::Error as StdError, future::Future, sync::Arc, time::Duration};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, Clock, Sealer, TenantId, WebhookDeliveryId, WebhookEndpointId};
use stylobate_db::{Db, Error as DbError, Scope, Tx};
use stylobate_events::{Catalogue, Dispatch, Dispatched, Next, Subscriber, Webhooks};
use stylobate_jobs::{Attempt, Failed, Job, Jobs, JobsError, Registry, Request};

use crate::{Settings, StartError};

/// Webhooks whose deliveries are background jobs.
pub(crate) fn webhooks(
    settings: &Settings,
    db: &Db,
    clock: &Arc<dyn Clock>,
    sealer: Arc<dyn Sealer>,
    catalogue: &Catalogue,
    jobs: &Jobs,
) -> Result<Webhooks, StartError> {
    let client = settings.events.client()?;
    let webhooks = Webhooks::new(db.clone(), Arc::clone(clock), sealer, client, catalogue.clone());
    Ok(webhooks.dispatching(Arc::new(ByJobs(jobs.clone()))))
}

/// Has the deliveries of `webhooks` carried out: they hear events, and their jobs are known.
pub(crate) fn deliver(
    kinds: Registry,
    mut subscribers: Vec<Arc<dyn Subscriber>>,
    webhooks: &Webhooks,
    jobs: &Jobs,
    db: &Db,
) -> (Registry, Vec<Arc<dyn Subscriber>>) {
    subscribers.push(Arc::new(webhooks.clone()));
    let deliverer = Deliverer { webhooks: webhooks.clone(), jobs: jobs.clone(), db: db.clone() };
    (kinds.with::<DeliverWebhook>(deliverer), subscribers)
}

/// Makes a job of each delivery.
struct ByJobs(Jobs);

impl Dispatch for ByJobs {
    fn dispatch<'a>(&'a self, tx: &'a mut Tx, delivery: Dispatched) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let Dispatched { id, generation, endpoint, tenant, .. } = delivery;
            let job = DeliverWebhook { delivery: id, generation, endpoint, tenant };
            match self.0.enqueue_as(tx, &job, request(tenant)).await {
                Ok(_) => Ok(()),
                Err(JobsError::Db(error)) => Err(error),
                Err(error) => Err(DbError::Participant(Box::new(error))),
            }
        })
    }
}

/// Takes one webhook delivery a step further.
#[derive(Debug, Serialize, Deserialize)]
struct DeliverWebhook {
    delivery: WebhookDeliveryId,
    /// Somebody who asks for it again makes another job, and this one ends.
    generation: i64,
    endpoint: WebhookEndpointId,
    tenant: TenantId,
}

/// What a delivery is carried out with.
#[derive(Clone)]
struct Deliverer {
    webhooks: Webhooks,
    jobs: Jobs,
    db: Db,
}

/// What is left of a delivery follows as a job of its own: that a receiver is away is no failure of the job.
impl Job for DeliverWebhook {
    const NAME: &'static str = "webhooks.deliver";
    const QUEUE: &'static str = "webhooks";
    // A receiver that never answers takes this many places of a worker, and leaves the others to others.
    const KEY_LIMIT: u16 = 3;

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    fn key(&self) -> Option<String> {
        Some(self.endpoint.to_string())
    }

    async fn run(self, attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let next = to.webhooks.deliver_generation(self.delivery, self.generation).await?;
        let Next::After(wait) = next else { return Ok(()) };
        let run_at = attempt.clock().now() + TimeDelta::from_std(wait)?;
        let again = async move |tx: &mut Tx| {
            to.jobs.enqueue_as(tx, &self, Request { run_at: Some(run_at), ..request(self.tenant) }).await?;
            attempt.complete_in(tx, &()).await
        };
        Ok(to.db.transact(Scope::Platform("deliver a webhook later"), again).await?)
    }
}

/// Deliveries take turns with those of other tenants.
fn request(tenant: TenantId) -> Request {
    Request { tenant: Some(tenant), ..Request::default() }
}

/// How often the log of deliveries is looked through for what is kept no longer.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Removes what is kept no longer, until `stop`. Sends nothing.
pub(super) async fn keep_up(webhooks: &Webhooks, kept: Duration, stop: impl Future<Output = ()>) {
    let prune = async {
        loop {
            // Jitter, so that processes that were started together do not do it together.
            tokio::time::sleep(PRUNE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
            match webhooks.prune(kept).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old webhook deliveries are removed"),
                Err(error) => {
                    let error: &dyn StdError = &error;
                    tracing::warn!(error, "old webhook deliveries cannot be removed");
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop => {}
        () = prune => {}
    }
}
