use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use stylobate_core::{Cursor, JobId, Page, ScheduleId, TenantId};
use stylobate_db::{Conn, Error, Scope, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use super::{counts::Tally, lane};
use crate::{JobQuery, JobRecord, JobSummary, JobsError, State, saga::is_all_undone};

/// A job to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) id: JobId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) queue: String,
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) payload: String,
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) attempts_max: u16,
    pub(crate) timeout_ms: i64,
    pub(crate) key: Option<String>,
    pub(crate) key_limit: u16,
    pub(crate) unique_key: Option<String>,
    pub(crate) unique_until: Option<DateTime<Utc>>,
    pub(crate) traceparent: Option<String>,
    /// The schedule that asks for it, and its slot unless it is asked for beside them.
    pub(crate) schedule: Option<(ScheduleId, Option<DateTime<Utc>>)>,
    pub(crate) created_at: DateTime<Utc>,
}

/// The columns of [`ListRow`]: those of a job that are not large.
const COLUMNS: &str = "id, tenant_id, queue, name, version, state, run_at, attempt - handed_back AS attempt, attempts_max, key, \
     unique_key, worker, cancel_requested, progress, errors, traceparent, schedule_id, slot, created_at, claimed_at, finished_at";
/// What [`JobRow`] has beside them.
const LARGE: &str = ", payload, checkpoint, result";

#[derive(sqlx::FromRow)]
struct JobRow {
    #[sqlx(flatten)]
    known: ListRow,
    payload: String,
    checkpoint: Option<String>,
    result: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ListRow {
    id: Uuid,
    tenant_id: Option<Uuid>,
    queue: String,
    name: String,
    version: i64,
    state: String,
    run_at: DateTime<Utc>,
    attempt: i64,
    attempts_max: i64,
    key: Option<String>,
    unique_key: Option<String>,
    worker: Option<String>,
    cancel_requested: bool,
    progress: Option<String>,
    errors: String,
    traceparent: Option<String>,
    schedule_id: Option<Uuid>,
    slot: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

pub(super) fn bad_row(
    column: &'static str,
    id: Uuid,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::BadRow { column: format!("{column} of {id}"), source: Box::new(source) }
}

/// A stored number that never is negative or large.
pub(super) fn small<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

impl TryFrom<JobRow> for JobRecord {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let job = JobSummary::try_from(row.known)?;
        // What a handler or an administrator wrote is shown as it is when it is no JSON.
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self {
            payload: json(row.payload),
            checkpoint: row.checkpoint.map(json),
            result: row.result.map(json),
            id: job.id,
            tenant_id: job.tenant_id,
            queue: job.queue,
            name: job.name,
            version: job.version,
            state: job.state,
            run_at: job.run_at,
            attempt: job.attempt,
            attempts_max: job.attempts_max,
            key: job.key,
            unique_key: job.unique_key,
            worker: job.worker,
            cancel_requested: job.cancel_requested,
            progress: job.progress,
            errors: job.errors,
            traceparent: job.traceparent,
            schedule_id: job.schedule_id,
            slot: job.slot,
            created_at: job.created_at,
            claimed_at: job.claimed_at,
            finished_at: job.finished_at,
        })
    }
}

impl TryFrom<ListRow> for JobSummary {
    type Error = Error;

    fn try_from(row: ListRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.map(TenantId::from),
            state: row.state.parse().map_err(|error| bad_row("jobs.state", row.id, error))?,
            queue: row.queue,
            name: row.name,
            version: small(row.version),
            run_at: row.run_at,
            attempt: small(row.attempt),
            attempts_max: small(row.attempts_max),
            key: row.key,
            unique_key: row.unique_key,
            worker: row.worker,
            cancel_requested: row.cancel_requested,
            progress: row.progress.and_then(|text| serde_json::from_str(&text).ok()),
            errors: serde_json::from_str(&row.errors).unwrap_or_default(),
            traceparent: row.traceparent,
            schedule_id: row.schedule_id.map(ScheduleId::from),
            slot: row.slot,
            created_at: row.created_at,
            claimed_at: row.claimed_at,
            finished_at: row.finished_at,
        })
    }
}

/// How many jobs one statement inserts: 20 parameters each, and SQLite takes some thirty thousand.
const INSERTED_AT_ONCE: usize = 500;
/// How many bytes of payload one statement inserts, about: eight large ones.
const BYTES_AT_ONCE: usize = 8 << 20;

/// How many of `jobs` one statement inserts; one at least.
fn first_batch(jobs: &[NewJob]) -> usize {
    let mut bytes = 0;
    let fitting = jobs.iter().take(INSERTED_AT_ONCE).take_while(|job| {
        bytes += job.payload.len();
        bytes <= BYTES_AT_ONCE
    });
    fitting.count().max(1)
}

/// Stores jobs as available and returns the ids of those that are new: the others have the unique key of another job, or are
/// of a slot that has its job.
pub(crate) async fn insert(tx: &mut Tx, jobs: &[NewJob]) -> Result<Vec<JobId>, Error> {
    let mut stored = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while !rest.is_empty() {
        let (some, others) = rest.split_at(first_batch(rest));
        rest = others;
        let mut sql = tx.builder(
            "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max, \
             timeout_ms, key, key_limit, unique_key, is_unique, unique_until, beat, cancel_requested, errors, \
             traceparent, schedule_id, slot, created_at) VALUES ",
        );
        for (n, job) in some.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ", (" });
            push_values(&mut sql, job);
            sql.push(")");
        }
        sql.push(" ON CONFLICT DO NOTHING RETURNING id");
        let new: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
        stored.extend(new.into_iter().map(|(id,)| JobId::from_uuid(id)));
    }
    let mut tally = Tally::default();
    if let [job] = jobs {
        if !stored.is_empty() {
            tally.moved(&job.queue, None, Some(State::Available));
        }
    } else {
        let new: std::collections::HashSet<JobId> = stored.iter().copied().collect();
        for job in jobs.iter().filter(|job| new.contains(&job.id)) {
            tally.moved(&job.queue, None, Some(State::Available));
        }
    }
    tally.write(tx).await?;
    Ok(stored)
}

fn push_values(sql: &mut SqlBuilder, job: &NewJob) {
    sql.value(job.id.as_uuid()).push(", ");
    sql.value(job.tenant.map(|tenant| tenant.as_uuid())).push(", ");
    sql.value(lane(job.tenant)).push(", ");
    sql.value(job.queue.clone()).push(", ");
    sql.value(job.name.clone()).push(", ");
    sql.value(i64::from(job.version)).push(", ");
    sql.value(job.payload.clone()).push(", 'available', ");
    sql.value(job.run_at).push(", 0, ");
    sql.value(i64::from(job.attempts_max)).push(", ");
    sql.value(job.timeout_ms).push(", ");
    sql.value(job.key.clone()).push(", ");
    sql.value(i64::from(job.key_limit)).push(", ");
    sql.value(job.unique_key.clone()).push(", ");
    sql.value(job.unique_key.is_some()).push(", ");
    sql.value(job.unique_until).push(", 0, ");
    sql.value(false).push(", '[]', ");
    sql.value(job.traceparent.clone()).push(", ");
    sql.value(job.schedule.map(|(id, _)| id.as_uuid())).push(", ");
    sql.value(job.schedule.and_then(|(_, slot)| slot)).push(", ");
    sql.value(job.created_at);
}

/// A finished job that holds a unique key whose time is over lets go of it; tells whether one did.
pub(crate) async fn release_unique(
    tx: &mut Tx,
    tenant: Option<TenantId>,
    unique_key: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let released = tx
        .q("UPDATE jobs SET is_unique = $1 WHERE lane = $2 AND unique_key = $3 AND is_unique
            AND finished_at IS NOT NULL AND (unique_until IS NULL OR unique_until <= $4)")
        .bind(false)
        .bind(lane(tenant))
        .bind(unique_key.to_owned())
        .bind(now)
        .run()
        .await?;
    Ok(released > 0)
}

/// The job that holds a unique key.
pub(crate) async fn find_unique(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    unique_key: &str,
) -> Result<Option<JobId>, Error> {
    let id: Option<Uuid> = conn
        .q("SELECT id FROM jobs WHERE lane = $1 AND unique_key = $2 AND is_unique")
        .bind(lane(tenant))
        .bind(unique_key.to_owned())
        .scalar_opt()
        .await?;
    Ok(id.map(JobId::from))
}

/// The jobs that hold these unique keys, by key.
pub(crate) async fn find_all_unique(
    conn: &mut Conn,
    tenant: Option<TenantId>,
    unique_keys: &[String],
) -> Result<HashMap<String, JobId>, Error> {
    let mut found = HashMap::with_capacity(unique_keys.len());
    for some in unique_keys.chunks(INSERTED_AT_ONCE) {
        let mut sql = conn.builder("SELECT unique_key, id FROM jobs WHERE lane = ");
        sql.value(lane(tenant)).push(" AND is_unique AND unique_key IN ").list(some.iter().cloned());
        let rows: Vec<(String, Uuid)> = conn.q_build(sql).all().await?;
        found.extend(rows.into_iter().map(|(key, id)| (key, JobId::from_uuid(id))));
    }
    Ok(found)
}

/// Whether a slot of a schedule has its job.
pub(crate) async fn has_slot(
    conn: &mut Conn,
    schedule: ScheduleId,
    slot: DateTime<Utc>,
) -> Result<bool, Error> {
    let found: Option<Uuid> = conn
        .q("SELECT id FROM jobs WHERE schedule_id = $1 AND slot = $2")
        .bind(schedule.as_uuid())
        .bind(slot)
        .scalar_opt()
        .await?;
    Ok(found.is_some())
}

/// Restricts to what `scope` sees.
pub(super) fn push_scope(sql: &mut SqlBuilder, scope: Scope) {
    if let Some(tenant) = scope.tenant() {
        sql.push(" AND tenant_id = ").value(tenant.as_uuid());
    }
}

pub(crate) async fn find(conn: &mut Conn, scope: Scope, id: JobId) -> Result<Option<JobRecord>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(LARGE).push(" FROM jobs WHERE id = ").value(id.as_uuid());
    push_scope(&mut sql, scope);
    conn.q_build(sql).opt::<JobRow>().await?.map(JobRecord::try_from).transpose()
}

const ORDER: &str = "id.desc";

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    query: &JobQuery,
) -> Result<Page<JobSummary>, JobsError> {
    let mut sql = conn.builder("");
    push_list(&mut sql, scope, query)?;
    let limit = usize::from(query.limit.get());
    let rows = conn.q_build(sql).all::<ListRow>().await?;
    let mut items = rows.into_iter().map(JobSummary::try_from).collect::<Result<Vec<_>, _>>()?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| Cursor {
        order: ORDER.to_owned(),
        key: Value::String(String::new()),
        id: last.id.as_uuid(),
    });
    Ok(Page { items, next_cursor: next, total: None })
}

/// A page of jobs and one more. How it is read matters more than what it says: see the tests.
fn push_list(sql: &mut SqlBuilder, scope: Scope, query: &JobQuery) -> Result<(), JobsError> {
    let after = query.cursor.as_deref().map(|text| Cursor::decode(text, ORDER)).transpose()?;
    sql.push("SELECT ").push(COLUMNS).push(" FROM jobs WHERE ");
    match after {
        Some(cursor) => sql.push("id < ").value(cursor.id),
        None => sql.push("id IS NOT NULL"),
    };
    // Few jobs are in any state but one. SQLite does not know, and a plus keeps it from the index of the column.
    let few = query.state.is_some_and(|state| state != State::Completed);
    let push_column = |sql: &mut SqlBuilder, pg: &'static str, apart: &'static str, few: bool| {
        sql.push_sql(Sql::Per { pg, lite: if few { apart } else { pg } });
    };
    if let Some(tenant) = scope.tenant() {
        // The dead letters of a tenant have an index of their own.
        let few = few && query.state != Some(State::Discarded);
        push_column(sql, " AND tenant_id = ", " AND +tenant_id = ", few);
        sql.value(tenant.as_uuid());
    }
    if let Some(state) = query.state {
        // As text: of a parameter no engine knows which index by state it is about.
        sql.push(match state {
            State::Available => " AND state = 'available'",
            State::Leased => " AND state = 'leased'",
            State::Retryable => " AND state = 'retryable'",
            State::Completed => " AND state = 'completed'",
            State::Discarded => " AND state = 'discarded'",
            State::Cancelled => " AND state = 'cancelled'",
        });
    }
    for (column, apart, text) in
        [(" AND queue = ", " AND +queue = ", &query.queue), (" AND name = ", " AND +name = ", &query.name)]
    {
        if let Some(text) = text {
            push_column(sql, column, apart, few);
            // No stored text has a NUL, and PostgreSQL takes none.
            sql.value(text.replace('\0', "\u{fffd}"));
        }
    }
    if let Some(schedule) = query.schedule_id {
        sql.push(" AND schedule_id = ").value(schedule.as_uuid());
    }
    sql.push(" ORDER BY id DESC").limit(i64::from(query.limit.get()) + 1);
    Ok(())
}

/// Moves a job by hand: waiting ones to `cancelled`, finished ones to `available`. `false` when the row was not in `from`.
pub(crate) async fn set_state(
    tx: &mut Tx,
    job: &JobRecord,
    to: State,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let finished_at = to.is_finished().then_some(now);
    // Asked for once more, it begins anew, and is what no other may be the same as.
    let is_anew = to == State::Available;
    let is_unique = is_anew && job.unique_key.is_some();
    let is_new_run = is_anew && job.checkpoint.as_ref().is_some_and(is_all_undone);
    let mut sql = tx.builder("UPDATE jobs SET state = ");
    sql.value(to.as_str()).push(", run_at = ").value(if to.is_finished() { job.run_at } else { now });
    if is_anew {
        sql.push(", attempt = 0, handed_back = 0, losses = 0");
    }
    sql.push(", finished_at = ").value(finished_at);
    sql.push(", cancel_requested = ").value(false).push(", is_unique = ").value(is_unique);
    sql.push(", is_parked = ").value(false);
    if is_new_run {
        sql.push(", checkpoint = NULL");
    }
    sql.push(" WHERE id = ").value(job.id.as_uuid()).push(" AND state = ").value(job.state.as_str());
    let moved = tx.q_build(sql).run().await? == 1;
    if moved {
        let mut tally = Tally::default();
        tally.moved(&job.queue, Some(job.state), Some(to));
        tally.write(tx).await?;
    }
    Ok(moved)
}

/// Asks the worker of a leased job to stop.
pub(crate) async fn request_cancel(tx: &mut Tx, id: JobId) -> Result<bool, Error> {
    let asked = tx
        .q("UPDATE jobs SET cancel_requested = $1 WHERE id = $2 AND state = 'leased'")
        .bind(true)
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(asked == 1)
}

/// Changes the payload of a job that nobody is working on.
pub(crate) async fn set_payload(tx: &mut Tx, id: JobId, payload: String) -> Result<bool, Error> {
    let changed = tx
        .q("UPDATE jobs SET payload = $1 WHERE id = $2 AND state <> 'leased'")
        .bind(payload)
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(changed == 1)
}

/// Writes what a leased job leaves for its next attempt; tells whether the lease still holds.
pub(crate) async fn set_checkpoint(
    tx: &mut Tx,
    lease: super::claim::Lease,
    checkpoint: String,
) -> Result<bool, Error> {
    let written = tx
        .q("UPDATE jobs SET checkpoint = $1 WHERE id = $2 AND lease_token = $3 AND state = 'leased'")
        .bind(checkpoint)
        .bind(lease.id.as_uuid())
        .bind(lease.token)
        .run()
        .await?;
    Ok(written == 1)
}

/// Writes how far a leased job is; tells whether the lease still holds.
pub(crate) async fn set_progress(
    tx: &mut Tx,
    lease: super::claim::Lease,
    progress: String,
) -> Result<bool, Error> {
    let written = tx
        .q("UPDATE jobs SET progress = $1 WHERE id = $2 AND lease_token = $3 AND state = 'leased'")
        .bind(progress)
        .bind(lease.id.as_uuid())
        .bind(lease.token)
        .run()
        .await?;
    Ok(written == 1)
}

#[cfg(test)]
mod plans;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What stands in a column of JSON that nobody has checked.
    fn any_text() -> impl Strategy<Value = Option<String>> {
        let json = r#"(\{"percent":[0-9]{1,4},"note":(null|"[a-z]*")\}|\[\{"attempt":-?[0-9]{1,12}\}?\]|-?[0-9]{1,30}e?[0-9]*)"#;
        proptest::option::of(prop_oneof![any::<String>(), json.prop_map(String::from)])
    }

    #[test]
    fn lists_read_no_column_that_may_be_large() {
        for large in LARGE.split(',').map(str::trim).filter(|column| !column.is_empty()) {
            assert!(!COLUMNS.split(',').any(|column| column.trim() == large), "{large}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_job_rows_are_shown_whatever_stands_in_them(
            payload: String, progress in any_text(), checkpoint in any_text(), result in any_text(), errors in any_text(),
            number: i64, text: String,
        ) {
            let known = |state: &str| ListRow {
                id: Uuid::nil(),
                tenant_id: None,
                queue: text.clone(),
                name: text.clone(),
                version: number,
                state: state.to_owned(),
                run_at: DateTime::UNIX_EPOCH,
                attempt: number,
                attempts_max: number,
                key: None,
                unique_key: None,
                worker: None,
                cancel_requested: false,
                progress: progress.clone(),
                errors: errors.clone().unwrap_or_default(),
                traceparent: None,
                schedule_id: None,
                slot: None,
                created_at: DateTime::UNIX_EPOCH,
                claimed_at: None,
                finished_at: None,
            };
            let row = |state: &str| JobRow {
                known: known(state),
                payload: payload.clone(),
                checkpoint: checkpoint.clone(),
                result: result.clone(),
            };
            let record = JobRecord::try_from(row("completed")).unwrap();
            if serde_json::from_str::<Value>(&payload).is_err() {
                prop_assert_eq!(record.payload, Value::String(payload.clone()));
            }
            let is_state = text.parse::<State>().is_ok();
            prop_assert_eq!(JobRecord::try_from(row(&text)).is_ok(), is_state);
        }
    }
}
