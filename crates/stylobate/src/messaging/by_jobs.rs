use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, MessageDeliveryId, MessageId, PersonId, TenantId};
use stylobate_db::{Db, Error as DbError, Scope, Tx};
use stylobate_jobs::{Attempt, Failed, Job, Jobs, JobsError, Request, Unique};
use stylobate_notify::{DeliveryRef, Dispatch, MessageRef, Next, Notifier};

/// Makes a job of each message and delivery. Jobs are shown to administrators, so they hold ids and nothing of what is said.
pub(super) struct ByJobs(pub(super) Jobs);

impl Dispatch for ByJobs {
    fn plan<'a>(&'a self, tx: &'a mut Tx, message: MessageRef) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let MessageRef { id: message, tenant } = message;
            let job = PlanMessage { message, tenant };
            self.0.enqueue_as(tx, &job, request(tenant, None)).await.map(drop).map_err(of_jobs)
        })
    }

    fn deliver<'a>(
        &'a self,
        tx: &'a mut Tx,
        delivery: DeliveryRef,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let DeliveryRef { id: delivery, tenant, medium, channel } = delivery;
            let to = channel.map_or_else(|| medium.as_str().to_owned(), |channel| channel.to_string());
            let job = DeliverMessage { delivery, tenant, to };
            self.0.enqueue_as(tx, &job, request(tenant, Some(at))).await.map(drop).map_err(of_jobs)
        })
    }
}

fn of_jobs(error: JobsError) -> DbError {
    match error {
        JobsError::Db(error) => error,
        error => DbError::Participant(Box::new(error)),
    }
}

/// Messages take turns with those of other tenants.
pub(super) fn request(tenant: Option<TenantId>, run_at: Option<DateTime<Utc>>) -> Request {
    Request { tenant, run_at, ..Request::default() }
}

/// What messages are planned and delivered with.
#[derive(Clone)]
pub(super) struct Deliverer {
    pub(super) notifier: Notifier,
    pub(super) jobs: Jobs,
    pub(super) db: Db,
}

impl Deliverer {
    /// Has `job` done again after `next` says so: that somebody is away is no failure of the job.
    async fn again<J: Job>(
        self,
        attempt: Attempt,
        job: J,
        tenant: Option<TenantId>,
        next: Next,
    ) -> Result<(), Failed> {
        let Next::After(wait) = next else { return Ok(()) };
        let run_at = attempt.clock().now() + TimeDelta::from_std(wait)?;
        let again = async move |tx: &mut Tx| {
            self.jobs.enqueue_as(tx, &job, request(tenant, Some(run_at))).await?;
            attempt.complete_in(tx, &()).await
        };
        Ok(self.db.transact(Scope::Platform("see to a message later"), again).await?)
    }
}

/// Decides where a message goes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanMessage {
    message: MessageId,
    tenant: Option<TenantId>,
}

impl Job for PlanMessage {
    const NAME: &'static str = "notify.plan";
    const QUEUE: &'static str = "notify";

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    async fn run(self, attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let next = to.notifier.plan(self.message).await?;
        let tenant = self.tenant;
        to.again(attempt, self, tenant, next).await
    }
}

/// Takes one delivery a step further.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeliverMessage {
    delivery: MessageDeliveryId,
    tenant: Option<TenantId>,
    /// The channel or medium: what is slow does not take all places.
    to: String,
}

impl Job for DeliverMessage {
    const NAME: &'static str = "notify.deliver";
    const QUEUE: &'static str = "notify";
    const KEY_LIMIT: u16 = 4;

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    fn key(&self) -> Option<String> {
        Some(self.to.clone())
    }

    async fn run(self, attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let next = to.notifier.deliver(self.delivery).await?;
        let tenant = self.tenant;
        to.again(attempt, self, tenant, next).await
    }
}

/// Removes what belongs to a person who is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ForgetPerson {
    pub(super) person: PersonId,
}

impl Job for ForgetPerson {
    const NAME: &'static str = "notify.forget";
    const QUEUE: &'static str = "notify";

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live(self.person.to_string()))
    }

    async fn run(self, _attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let forget = async move |tx: &mut Tx| to.notifier.forget_person(tx, self.person).await;
        Ok(to.db.transact(Scope::Platform("forget a person who is gone"), forget).await?)
    }
}
