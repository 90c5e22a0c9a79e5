use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{BoxFuture, MessageDeliveryId, MessageId, PersonId, TenantId};
use stylobate_db::{Db, Error as DbError, Scope, Tx};
use stylobate_jobs::{Attempt, Failed, Job, Jobs, JobsError, Request, Unique};
use stylobate_notify::{DeliveryRef, Dispatch, MessageRef, Next, Notifier};
use tokio::task::JoinSet;

/// The queue of all jobs about messages: one that was accepted goes out as long as its job is there.
pub const MESSAGE_QUEUE: &str = "notify";

/// Makes a job of each message, and of the deliveries that wait for the same other side. Jobs are shown to administrators, so they hold ids and nothing of what is said.
pub(super) struct ByJobs(pub(super) Jobs);

impl Dispatch for ByJobs {
    fn plan<'a>(&'a self, tx: &'a mut Tx, messages: Vec<MessageRef>) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            let mut together: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for MessageRef { id: message, tenant } in messages {
                together.entry(tenant).or_default().push(PlanMessage { message, tenant });
            }
            for (tenant, jobs) in together {
                self.0.enqueue_many(tx, &jobs, request(tenant, None)).await.map_err(of_jobs)?;
            }
            Ok(())
        })
    }

    fn deliver<'a>(
        &'a self,
        tx: &'a mut Tx,
        deliveries: Vec<DeliveryRef>,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            // Those that wait for the same other side until the same time go together.
            let mut together: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for DeliveryRef { id, tenant, medium, channel, due_at } in deliveries {
                let (to, most) = match channel {
                    None => (medium.as_str().to_owned(), MOST_BY_A_MEDIUM),
                    Some(channel) => (channel.to_string(), MOST_THROUGH_A_CHANNEL),
                };
                together.entry((tenant, due_at, most, to)).or_default().push(id);
            }
            for ((tenant, at, most, to), ids) in together {
                let job = |ids: &[_]| Deliver { deliveries: ids.to_vec(), tenant, to: to.clone() };
                let jobs: Vec<_> = ids.chunks(most).map(job).collect();
                self.0.enqueue_many(tx, &jobs, request(tenant, Some(at))).await.map_err(of_jobs)?;
            }
            Ok(())
        })
    }
}

/// How many deliveries one job makes at once. What is behind a channel may be slow, and has less.
const MOST_BY_A_MEDIUM: usize = 8;
const MOST_THROUGH_A_CHANNEL: usize = 2;

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
    /// Has jobs done again, each after its wait: that somebody is away is no failure of the job.
    async fn again<J: Job>(
        self,
        attempt: Attempt,
        jobs: Vec<(J, Duration)>,
        tenant: Option<TenantId>,
    ) -> Result<(), Failed> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = attempt.clock().now();
        let again = async move |tx: &mut Tx| {
            for (job, wait) in &jobs {
                let run_at = now + TimeDelta::from_std(*wait).unwrap_or(TimeDelta::days(1));
                self.jobs.enqueue_as(tx, job, request(tenant, Some(run_at))).await?;
            }
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
    const QUEUE: &'static str = MESSAGE_QUEUE;

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    async fn run(self, attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let next = to.notifier.plan(self.message).await?;
        let tenant = self.tenant;
        let again = match next {
            Next::After(wait) => vec![(self, wait)],
            Next::Done => Vec::new(),
        };
        to.again(attempt, again, tenant).await
    }
}

/// Takes deliveries to one other side a step further.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Deliver {
    deliveries: Vec<MessageDeliveryId>,
    tenant: Option<TenantId>,
    /// The channel or medium: what is slow does not take all places.
    to: String,
}

impl Job for Deliver {
    const NAME: &'static str = "notify.deliver";
    const QUEUE: &'static str = MESSAGE_QUEUE;
    const KEY_LIMIT: u16 = 2;
    // What came of attempts that took as long as they may is written down before the job is cut off, also by a slow database.
    const TIMEOUT: Duration = Notifier::ATTEMPT_MAX.saturating_add(Duration::from_secs(300));

    type State = Deliverer;
    type Output = ();
    type Error = Failed;

    fn key(&self) -> Option<String> {
        Some(self.to.clone())
    }

    async fn run(self, attempt: Attempt, to: Deliverer) -> Result<(), Failed> {
        let Self { deliveries, tenant, to: other_side } = self;
        let mut under_way = JoinSet::new();
        for delivery in deliveries {
            let notifier = to.notifier.clone();
            under_way.spawn(async move { (delivery, notifier.deliver(delivery).await) });
        }
        let (mut again, mut failed) = (Vec::new(), None);
        while let Some(ended) = under_way.join_next().await {
            match ended {
                Ok((delivery, Ok(Next::After(wait)))) => {
                    let job = Self { deliveries: vec![delivery], tenant, to: other_side.clone() };
                    again.push((job, wait));
                }
                Ok((_, Ok(Next::Done))) => {}
                Ok((_, Err(error))) => failed = Some(error.into()),
                Err(error) => failed = Some(error.into()),
            }
        }
        // Tried again, it finds what has been done.
        match failed {
            Some(error) => Err(error),
            None => to.again(attempt, again, tenant).await,
        }
    }
}

/// Removes what belongs to a person who is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ForgetPerson {
    pub(super) person: PersonId,
}

impl Job for ForgetPerson {
    const NAME: &'static str = "notify.forget";
    const QUEUE: &'static str = MESSAGE_QUEUE;

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
