use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::Value;
use stylobate_core::{AuditEvent, Page, RequestContext, ScheduleId};
use stylobate_db::{Scope, Tx};

use super::{NewSchedule, Schedule, ScheduleChange, ScheduleCounts, ScheduleQuery, Ticked, Timing};
use crate::{
    Enqueued, Jobs, JobsError, Registry,
    guard::aside,
    kind::{Marks, Shape},
    service::{checked_payload, scope},
    store::{jobs::NewJob, schedules},
};

/// Schedules: makes, reads and changes them, and asks for their jobs. Clone it freely.
///
/// Methods that take a context act for the tenant of its principal: another tenant's schedules are as if missing. A principal
/// without tenant acts on all, and makes schedules of the platform. Whether the caller may do so at all is decided before, and
/// so is which kinds of job a tenant may have run.
///
/// 1. Each slot is decided on once, by whichever scheduler moves the schedule on first; its job is stored in the same
///    transaction. A slot never has two jobs.
/// 2. A clock that is put on makes slots come early, and those it jumps over count as missed; one that is put back makes nothing
///    come again, and the next slot waits until the clock shows it.
/// 3. One process at least must [`run`](Self::run). Where none does, or none knows the kind of job, schedules are
///    [`overdue`](Self::overdue): those who [keep the queue up](Jobs::keep_up) say so in the log, and the metrics do.
/// 4. The payload is checked against the kind of job when the schedule is written. A program that knows an older version of the
///    kind leaves the schedule to others.
#[derive(Clone, Debug)]
pub struct Schedules {
    pub(super) jobs: Jobs,
    pub(super) registry: Arc<Registry>,
}

/// The topic of hints that schedules have been edited.
pub(super) const EDITED: &str = "schedules";

/// How far ahead of now a slot that has run may be and still be believed: clocks are put back by less. A schedule that ran
/// while a clock was wrong by more is planned from now on when it is edited.
pub(super) const AHEAD: TimeDelta = TimeDelta::days(1);

/// How often an edit begins anew that others are quicker than.
const EDITS_MAX: usize = 10;

impl Schedules {
    /// Schedules beside the queue `jobs`, for the kinds of job in `registry`.
    #[must_use]
    pub fn new(jobs: Jobs, registry: Registry) -> Self {
        Self { jobs, registry: Arc::new(registry) }
    }

    /// Makes a schedule; its first slot is in the future.
    ///
    /// # Errors
    /// [`JobsError::Invalid`] with the field that is wrong (`name`, `job`, `payload`, `expression`, `time_zone`,
    /// `interval_seconds`, `at`, `catch_up`); [`JobsError::NameTaken`]; [`JobsError::PayloadTooLarge`]; the database's own.
    pub async fn create(&self, context: &RequestContext, new: NewSchedule) -> Result<Schedule, JobsError> {
        let now = self.now();
        let mut schedule = Schedule {
            id: ScheduleId::new(now),
            tenant_id: context.principal.tenant,
            name: checked_name(new.name)?,
            job_version: self.check_job(&new.job, &new.payload)?,
            job: new.job,
            payload: new.payload,
            timing: new.timing,
            unreadable: Vec::new(),
            catch_up: new.catch_up,
            overlap: new.overlap,
            is_enabled: new.is_enabled,
            next_run_at: None,
            last_slot: None,
            last_job_id: None,
            skipped: 0,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        schedule.catch_up.check()?;
        let schedule = aside(move || {
            schedule.next_run_at = first_slot(&schedule, now)?;
            Ok(schedule)
        })
        .await?;
        let scope = scope(&context.principal, "make a schedule");
        let context = context.clone();
        let create = async move |tx: &mut Tx| {
            schedules::insert(tx, &schedule).await.map_err(name_taken)?;
            tx.hint(EDITED);
            let event = AuditEvent::new(&context, "schedule.create", "schedule").on(schedule.id);
            let event = event.in_tenant(schedule.tenant_id);
            tx.audit(event.change(None::<()>, Some(&Summary::of(&schedule))));
            Ok(schedule.clone())
        };
        self.jobs.db.transact(scope, create).await
    }

    /// A schedule of the caller's tenant; of any, without one.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], and the database's own.
    pub async fn get(&self, context: &RequestContext, id: ScheduleId) -> Result<Schedule, JobsError> {
        let scope = scope(&context.principal, "read a schedule");
        let mut tx = self.jobs.db.begin_read(scope).await?;
        let found = schedules::find(&mut tx, scope, id).await?;
        tx.rollback().await?;
        found.ok_or(NOT_FOUND)
    }

    /// Schedules of the caller's tenant, by name.
    ///
    /// # Errors
    /// [`JobsError::Cursor`], and the database's own. A damaged one is listed too: see [`Schedule::unreadable`].
    pub async fn list(
        &self,
        context: &RequestContext,
        query: &ScheduleQuery,
    ) -> Result<Page<Schedule>, JobsError> {
        let scope = scope(&context.principal, "list schedules");
        let mut tx = self.jobs.db.begin_read(scope).await?;
        let page = schedules::list(&mut tx, scope, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Edits a schedule, if `version` is `None` or the one it has. Schedulers know within a second. Slots that are due meanwhile
    /// run as edited, and not at all after an edit of the timing.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::Conflict`] when it has another version; else as [`create`](Self::create).
    pub async fn update(
        &self,
        context: &RequestContext,
        id: ScheduleId,
        change: ScheduleChange,
        version: Option<i64>,
    ) -> Result<Schedule, JobsError> {
        let scope = scope(&context.principal, "edit a schedule");
        for _ in 0..EDITS_MAX {
            let before = self.get(context, id).await?;
            if version.is_some_and(|version| version != before.version) {
                return Err(CONFLICT);
            }
            // Slots are searched for: not while everybody else waits for the transaction.
            let (this, change, read) = (self.clone(), change.clone(), before.clone());
            let (after, moves) = aside(move || this.changed(&read, change)).await?;
            if let Some(edited) = self.write_edit(context, scope, before, after, moves).await? {
                return Ok(edited);
            }
        }
        // Somebody else was quicker, again and again.
        Err(JobsError::Db(stylobate_db::Error::Serialization))
    }

    /// Writes an edit of `before`; `None` when the schedule is another one by now.
    async fn write_edit(
        &self,
        context: &RequestContext,
        scope: Scope,
        before: Schedule,
        after: Schedule,
        moves: bool,
    ) -> Result<Option<Schedule>, JobsError> {
        let context = context.clone();
        let update = async move |tx: &mut Tx| {
            let id = before.id;
            let current = schedules::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            // Where its slots begin depends on the last that ran.
            if moves && current.last_slot != before.last_slot {
                return Ok(None);
            }
            if !schedules::update(tx, &after, moves).await.map_err(name_taken)? {
                return Ok(None);
            }
            tx.hint(EDITED);
            let event = AuditEvent::new(&context, "schedule.update", "schedule").on(id);
            let event = event.in_tenant(before.tenant_id);
            let event = event.change(Some(&Summary::of(&before)), Some(&Summary::of(&after)));
            tx.audit(event.with("payload_changed", before.payload != after.payload));
            Ok(Some(schedules::find(tx, scope, id).await?.ok_or(NOT_FOUND)?))
        };
        self.jobs.db.transact(scope, update).await
    }

    /// The schedule after `change`, and whether its slots are planned anew.
    fn changed(&self, before: &Schedule, change: ScheduleChange) -> Result<(Schedule, bool), JobsError> {
        let mut after = before.clone();
        after.version += 1;
        after.updated_at = self.now();
        if let Some(name) = change.name {
            after.name = checked_name(name)?;
        }
        if change.payload.is_some() {
            after.unreadable.retain(|column| *column != "payload");
        }
        if let Some(timing) = &change.timing {
            timing.plan()?;
            after.unreadable.retain(|column| *column != "timing");
        }
        let concerns_job = change.job.is_some() || change.payload.is_some();
        after.job = change.job.unwrap_or(after.job);
        after.payload = change.payload.unwrap_or(after.payload);
        if concerns_job {
            after.job_version = self.check_job(&after.job, &after.payload)?;
        }
        after.catch_up = change.catch_up.unwrap_or(after.catch_up);
        after.catch_up.check()?;
        after.overlap = change.overlap.unwrap_or(after.overlap);
        after.timing = change.timing.unwrap_or(after.timing);
        after.is_enabled = change.is_enabled.unwrap_or(after.is_enabled);
        let moves = after.timing != before.timing || after.is_enabled != before.is_enabled;
        if moves {
            let now = self.now();
            // A clock that was put back does not make slots that have run come again.
            let ran = before.last_slot.filter(|slot| *slot < now + AHEAD);
            after.next_run_at = first_slot(&after, ran.map_or(now, |slot| slot.max(now)))?;
        }
        Ok((after, moves))
    }

    /// Removes a schedule. Jobs that it has asked for stay.
    ///
    /// # Errors
    /// [`JobsError::NotFound`], and the database's own.
    pub async fn delete(&self, context: &RequestContext, id: ScheduleId) -> Result<(), JobsError> {
        let scope = scope(&context.principal, "remove a schedule");
        let context = context.clone();
        let delete = async move |tx: &mut Tx| {
            let before = schedules::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            if !schedules::delete(tx, id, before.version).await? {
                return Err(JobsError::Db(stylobate_db::Error::Serialization));
            }
            tx.hint(EDITED);
            let event = AuditEvent::new(&context, "schedule.delete", "schedule").on(id);
            let event = event.in_tenant(before.tenant_id);
            tx.audit(event.change(Some(&Summary::of(&before)), None::<()>));
            Ok(())
        };
        self.jobs.db.transact(scope, delete).await
    }

    /// Asks for the job of a schedule at once, beside its slots, whether it is enabled or not and whatever of it is running.
    ///
    /// # Errors
    /// [`JobsError::NotFound`]; [`JobsError::Invalid`] with the field `job` when the registry does not know the kind, `payload`
    /// when what is stored cannot be read; the database's own.
    pub async fn run_now(&self, context: &RequestContext, id: ScheduleId) -> Result<Enqueued, JobsError> {
        let scope = scope(&context.principal, "ask for the job of a schedule");
        let (this, context) = (self.clone(), context.clone());
        let run = async move |tx: &mut Tx| {
            let schedule = schedules::find(tx, scope, id).await?.ok_or(NOT_FOUND)?;
            if schedule.unreadable.contains(&"payload") {
                return Err(JobsError::Invalid { field: "payload", problem: "cannot be read".to_owned() });
            }
            let Some(new) = this.draft(&schedule, None)? else {
                return Err(unknown_job());
            };
            let enqueued = this.jobs.store(tx, new).await?;
            schedules::set_last_job(tx, id, enqueued.id).await?;
            let event = AuditEvent::new(&context, "schedule.run", "schedule").on(id);
            tx.audit(event.in_tenant(schedule.tenant_id).with("job", enqueued.id.to_string()));
            Ok(enqueued)
        };
        self.jobs.db.transact(scope, run).await
    }

    /// Looks once, as [`tick`](Self::tick) does, because somebody asked for it: that is on record, whatever it comes to.
    ///
    /// # Errors
    /// The database's own.
    pub async fn refresh(&self, context: &RequestContext) -> Result<Ticked, JobsError> {
        let context = context.clone();
        let note = async move |tx: &mut Tx| {
            tx.audit(AuditEvent::new(&context, "schedule.refresh", "schedule").in_tenant(None));
            Ok::<_, JobsError>(())
        };
        self.jobs.db.transact(Scope::Platform("note who looks for due schedules"), note).await?;
        self.tick().await
    }

    /// How many schedules there are, over all tenants.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self) -> Result<ScheduleCounts, JobsError> {
        let mut tx = self.jobs.db.begin_read(Scope::Platform("count schedules")).await?;
        let counts = schedules::count(&mut tx).await?;
        tx.rollback().await?;
        Ok(counts)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.jobs.clock.now().trunc_subsecs(6)
    }

    /// The job of a schedule at `slot`; `None` when the registry does not know its kind, or knows an older one.
    pub(super) fn draft(
        &self,
        schedule: &Schedule,
        slot: Option<DateTime<Utc>>,
    ) -> Result<Option<NewJob>, JobsError> {
        let Some(kind) = self.registry.kind(&schedule.job) else { return Ok(None) };
        let shape = Shape { version: schedule.job_version, ..kind.shape() };
        if shape.version > kind.shape().version {
            return Ok(None);
        }
        // A payload that has become unreadable is asked for all the same: workers report it and keep it.
        let marks = kind.marks(&schedule.payload).unwrap_or_default();
        let payload = schedule.payload.to_string();
        let mut new = self.jobs.draft(&shape, marks, schedule.tenant_id, payload)?;
        new.schedule = Some((schedule.id, slot));
        Ok(Some(new))
    }

    /// Checks that `payload` is one of a `job`, and returns the version it is of.
    fn check_job(&self, job: &str, payload: &Value) -> Result<u16, JobsError> {
        let kind = self.registry.kind(job).ok_or_else(unknown_job)?;
        let unreadable = |error: serde_json::Error| JobsError::Invalid {
            field: "payload",
            problem: format!("is none of `{job}`: {error}"),
        };
        let marks: Marks = kind.marks(payload).map_err(unreadable)?;
        checked_payload(payload.to_string())?;
        // Also what the job says of itself must be sound, or it could never be asked for.
        self.jobs.draft(&kind.shape(), marks, None, String::new())?;
        Ok(kind.shape().version)
    }
}

const NOT_FOUND: JobsError = JobsError::NotFound { entity: "schedule" };
const CONFLICT: JobsError = JobsError::Conflict { entity: "schedule" };

fn unknown_job() -> JobsError {
    JobsError::Invalid { field: "job", problem: "is no kind of job that is known here".to_owned() }
}

fn name_taken(error: stylobate_db::Error) -> JobsError {
    match error.is_unique_violation("schedules_lane_name_key") {
        true => JobsError::NameTaken,
        false => JobsError::Db(error),
    }
}

fn checked_name(name: String) -> Result<String, JobsError> {
    if name.is_empty()
        || name.chars().count() > 128
        || name.chars().any(char::is_control)
        || name.trim() != name
    {
        let problem = "has 1 to 128 characters, no control character, and no space at either end".to_owned();
        return Err(JobsError::Invalid { field: "name", problem });
    }
    Ok(name)
}

/// The first slot after `time` of a schedule that is enabled.
pub(super) fn first_slot(
    schedule: &Schedule,
    time: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, JobsError> {
    // A damaged one can be switched off as it is.
    if !schedule.is_enabled && !schedule.unreadable.is_empty() {
        return Ok(None);
    }
    let plan = schedule.timing.plan()?;
    if !schedule.is_enabled {
        return Ok(None);
    }
    // Intervals are told in seconds, and so are their slots.
    let time = if matches!(schedule.timing, Timing::Interval { .. }) { time.trunc_subsecs(0) } else { time };
    let slot = plan.next_after(time).ok_or_else(|| JobsError::Invalid {
        field: schedule.timing.field(),
        problem: "names no time in the future".to_owned(),
    })?;
    Ok(Some(slot))
}

/// What the audit trail says about a schedule. What is in payloads is the jobs' own: it may be personal.
#[derive(serde::Serialize)]
struct Summary<'a> {
    name: &'a str,
    job: &'a str,
    timing: &'a Timing,
    catch_up: super::CatchUp,
    overlap: super::Overlap,
    is_enabled: bool,
}

impl<'a> Summary<'a> {
    fn of(schedule: &'a Schedule) -> Self {
        Self {
            name: &schedule.name,
            job: &schedule.job,
            timing: &schedule.timing,
            catch_up: schedule.catch_up,
            overlap: schedule.overlap,
            is_enabled: schedule.is_enabled,
        }
    }
}
