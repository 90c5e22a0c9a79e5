use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stylobate::{
    jobs::{
        CatchUp, NewSchedule, Overdue, Overlap, Schedule, ScheduleChange, ScheduleCounts, State, Ticked,
        Timing,
    },
    middleware::{ApiError, ApiResult},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What a schedule says about its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScheduleType {
    Interval,
    Cron,
    Once,
    /// Of a damaged row; nobody can ask for it.
    #[serde(skip_deserializing)]
    Unreadable,
}

impl ScheduleType {
    fn of(timing: &Timing) -> Self {
        match timing {
            Timing::Interval { .. } => Self::Interval,
            Timing::Cron { .. } => Self::Cron,
            Timing::Once { .. } => Self::Once,
            Timing::Unreadable { .. } => Self::Unreadable,
        }
    }
}

/// What is done about missed times, without how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CatchUpKind {
    Skip,
    One,
    All,
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TaskView {
    id: Uuid,
    /// Whose it is; `null` is the platform's.
    organization_id: Option<Uuid>,
    /// What people call it.
    name: String,
    /// The kind of its jobs.
    task_name: String,
    /// `interval`, `cron` or `once`; `unreadable` when what is stored is none of these.
    #[schema(value_type = String)]
    schedule_type: ScheduleType,
    /// Of `interval`: every so often.
    interval_seconds: Option<u32>,
    /// Of `cron`: at the times it names.
    cron_expression: Option<String>,
    /// Of `cron`: on the clocks of this time zone.
    time_zone: Option<String>,
    /// Of `once`: when.
    run_at: Option<DateTime<Utc>>,
    /// Always empty: jobs are told what they need to know by name.
    #[schema(value_type = Vec<Object>)]
    args_json: Vec<Value>,
    /// What its jobs need to know; empty when what is stored cannot be read.
    #[schema(value_type = Object)]
    kwargs_json: Value,
    /// Which of `schedule_type` and `kwargs_json` cannot be read as they are stored: the row is damaged, and asks for nothing until
    /// they are replaced. It can be removed.
    unreadable: Vec<&'static str>,
    enabled: bool,
    /// What is done about times that were missed because no scheduler ran: `skip`, `one` or `all`.
    #[schema(value_type = String)]
    catch_up: CatchUpKind,
    /// Of `all`: the latest so many.
    catch_up_max: Option<u16>,
    /// Whether a job is asked for while an earlier one has not finished: `allow` or `skip`.
    #[schema(value_type = String)]
    overlap: Overlap,
    /// The next time; `null` when it is disabled or has none.
    next_run_at: Option<DateTime<Utc>>,
    /// The latest time that it asked for a job at.
    last_run_at: Option<DateTime<Utc>>,
    /// The job that it asked for last.
    last_job_id: Option<Uuid>,
    /// How many times were left out.
    skipped: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Schedule> for TaskView {
    fn from(schedule: Schedule) -> Self {
        let (catch_up, catch_up_max) = match schedule.catch_up {
            CatchUp::Skip => (CatchUpKind::Skip, None),
            CatchUp::One => (CatchUpKind::One, None),
            CatchUp::All { most } => (CatchUpKind::All, Some(most)),
        };
        let schedule_type = ScheduleType::of(&schedule.timing);
        let (mut interval_seconds, mut cron_expression, mut time_zone, mut run_at) = (None, None, None, None);
        match schedule.timing {
            Timing::Interval { seconds } => interval_seconds = Some(seconds),
            Timing::Cron { expression, time_zone: zone } => {
                (cron_expression, time_zone) = (Some(expression), Some(zone));
            }
            Timing::Once { at } => run_at = Some(at),
            Timing::Unreadable { .. } => {}
        }
        let field =
            |column: &&'static str| if *column == "payload" { "kwargs_json" } else { "schedule_type" };
        let unreadable: Vec<_> = schedule.unreadable.iter().map(field).collect();
        let kwargs_json = match schedule.unreadable.contains(&"payload") {
            true => Value::Object(Map::new()),
            false => schedule.payload,
        };
        Self {
            id: schedule.id.as_uuid(),
            organization_id: schedule.tenant_id.map(|tenant| tenant.as_uuid()),
            name: schedule.name,
            task_name: schedule.job,
            schedule_type,
            interval_seconds,
            cron_expression,
            time_zone,
            run_at,
            args_json: Vec::new(),
            kwargs_json,
            unreadable,
            enabled: schedule.is_enabled,
            catch_up,
            catch_up_max,
            overlap: schedule.overlap,
            next_run_at: schedule.next_run_at,
            last_run_at: schedule.last_slot,
            last_job_id: schedule.last_job_id.map(|job| job.as_uuid()),
            skipped: schedule.skipped,
            version: schedule.version,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskFilter {
    /// Only those that are enabled, or are not.
    pub(super) enabled: Option<bool>,
    /// Only those of this kind of job.
    pub(super) task_name: Option<String>,
}

fn enabled() -> bool {
    true
}

/// A schedule to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskInput {
    /// 1 to 128 characters; unique among those of the platform.
    name: String,
    /// A kind of job that this program knows.
    task_name: String,
    /// `interval` (the default), `cron` or `once`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    schedule_type: Option<ScheduleType>,
    /// Of `interval`: 1 to 31622400 (a year); 3600 unless told otherwise.
    #[serde(default)]
    interval_seconds: Option<u32>,
    /// Of `cron`: five fields, or six with seconds first; `@hourly`, `@daily` and the like.
    #[serde(default)]
    cron_expression: Option<String>,
    /// Of `cron`: `UTC` unless told otherwise.
    #[serde(default)]
    time_zone: Option<String>,
    /// Of `once`: in the future.
    #[serde(default)]
    run_at: Option<DateTime<Utc>>,
    /// Empty: jobs are told what they need to know by name.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    args_json: Option<Vec<Value>>,
    /// What its jobs need to know.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    kwargs_json: Option<Map<String, Value>>,
    #[serde(default = "enabled")]
    enabled: bool,
    /// What is done about times that were missed because no scheduler ran: `skip`, `one` (the default) or `all`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    catch_up: Option<CatchUpKind>,
    /// Of `all`: the latest so many, 1 to 1000; 10 unless told otherwise.
    #[serde(default)]
    catch_up_max: Option<u16>,
    /// Whether a job is asked for while an earlier one has not finished: `allow` (the default) or `skip`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    overlap: Option<Overlap>,
}

/// What is to be changed about a schedule; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TaskPatch {
    name: Option<String>,
    task_name: Option<String>,
    /// `interval`, `cron` or `once`.
    #[schema(value_type = Option<String>)]
    schedule_type: Option<ScheduleType>,
    interval_seconds: Option<u32>,
    cron_expression: Option<String>,
    time_zone: Option<String>,
    run_at: Option<DateTime<Utc>>,
    /// Empty: jobs are told what they need to know by name.
    #[schema(value_type = Option<Vec<Object>>)]
    args_json: Option<Vec<Value>>,
    /// All of what its jobs need to know.
    #[schema(value_type = Option<Object>)]
    kwargs_json: Option<Map<String, Value>>,
    /// Whether it asks for jobs. What it would have asked for while it was disabled is not caught up on.
    enabled: Option<bool>,
    /// `skip`, `one` or `all`.
    #[schema(value_type = Option<String>)]
    catch_up: Option<CatchUpKind>,
    catch_up_max: Option<u16>,
    /// `allow` or `skip`.
    #[schema(value_type = Option<String>)]
    overlap: Option<Overlap>,
    /// The version that was read; another one in the database refuses the change.
    pub(super) version: Option<i64>,
}

impl TaskInput {
    pub(super) fn into_new(self) -> ApiResult<NewSchedule> {
        no_positions(self.args_json.as_deref())?;
        let times = Times {
            schedule_type: Some(self.schedule_type.unwrap_or(ScheduleType::Interval)),
            interval_seconds: self.interval_seconds,
            cron_expression: self.cron_expression,
            time_zone: self.time_zone,
            run_at: self.run_at,
        };
        let payload = Value::Object(self.kwargs_json.unwrap_or_default());
        let catch_up = caught_up(self.catch_up, self.catch_up_max, CatchUp::default())?;
        Ok(NewSchedule {
            catch_up: catch_up.unwrap_or_default(),
            overlap: self.overlap.unwrap_or_default(),
            is_enabled: self.enabled,
            ..NewSchedule::new(self.name, self.task_name, payload, times.timing(None)?)
        })
    }
}

impl TaskPatch {
    pub(super) fn into_change(self, before: &Schedule) -> ApiResult<ScheduleChange> {
        no_positions(self.args_json.as_deref())?;
        let times = Times {
            schedule_type: self.schedule_type,
            interval_seconds: self.interval_seconds,
            cron_expression: self.cron_expression,
            time_zone: self.time_zone,
            run_at: self.run_at,
        };
        Ok(ScheduleChange {
            name: self.name,
            job: self.task_name,
            payload: self.kwargs_json.map(Value::Object),
            timing: match times {
                Times::NOTHING => None,
                times => Some(times.timing(Some(&before.timing))?),
            },
            catch_up: caught_up(self.catch_up, self.catch_up_max, before.catch_up)?,
            overlap: self.overlap,
            is_enabled: self.enabled,
        })
    }
}

/// The schedules of older systems passed arguments by position.
fn no_positions(arguments: Option<&[Value]>) -> ApiResult<()> {
    match arguments {
        Some([_, ..]) => {
            Err(ApiError::field("args_json", "unsupported", "is empty: jobs are told by `kwargs_json`"))
        }
        _ => Ok(()),
    }
}

/// How many missed times run with `all`, unless told otherwise.
const CATCH_UP_MAX: u16 = 10;

fn caught_up(kind: Option<CatchUpKind>, most: Option<u16>, before: CatchUp) -> ApiResult<Option<CatchUp>> {
    let known = match before {
        CatchUp::All { most } => Some(most),
        CatchUp::Skip | CatchUp::One => None,
    };
    Ok(match (kind, most) {
        (None, None) => None,
        (Some(CatchUpKind::All), most) => Some(CatchUp::All { most: most.or(known).unwrap_or(CATCH_UP_MAX) }),
        (None, Some(most)) if known.is_some() => Some(CatchUp::All { most }),
        (_, Some(_)) => {
            return Err(ApiError::field("catch_up_max", "unsupported", "is only for a `catch_up` of `all`"));
        }
        (Some(CatchUpKind::Skip), None) => Some(CatchUp::Skip),
        (Some(CatchUpKind::One), None) => Some(CatchUp::One),
    })
}

/// The fields that make up a timing.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    schedule_type: Option<ScheduleType>,
    interval_seconds: Option<u32>,
    cron_expression: Option<String>,
    time_zone: Option<String>,
    run_at: Option<DateTime<Utc>>,
}

impl Times {
    const NOTHING: Self = Self {
        schedule_type: None,
        interval_seconds: None,
        cron_expression: None,
        time_zone: None,
        run_at: None,
    };
    /// An hour, as in the systems that had nothing but intervals.
    const INTERVAL_SECONDS: u32 = 3_600;

    /// What they come to, those that are left out being as `before`.
    fn timing(self, before: Option<&Timing>) -> ApiResult<Timing> {
        // What cannot be read says nothing about what is left out.
        let before = before.filter(|timing| !matches!(timing, Timing::Unreadable { .. }));
        let kind = self.schedule_type.or(before.map(ScheduleType::of)).unwrap_or(ScheduleType::Interval);
        for (field, is_given, of) in [
            ("interval_seconds", self.interval_seconds.is_some(), ScheduleType::Interval),
            ("cron_expression", self.cron_expression.is_some(), ScheduleType::Cron),
            ("time_zone", self.time_zone.is_some(), ScheduleType::Cron),
            ("run_at", self.run_at.is_some(), ScheduleType::Once),
        ] {
            if is_given && of != kind {
                return Err(ApiError::field(field, "unsupported", "is of another `schedule_type`"));
            }
        }
        Ok(match kind {
            ScheduleType::Interval => {
                let known = match before {
                    Some(Timing::Interval { seconds }) => *seconds,
                    _ => Self::INTERVAL_SECONDS,
                };
                Timing::Interval { seconds: self.interval_seconds.unwrap_or(known) }
            }
            ScheduleType::Cron => {
                let (expression, zone) = match before {
                    Some(Timing::Cron { expression, time_zone }) => {
                        (Some(expression.clone()), time_zone.clone())
                    }
                    _ => (None, "UTC".to_owned()),
                };
                let missing = || ApiError::field("cron_expression", "required", "is needed with `cron`");
                let expression = self.cron_expression.or(expression).ok_or_else(missing)?;
                Timing::Cron { expression, time_zone: self.time_zone.unwrap_or(zone) }
            }
            ScheduleType::Once => {
                let known = match before {
                    Some(Timing::Once { at }) => Some(*at),
                    _ => None,
                };
                let missing = || ApiError::field("run_at", "required", "is needed with `once`");
                Timing::Once { at: self.run_at.or(known).ok_or_else(missing)? }
            }
            ScheduleType::Unreadable => {
                return Err(ApiError::field("schedule_type", "invalid", "is `interval`, `cron` or `once`"));
            }
        })
    }
}

/// A job that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnqueuedView {
    pub(super) job_id: Uuid,
    /// `false` when a job that is the same has not finished: it is that one.
    pub(super) is_new: bool,
}

/// What a look at all schedules came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefreshedView {
    /// How many jobs were asked for.
    enqueued: usize,
    /// How many times were left out.
    skipped: u64,
    /// How many due schedules are of kinds that this program does not know, or damaged.
    unserved: usize,
    /// When the next one is due.
    next_run_at: Option<DateTime<Utc>>,
    /// Whether some schedule has missed more times than one look goes through; the next look goes on.
    has_more: bool,
}

impl From<Ticked> for RefreshedView {
    fn from(ticked: Ticked) -> Self {
        let Ticked { enqueued, skipped, unserved, next_run_at, has_more } = ticked;
        Self { enqueued, skipped, unserved, next_run_at, has_more }
    }
}

/// How background work is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// How many jobs are in which state.
    #[schema(value_type = Object)]
    jobs: BTreeMap<State, u64>,
    schedules: SchedulesView,
    /// Schedules whose time passed more than a minute ago without anybody asking for their job: no scheduler runs, or none
    /// knows the kind of job. At most a thousand, the longest overdue first.
    overdue: Vec<OverdueView>,
}

/// How many schedules there are.
#[derive(Debug, Serialize, ToSchema)]
struct SchedulesView {
    enabled: u64,
    disabled: u64,
}

/// A schedule whose time has passed.
#[derive(Debug, Serialize, ToSchema)]
struct OverdueView {
    id: Uuid,
    organization_id: Option<Uuid>,
    name: String,
    task_name: String,
    next_run_at: DateTime<Utc>,
}

impl StatusView {
    pub(super) fn new(
        counts: &BTreeMap<(String, State), u64>,
        schedules: ScheduleCounts,
        overdue: Vec<Overdue>,
    ) -> Self {
        let mut jobs: BTreeMap<State, u64> = State::ALL.into_iter().map(|state| (state, 0)).collect();
        for ((_, state), count) in counts {
            *jobs.entry(*state).or_default() += count;
        }
        let overdue = overdue.into_iter().map(|one| OverdueView {
            id: one.id.as_uuid(),
            organization_id: one.tenant_id.map(|tenant| tenant.as_uuid()),
            name: one.name,
            task_name: one.job,
            next_run_at: one.next_run_at,
        });
        let ScheduleCounts { enabled, disabled } = schedules;
        Self { jobs, schedules: SchedulesView { enabled, disabled }, overdue: overdue.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(fields: Value) -> Times {
        let patch: TaskPatch = serde_json::from_value(fields).unwrap();
        Times {
            schedule_type: patch.schedule_type,
            interval_seconds: patch.interval_seconds,
            cron_expression: patch.cron_expression,
            time_zone: patch.time_zone,
            run_at: patch.run_at,
        }
    }

    fn refused(result: ApiResult<impl std::fmt::Debug>) -> String {
        result.unwrap_err().problem().errors[0].field.clone()
    }

    #[test]
    fn what_is_left_out_of_a_change_stays() {
        let cron = Timing::cron("0 3 * * *", "Europe/Berlin");
        let later = times(serde_json::json!({ "cron_expression": "0 4 * * *" })).timing(Some(&cron)).unwrap();
        assert_eq!(later, Timing::cron("0 4 * * *", "Europe/Berlin"));
        let moved = times(serde_json::json!({ "time_zone": "UTC" })).timing(Some(&cron)).unwrap();
        assert_eq!(moved, Timing::cron("0 3 * * *", "UTC"));
        let often = times(serde_json::json!({ "schedule_type": "interval" })).timing(Some(&cron)).unwrap();
        assert_eq!(often, Timing::Interval { seconds: 3_600 });
    }

    #[test]
    fn fields_of_another_type_and_missing_ones_are_refused() {
        let hourly = Timing::Interval { seconds: 3_600 };
        for (fields, field) in [
            (serde_json::json!({ "cron_expression": "0 3 * * *" }), "cron_expression"),
            (serde_json::json!({ "run_at": "2030-01-01T00:00:00Z" }), "run_at"),
            (serde_json::json!({ "schedule_type": "cron" }), "cron_expression"),
            (serde_json::json!({ "schedule_type": "cron", "interval_seconds": 5 }), "interval_seconds"),
            (serde_json::json!({ "schedule_type": "once" }), "run_at"),
        ] {
            assert_eq!(refused(times(fields.clone()).timing(Some(&hourly))), field, "{fields}");
        }
        assert_eq!(refused(no_positions(Some(&[Value::Null]))), "args_json");
    }

    #[test]
    fn how_many_are_caught_up_on_is_said_with_all_alone() {
        let all = CatchUp::All { most: 5 };
        assert_eq!(caught_up(None, None, all).unwrap(), None);
        assert_eq!(
            caught_up(Some(CatchUpKind::All), None, CatchUp::Skip).unwrap(),
            Some(CatchUp::All { most: 10 })
        );
        assert_eq!(caught_up(Some(CatchUpKind::All), None, all).unwrap(), Some(all));
        assert_eq!(caught_up(None, Some(7), all).unwrap(), Some(CatchUp::All { most: 7 }));
        assert_eq!(refused(caught_up(None, Some(7), CatchUp::One)), "catch_up_max");
        assert_eq!(refused(caught_up(Some(CatchUpKind::One), Some(7), all)), "catch_up_max");
    }
}
