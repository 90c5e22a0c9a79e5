use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::Value;
use stylobate_core::{AuditEvent, Clock, JobId, Page, Principal, RequestContext, TenantId, TraceParent};
use stylobate_db::{Db, Scope, Tx};

use crate::{
    Enqueued, Handle, Job, JobQuery, JobRecord, JobSummary, JobsError, PAYLOAD_MAX, State, Step,
    backoff::{is_time, time_after, time_after_std},
    kind::{Marks, Shape},
    measures::Measures,
    store::{counts, jobs, jobs::NewJob, queues},
};

/// The queue: asks for jobs, reads them and changes them by hand. Clone it freely.
///
/// Methods that take a context act for the tenant of its principal: another tenant's jobs are as if missing. A principal
/// without tenant acts on all. Whether the caller may do so at all is decided before.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) measures: Arc<Measures>,
}

/// The topic of hints that there may be work.
pub(crate) const WORK: &str = "jobs";

/// How a job is asked for, beside what its type says.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Not before then; at once when `None`. From 1970 on and before the year 5000.
    pub run_at: Option<DateTime<Utc>>,
    /// Whose it is; the transaction's tenant when `None`. Only a transaction of platform scope may name one.
    pub tenant: Option<TenantId>,
    /// The trace it belongs to (W3C Trace Context, `traceparent`), for whoever asks to fill in: nothing does it by itself, and
    /// jobs of schedules have none. The handler has it
    /// ([`Attempt::traceparent`](crate::Attempt::traceparent)), and the span of each attempt as a field, not as its parent.
    pub traceparent: Option<TraceParent>,
}

impl Request {
    /// At `time`.
    #[must_use]
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { run_at: Some(time), ..Self::default() }
    }
}

impl Jobs {
    /// A queue in `db`, whose migrations ([`MIGRATIONS`](crate::MIGRATIONS)) have been run.
    #[must_use]
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, measures: Arc::default() }
    }

    /// Asks for `job` in the caller's transaction: it exists when that commits, and not otherwise.
    ///
    /// # Errors
    /// [`JobsError::Payload`], [`JobsError::PayloadTooLarge`], [`JobsError::Invalid`] when a key of the job or its time is out of
    /// range, [`JobsError::ForeignTenant`], and the database's own.
    pub async fn enqueue<J: Job>(&self, tx: &mut Tx, job: &J) -> Result<Enqueued<J>, JobsError> {
        self.enqueue_as(tx, job, Request::default()).await
    }

    /// Asks for `job`, not before `time`.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_at<J: Job>(
        &self,
        tx: &mut Tx,
        job: &J,
        time: DateTime<Utc>,
    ) -> Result<Enqueued<J>, JobsError> {
        self.enqueue_as(tx, job, Request::at(time)).await
    }

    /// Asks for `job`, not before `wait` is over, or the year 4999 if that is sooner.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_after<J: Job>(
        &self,
        tx: &mut Tx,
        job: &J,
        wait: Duration,
    ) -> Result<Enqueued<J>, JobsError> {
        self.enqueue_as(tx, job, Request::at(time_after_std(self.clock.now(), wait))).await
    }

    /// Asks for `job` as `request` says.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_as<J: Job>(
        &self,
        tx: &mut Tx,
        job: &J,
        request: Request,
    ) -> Result<Enqueued<J>, JobsError> {
        let new = self.new_job(tx, job, request)?;
        Ok(self.store(tx, new).await?.of())
    }

    /// Asks for many jobs of one kind at once, all as `request` says: much cheaper than one after the other. Returns what
    /// [`enqueue_as`](Self::enqueue_as) would have for each, in their order.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_many<J: Job>(
        &self,
        tx: &mut Tx,
        jobs: &[J],
        request: Request,
    ) -> Result<Vec<Enqueued<J>>, JobsError> {
        let mut new = Vec::with_capacity(jobs.len());
        for job in jobs {
            new.push(self.new_job(tx, job, request.clone())?);
        }
        let mut stored: HashSet<JobId> = jobs::insert(tx, &new).await?.into_iter().collect();
        if !stored.is_empty() {
            tx.hint(WORK);
        }
        let holders = if stored.len() == new.len() {
            HashMap::new()
        } else {
            let left_out: Vec<NewJob> = new.iter().filter(|one| !stored.contains(&one.id)).cloned().collect();
            self.store_left_out(tx, &left_out, &mut stored).await?
        };
        let told = new.iter().map(|one| match one.unique_key.as_ref().and_then(|key| holders.get(key)) {
            Some(holder) if !stored.contains(&one.id) => Enqueued::new(*holder, false),
            _ => Enqueued::new(one.id, true),
        });
        Ok(told.collect())
    }

    /// Stores those whose unique keys are free by now, adds them to `stored`, and returns which jobs have the keys of the rest.
    async fn store_left_out(
        &self,
        tx: &mut Tx,
        left_out: &[NewJob],
        stored: &mut HashSet<JobId>,
    ) -> Result<HashMap<String, JobId>, JobsError> {
        // All are of one request, and so of one tenant.
        let Some(last) = left_out.last() else { return Ok(HashMap::new()) };
        let keys: Vec<String> = left_out.iter().filter_map(|one| one.unique_key.clone()).collect();
        // A finished job may hold a unique key beyond its time.
        let mut released = false;
        for key in &keys {
            released |= jobs::release_unique(tx, last.tenant, key, last.created_at).await?;
        }
        if released {
            stored.extend(jobs::insert(tx, left_out).await?);
            tx.hint(WORK);
        }
        let mut holders = jobs::find_all_unique(tx, last.tenant, &keys).await?;
        for one in left_out {
            let Some(key) = &one.unique_key else { continue };
            if !stored.contains(&one.id) && !holders.contains_key(key) {
                // Who had it has finished since.
                let enqueued = self.store(tx, one.clone()).await?;
                holders.insert(key.clone(), enqueued.id);
                stored.extend(enqueued.is_new.then_some(enqueued.id));
            }
        }
        Ok(holders)
    }

    fn new_job<J: Job>(&self, tx: &Tx, job: &J, request: Request) -> Result<NewJob, JobsError> {
        let payload =
            serde_json::to_string(job).map_err(|source| JobsError::Payload { name: J::NAME, source })?;
        let tenant = match (tx.scope().tenant(), request.tenant) {
            (Some(own), Some(named)) if own != named => return Err(JobsError::ForeignTenant),
            (own, named) => own.or(named),
        };
        let mut new = self.draft(&Shape::of::<J>(), Marks::of(job), tenant, payload)?;
        if let Some(time) = request.run_at {
            if !is_time(time) {
                let problem = "is from 1970 on and before the year 5000".to_owned();
                return Err(JobsError::Invalid { field: "run_at", problem });
            }
            new.run_at = time.trunc_subsecs(6);
        }
        new.traceparent = request.traceparent.map(|trace| trace.to_string());
        Ok(new)
    }

    /// A job that may run at once, of no trace and no schedule.
    pub(crate) fn draft(
        &self,
        shape: &Shape,
        marks: Marks,
        tenant: Option<TenantId>,
        payload: String,
    ) -> Result<NewJob, JobsError> {
        let now = self.clock.now().trunc_subsecs(6);
        let Marks { key, unique } = marks;
        Ok(NewJob {
            id: JobId::new(now),
            tenant,
            queue: checked_name("queue", shape.queue, 64)?,
            name: checked_name("name", shape.name, 128)?,
            version: shape.version,
            payload: checked_payload(payload)?,
            run_at: now,
            attempts_max: shape.attempts_max,
            timeout_ms: shape.timeout_ms,
            key: key.map(|key| checked_key("key", key)).transpose()?,
            key_limit: shape.key_limit,
            unique_until: unique.as_ref().and_then(|rule| Some(time_after(now, rule.within?))),
            unique_key: match unique {
                Some(rule) => Some(format!("{}:{}", shape.name, checked_key("unique", rule.key)?)),
                None => None,
            },
            traceparent: None,
            schedule: None,
            created_at: now,
        })
    }

    pub(crate) async fn store(&self, tx: &mut Tx, new: NewJob) -> Result<Enqueued, JobsError> {
        // Between the conflict and the look the other job may finish, or let go of a key whose time is over.
        for _ in 0..3 {
            if !jobs::insert(tx, std::slice::from_ref(&new)).await?.is_empty() {
                tx.hint(WORK);
                return Ok(Enqueued::new(new.id, true));
            }
            let Some(key) = &new.unique_key else { break };
            if jobs::release_unique(tx, new.tenant, key, new.created_at).await? {
                continue;
            }
            if let Some(id) = jobs::find_unique(tx, new.tenant, key).await? {
                return Ok(Enqueued::new(id, false));
            }
        }
        Err(JobsError::Db(stylobate_db::Error::Serialization))
    }

    /// What is known about a job, with the output of `J` typed.
    #[must_use]
    pub fn handle<J: Job>(&self, id: JobId) -> Handle<J> {
        Handle::new(self.clone(), id)
    }

    /// A job of the caller's tenant; of any, without one.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], and the database's own.
    pub async fn get(&self, context: &RequestContext, id: JobId) -> Result<JobRecord, JobsError> {
        self.get_in(scope(&context.principal, "read a job"), id).await
    }

    pub(crate) async fn get_in(&self, scope: Scope, id: JobId) -> Result<JobRecord, JobsError> {
        let mut tx = self.db.begin_read(scope).await?;
        let found = jobs::find(&mut tx, scope, id).await?;
        tx.rollback().await?;
        found.ok_or(NOT_FOUND)
    }

    /// Jobs of the caller's tenant, newest first, without what may be large.
    ///
    /// # Errors
    /// [`JobsError::Cursor`], and the database's own.
    pub async fn list(
        &self,
        context: &RequestContext,
        query: &JobQuery,
    ) -> Result<Page<JobSummary>, JobsError> {
        let scope = scope(&context.principal, "list jobs");
        let mut tx = self.db.begin_read(scope).await?;
        let page = jobs::list(&mut tx, scope, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Calls a job off. One that waits never runs; one that runs is told so, and ends as cancelled when its handler stops or
    /// [`WorkerOptions::cancel_grace`](crate::WorkerOptions::cancel_grace) is over. Returns the job as it is then.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::WrongState`] when it has finished.
    pub async fn cancel(&self, context: &RequestContext, id: JobId) -> Result<JobRecord, JobsError> {
        self.change(context, id, Step::Cancel).await
    }

    /// Asks for a job once more that failed for good, was called off, has finished or waits for its next attempt: it may run
    /// at once, and its attempts are counted anew.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::WrongState`] when it is waiting or running; [`JobsError::NotUnique`] when
    /// another job has its unique key by now.
    pub async fn retry(&self, context: &RequestContext, id: JobId) -> Result<JobRecord, JobsError> {
        self.change(context, id, Step::Retry).await
    }

    async fn change(&self, context: &RequestContext, id: JobId, step: Step) -> Result<JobRecord, JobsError> {
        let scope = scope(&context.principal, "change the state of a job");
        let (now, context) = (self.clock.now().trunc_subsecs(6), context.clone());
        let change = async move |tx: &mut Tx| {
            let before = jobs::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            let wrong = JobsError::WrongState { state: before.state };
            let Some(to) = before.state.after(step, true) else { return Err(wrong) };
            if let (State::Available, Some(key)) = (to, &before.unique_key) {
                // Who finished holds it until somebody wants it, also when its time is over.
                jobs::release_unique(tx, before.tenant_id, key, now).await?;
            }
            let moved = if to == State::Leased {
                jobs::request_cancel(tx, id).await?
            } else {
                jobs::set_state(tx, &before, to, now).await.map_err(not_unique)?
            };
            if !moved {
                // A worker was quicker: look again.
                return Err(JobsError::Db(stylobate_db::Error::Serialization));
            }
            tx.hint(WORK);
            let after = jobs::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            let action = if step == Step::Cancel { "job.cancel" } else { "job.retry" };
            let event = AuditEvent::new(&context, action, "job").on(id).in_tenant(before.tenant_id);
            tx.audit(event.change(Some(&Summary::of(&before)), Some(&Summary::of(&after))));
            Ok(after)
        };
        self.db.transact(scope, change).await
    }

    /// Changes what a job that nobody works on needs to know: a dead letter is edited, then retried.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::WrongState`] when it is running; [`JobsError::PayloadTooLarge`].
    pub async fn edit(
        &self,
        context: &RequestContext,
        id: JobId,
        payload: &Value,
    ) -> Result<JobRecord, JobsError> {
        let scope = scope(&context.principal, "edit a job");
        let text = checked_payload(payload.to_string())?;
        let context = context.clone();
        let edit = async move |tx: &mut Tx| {
            let before = jobs::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            if !jobs::set_payload(tx, id, text.clone()).await? {
                return Err(JobsError::WrongState { state: before.state });
            }
            let after = jobs::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            // What is in payloads is the jobs' own: it may be personal, and is not copied into the trail.
            let event = AuditEvent::new(&context, "job.edit", "job").on(id).in_tenant(before.tenant_id);
            tx.audit(event);
            Ok(after)
        };
        self.db.transact(scope, edit).await
    }

    /// How many jobs there are, by queue and state, over all tenants.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self) -> Result<BTreeMap<(String, State), u64>, JobsError> {
        Ok(counts::read(&mut *self.db.read().await?).await?)
    }

    /// Stops work on `queue` in all processes: what runs is finished, nothing is begun. Jobs can still be asked for.
    ///
    /// # Errors
    /// [`JobsError::Invalid`] for a name that no queue can have; the database's own.
    pub async fn pause(&self, context: &RequestContext, queue: &str) -> Result<(), JobsError> {
        self.set_paused(context, queue, true).await
    }

    /// Lets work on `queue` go on.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, context: &RequestContext, queue: &str) -> Result<(), JobsError> {
        self.set_paused(context, queue, false).await
    }

    async fn set_paused(&self, context: &RequestContext, queue: &str, paused: bool) -> Result<(), JobsError> {
        let queue = checked_name("queue", queue, 64)?;
        let (now, context) = (self.clock.now().trunc_subsecs(6), context.clone());
        let set = async move |tx: &mut Tx| {
            let changed = if paused {
                queues::pause(tx, &queue, now).await?
            } else {
                queues::resume(tx, &queue).await?
            };
            tx.hint(WORK);
            if changed {
                let action = if paused { "queue.pause" } else { "queue.resume" };
                tx.audit(AuditEvent::new(&context, action, "queue").on(&queue).in_tenant(None));
            }
            Ok::<(), JobsError>(())
        };
        self.db.transact(Scope::Platform("pause or resume a queue"), set).await
    }

    /// The queues that are paused, and since when.
    ///
    /// # Errors
    /// The database's own.
    pub async fn paused(&self) -> Result<Vec<(String, DateTime<Utc>)>, JobsError> {
        Ok(queues::paused(&mut *self.db.read().await?).await?)
    }
}

const NOT_FOUND: JobsError = JobsError::NotFound { entity: "job" };

/// What the audit trail says about a job.
#[derive(serde::Serialize)]
struct Summary<'a> {
    name: &'a str,
    state: State,
    cancel_requested: bool,
}

impl<'a> Summary<'a> {
    fn of(job: &'a JobRecord) -> Self {
        Self { name: &job.name, state: job.state, cancel_requested: job.cancel_requested }
    }
}

pub(crate) fn scope(principal: &Principal, reason: &'static str) -> Scope {
    principal.tenant.map_or(Scope::Platform(reason), Scope::Tenant)
}

fn not_unique(error: stylobate_db::Error) -> JobsError {
    match error {
        stylobate_db::Error::Constraint { kind: stylobate_db::ConstraintKind::Unique, .. } => {
            JobsError::NotUnique
        }
        other => JobsError::Db(other),
    }
}

/// 1 to `most` of the characters that names of jobs and queues have.
pub(crate) fn checked_name(field: &'static str, name: &str, most: usize) -> Result<String, JobsError> {
    let is_sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > most || !name.bytes().all(is_sound) {
        let problem = format!("has 1 to {most} characters of a-z 0-9 . _ -");
        return Err(JobsError::Invalid { field, problem });
    }
    Ok(name.to_owned())
}

fn checked_key(field: &'static str, key: String) -> Result<String, JobsError> {
    if key.is_empty() || key.chars().count() > 200 || key.chars().any(char::is_control) {
        let problem = "has 1 to 200 characters, none of them a control character".to_owned();
        return Err(JobsError::Invalid { field, problem });
    }
    Ok(key)
}

pub(crate) fn checked_payload(payload: String) -> Result<String, JobsError> {
    if payload.len() > PAYLOAD_MAX {
        return Err(JobsError::PayloadTooLarge { bytes: payload.len(), max: PAYLOAD_MAX });
    }
    Ok(payload)
}
