use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde_json::Value;
use stylobate_core::{Direction, JobId, Page, ScheduleId, TenantId};
use stylobate_db::{Conn, Engine, Error, Keyset, KeysetKey, Scope, Tx};
use uuid::Uuid;

use super::{
    jobs::{bad_row, push_scope, small},
    lane,
};
use crate::{CatchUp, JobsError, Overdue, Overlap, Schedule, ScheduleCounts, ScheduleQuery, Timing};

const COLUMNS: &str = "id, tenant_id, name, job, job_version, payload, timing, catch_up, catch_up_most, overlap, is_enabled, \
     next_run_at, last_slot, last_job_id, skipped, version, created_at, updated_at";

#[derive(sqlx::FromRow)]
struct ScheduleRow {
    id: Uuid,
    tenant_id: Option<Uuid>,
    name: String,
    job: String,
    job_version: i64,
    payload: String,
    timing: String,
    catch_up: String,
    catch_up_most: Option<i64>,
    overlap: String,
    is_enabled: bool,
    next_run_at: Option<DateTime<Utc>>,
    last_slot: Option<DateTime<Utc>>,
    last_job_id: Option<Uuid>,
    skipped: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ScheduleRow {
    /// For those who serve it: only if it is whole.
    fn whole(self) -> Result<Schedule, Error> {
        let id = self.id;
        serde_json::from_str::<IgnoredAny>(&self.payload)
            .map_err(|error| bad_row("schedules.payload", id, error))?;
        serde_json::from_str::<Timing>(&self.timing)
            .map_err(|error| bad_row("schedules.timing", id, error))?;
        Ok(self.into())
    }
}

impl From<ScheduleRow> for Schedule {
    /// For those who look at it: as far as it is whole.
    fn from(row: ScheduleRow) -> Self {
        let mut unreadable = Vec::new();
        let payload = serde_json::from_str(&row.payload).unwrap_or_else(|_| {
            unreadable.push("payload");
            Value::String(row.payload)
        });
        let timing = serde_json::from_str(&row.timing).unwrap_or_else(|_| {
            unreadable.push("timing");
            Timing::Unreadable { text: row.timing }
        });
        Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.map(TenantId::from),
            name: row.name,
            job: row.job,
            job_version: small(row.job_version),
            payload,
            timing,
            unreadable,
            catch_up: match row.catch_up.as_str() {
                "skip" => CatchUp::Skip,
                "one" => CatchUp::One,
                _ => CatchUp::All { most: small(row.catch_up_most.unwrap_or(1)) },
            },
            overlap: if row.overlap == "skip" { Overlap::Skip } else { Overlap::Allow },
            is_enabled: row.is_enabled,
            next_run_at: row.next_run_at,
            last_slot: row.last_slot,
            last_job_id: row.last_job_id.map(JobId::from),
            skipped: row.skipped,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn catch_up_columns(catch_up: CatchUp) -> (&'static str, Option<i64>) {
    match catch_up {
        CatchUp::Skip => ("skip", None),
        CatchUp::One => ("one", None),
        CatchUp::All { most } => ("all", Some(i64::from(most))),
    }
}

fn overlap_column(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Allow => "allow",
        Overlap::Skip => "skip",
    }
}

/// Writing a timing as JSON cannot fail: it is texts and numbers.
fn timing_column(schedule: &Schedule) -> String {
    serde_json::to_string(&schedule.timing).unwrap_or_default()
}

pub(crate) async fn insert(tx: &mut Tx, schedule: &Schedule) -> Result<(), Error> {
    let mut sql = tx.builder(
        "INSERT INTO schedules (id, tenant_id, lane, name, job, job_version, payload, timing, catch_up, catch_up_most, \
         overlap, is_enabled, next_run_at, last_slot, last_job_id, skipped, version, created_at, updated_at) VALUES (",
    );
    let (catch_up, most) = catch_up_columns(schedule.catch_up);
    sql.value(schedule.id.as_uuid()).push(", ");
    sql.value(schedule.tenant_id.map(|tenant| tenant.as_uuid())).push(", ");
    sql.value(lane(schedule.tenant_id)).push(", ");
    sql.value(schedule.name.clone()).push(", ");
    sql.value(schedule.job.clone()).push(", ");
    sql.value(i64::from(schedule.job_version)).push(", ");
    sql.value(schedule.payload.to_string()).push(", ");
    sql.value(timing_column(schedule)).push(", ");
    sql.value(catch_up).push(", ").value(most).push(", ");
    sql.value(overlap_column(schedule.overlap)).push(", ");
    sql.value(schedule.is_enabled).push(", ");
    sql.value(schedule.next_run_at).push(", NULL, NULL, 0, ");
    sql.value(schedule.version).push(", ");
    sql.value(schedule.created_at).push(", ").value(schedule.updated_at).push(")");
    tx.q_build(sql).run().await?;
    Ok(())
}

/// Writes an edit of the version before; `false` when there was another one meanwhile. Where the slots are is written only
/// with `moves`, so that an edit of anything else does not undo what a scheduler did.
pub(crate) async fn update(tx: &mut Tx, schedule: &Schedule, moves: bool) -> Result<bool, Error> {
    let (catch_up, most) = catch_up_columns(schedule.catch_up);
    let mut sql = tx.builder("UPDATE schedules SET name = ");
    sql.value(schedule.name.clone()).push(", job = ").value(schedule.job.clone());
    sql.push(", job_version = ").value(i64::from(schedule.job_version));
    // What could not be read stays as it is stored until it is replaced.
    if !schedule.unreadable.contains(&"payload") {
        sql.push(", payload = ").value(schedule.payload.to_string());
    }
    if !schedule.unreadable.contains(&"timing") {
        sql.push(", timing = ").value(timing_column(schedule));
    }
    sql.push(", catch_up = ").value(catch_up).push(", catch_up_most = ").value(most);
    sql.push(", overlap = ").value(overlap_column(schedule.overlap));
    sql.push(", is_enabled = ").value(schedule.is_enabled);
    if moves {
        sql.push(", next_run_at = ").value(schedule.next_run_at);
    }
    sql.push(", version = ").value(schedule.version).push(", updated_at = ").value(schedule.updated_at);
    sql.push(" WHERE id = ").value(schedule.id.as_uuid());
    sql.push(" AND version = ").value(schedule.version - 1);
    Ok(tx.q_build(sql).run().await? == 1)
}

pub(crate) async fn delete(tx: &mut Tx, id: ScheduleId, version: i64) -> Result<bool, Error> {
    let deleted = tx
        .q("DELETE FROM schedules WHERE id = $1 AND version = $2")
        .bind(id.as_uuid())
        .bind(version)
        .run()
        .await?;
    Ok(deleted == 1)
}

/// Deletes up to `most` schedules of a tenant. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, tenant: Uuid, most: i64) -> Result<u64, Error> {
    // The lane says the same, and has an index.
    tx.q("DELETE FROM schedules WHERE id IN \
          (SELECT id FROM schedules WHERE lane = $1 AND tenant_id = $1 ORDER BY name LIMIT 0 + $2)")
        .bind(tenant)
        .bind(most)
        .run()
        .await
}

/// Notes the job that a schedule asked for last.
pub(crate) async fn set_last_job(tx: &mut Tx, id: ScheduleId, job: JobId) -> Result<(), Error> {
    tx.q("UPDATE schedules SET last_job_id = $1 WHERE id = $2")
        .bind(job.as_uuid())
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(())
}

pub(crate) async fn find(conn: &mut Conn, scope: Scope, id: ScheduleId) -> Result<Option<Schedule>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM schedules WHERE id = ").value(id.as_uuid());
    push_scope(&mut sql, scope);
    conn.q_build(sql).opt::<ScheduleRow>().await.map(|row| row.map(Schedule::from))
}

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    query: &ScheduleQuery,
) -> Result<Page<Schedule>, JobsError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("name", "name", "id", false, Direction::Asc, query.limit, cursor)?;
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM schedules WHERE id IS NOT NULL");
    push_scope(&mut sql, scope);
    if let Some(is_enabled) = query.is_enabled {
        sql.push(" AND is_enabled = ").value(is_enabled);
    }
    if let Some(job) = &query.job {
        // No stored text has a NUL, and PostgreSQL takes none.
        sql.push(" AND job = ").value(job.replace('\0', "\u{fffd}"));
    }
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<ScheduleRow>().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Text(row.name.clone()), row.id));
    Ok(page.map(Schedule::from))
}

pub(crate) async fn count(conn: &mut Conn) -> Result<ScheduleCounts, Error> {
    let rows: Vec<(bool, i64)> =
        conn.q("SELECT is_enabled, count(*) FROM schedules GROUP BY is_enabled").all().await?;
    let of = |enabled| rows.iter().find(|row| row.0 == enabled).map_or(0, |row| row.1.unsigned_abs());
    Ok(ScheduleCounts { enabled: of(true), disabled: of(false) })
}

/// A place in the order in which schedules are due.
pub(crate) type DuePlace = (DateTime<Utc>, Uuid);

/// Up to `most` schedules that are due at `now`, after `place`; each with its place, and unreadable ones as errors.
pub(crate) async fn due(
    conn: &mut Conn,
    now: DateTime<Utc>,
    place: Option<DuePlace>,
    most: i64,
) -> Result<Vec<(DuePlace, Result<Schedule, Error>)>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM schedules WHERE next_run_at IS NOT NULL AND next_run_at <= ").value(now);
    if let Some((time, id)) = place {
        sql.push(" AND (next_run_at, id) > (").value(time).push(", ").value(id).push(")");
    }
    sql.push(" ORDER BY next_run_at, id").limit(most);
    let rows = conn.q_build(sql).all::<ScheduleRow>().await?;
    Ok(rows.into_iter().map(|row| ((row.next_run_at.unwrap_or(now), row.id), row.whole())).collect())
}

/// Up to `most` schedules whose next slot is after `time`, after `place`; unreadable ones are left out.
pub(crate) async fn far(
    conn: &mut Conn,
    time: DateTime<Utc>,
    place: Option<DuePlace>,
    most: i64,
) -> Result<(Vec<Schedule>, Option<DuePlace>), Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM schedules WHERE next_run_at IS NOT NULL AND next_run_at > ").value(time);
    if let Some((time, id)) = place {
        sql.push(" AND (next_run_at, id) > (").value(time).push(", ").value(id).push(")");
    }
    sql.push(" ORDER BY next_run_at, id").limit(most);
    let rows = conn.q_build(sql).all::<ScheduleRow>().await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows == most);
    let place = rows.last().filter(|_| is_full).and_then(|row| Some((row.next_run_at?, row.id)));
    Ok((rows.into_iter().filter_map(|row| row.whole().ok()).collect(), place))
}

/// When the first schedule that is not due at `now` will be.
pub(crate) async fn next_due(conn: &mut Conn, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
    conn.q("SELECT next_run_at FROM schedules WHERE next_run_at > $1 ORDER BY next_run_at LIMIT 1")
        .bind(now)
        .scalar_opt()
        .await
}

/// Up to a thousand schedules that have been due since `before`.
pub(crate) async fn overdue(conn: &mut Conn, before: DateTime<Utc>) -> Result<Vec<Overdue>, Error> {
    type Row = (Uuid, Option<Uuid>, String, String, DateTime<Utc>);
    let rows: Vec<Row> = conn
        .q("SELECT id, tenant_id, name, job, next_run_at FROM schedules WHERE next_run_at <= $1
            ORDER BY next_run_at, id LIMIT 1000")
        .bind(before)
        .all()
        .await?;
    let overdue = rows.into_iter().map(|(id, tenant, name, job, next_run_at)| Overdue {
        id: id.into(),
        tenant_id: tenant.map(TenantId::from),
        name,
        job,
        next_run_at,
    });
    Ok(overdue.collect())
}

/// How many schedules have been due since `before`, and since when the first.
#[cfg(feature = "metrics")]
pub(crate) async fn count_overdue(
    conn: &mut Conn,
    before: DateTime<Utc>,
) -> Result<(u64, Option<DateTime<Utc>>), Error> {
    let (count, first): (i64, Option<DateTime<Utc>>) = conn
        .q("SELECT count(*), min(next_run_at) FROM schedules WHERE next_run_at <= $1")
        .bind(before)
        .one()
        .await?;
    Ok((count.unsigned_abs(), first))
}

/// Which of these schedules have a job that has not finished.
pub(crate) async fn unfinished(conn: &mut Conn, ids: &[Uuid]) -> Result<HashSet<ScheduleId>, Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = conn.builder(
        "SELECT DISTINCT schedule_id FROM jobs WHERE schedule_id IS NOT NULL AND finished_at IS NULL AND schedule_id IN ",
    );
    sql.list(ids.iter().copied());
    let rows: Vec<(Uuid,)> = conn.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// What a scheduler has decided about a schedule, from a slot on.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) id: ScheduleId,
    /// The edit that it decided on.
    pub(crate) version: i64,
    /// The slot.
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: Option<DateTime<Utc>>,
    pub(crate) last_slot: Option<DateTime<Utc>>,
    pub(crate) last_job: Option<JobId>,
    pub(crate) skipped: i64,
}

/// Claims slots: moves each schedule on if it still is where it was. Returns those that were moved. Who has the row of one locked
/// decides on it, or leaves it as it is; nobody waits for that, least of all the other schedules.
pub(crate) async fn claim(tx: &mut Tx, moves: &[Moved]) -> Result<HashSet<ScheduleId>, Error> {
    let mut sql =
        tx.builder("WITH moved (id, version, slot, next, last_slot, last_job, skipped) AS (VALUES ");
    for (n, one) in moves.iter().enumerate() {
        sql.push(if n == 0 { "(" } else { ", (" });
        sql.value(one.id.as_uuid()).push(", ").value(one.version).push(", ");
        sql.value(one.from).push(", ").value(one.to).push(", ").value(one.last_slot).push(", ");
        sql.value(one.last_job.map(|job| job.as_uuid())).push(", ").value(one.skipped).push(")");
    }
    let free = match tx.engine() {
        Engine::Postgres => {
            "), free (id) AS (SELECT id FROM schedules WHERE id IN (SELECT id FROM moved) ORDER BY id FOR UPDATE SKIP LOCKED"
        }
        Engine::Sqlite => "), free (id) AS (SELECT id FROM moved",
    };
    sql.push(free);
    sql.push(
        ") UPDATE schedules SET next_run_at = moved.next, last_slot = COALESCE(moved.last_slot, schedules.last_slot), \
         last_job_id = COALESCE(moved.last_job, schedules.last_job_id), skipped = schedules.skipped + moved.skipped \
         FROM moved WHERE schedules.id = moved.id AND schedules.version = moved.version \
         AND schedules.next_run_at = moved.slot AND schedules.id IN (SELECT id FROM free) RETURNING schedules.id",
    );
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}
