//! Schedules: what runs when.

use axum::{Json, extract::State, http::StatusCode};
use stylobate::{
    core::{Direction, Page, ScheduleId},
    endpoints::{Permission, Route, Routes},
    jobs::{JobsError, ON_TIME, Schedule, ScheduleChange, ScheduleQuery},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, StrictJson},
};

use super::{
    Work, of_platform,
    task_model::{EnqueuedView, RefreshedView, StatusView, TaskFilter, TaskInput, TaskPatch, TaskView},
};
use crate::order::ByName;

const TAG: &str = "scheduler";
const READ: Permission = Permission::Key("scheduler.read");
const MANAGE: Permission = Permission::Key("scheduler.manage");

pub(super) fn routes(work: &Work) -> Routes {
    Routes::new()
        .add(
            Route::get("/scheduler/tasks", READ)
                .tag(TAG)
                .summary("Lists schedules by name")
                .query::<TaskFilter>()
                .returns_page::<TaskView>(),
            work,
            list,
        )
        .add(
            Route::post("/scheduler/tasks", MANAGE)
                .tag(TAG)
                .summary("Makes a schedule of the platform; schedulers know within a second")
                .body::<TaskInput>()
                .returns::<TaskView>(201),
            work,
            create,
        )
        .add(
            Route::get("/scheduler/tasks/{id}", READ)
                .tag(TAG)
                .summary("Reads a schedule")
                .returns::<TaskView>(200),
            work,
            get,
        )
        .add(
            Route::patch("/scheduler/tasks/{id}", MANAGE)
                .tag(TAG)
                .summary("Changes fields of a schedule; schedulers know within a second")
                .body::<TaskPatch>()
                .returns::<TaskView>(200),
            work,
            patch,
        )
        .add(
            Route::delete("/scheduler/tasks/{id}", MANAGE)
                .tag(TAG)
                .summary("Removes a schedule; the jobs it has asked for stay. A standing one is made anew at the next start: disable it instead")
                .answers(204, None),
            work,
            delete,
        )
        .add(
            Route::post("/scheduler/tasks/{id}/enqueue", MANAGE)
                .tag(TAG)
                .summary("Asks for the job of a schedule at once, beside its times, whether it is enabled or not")
                .returns::<EnqueuedView>(202),
            work,
            enqueue,
        )
        .add(
            Route::post("/scheduler/tasks/refresh", MANAGE)
                .tag(TAG)
                .summary("Looks at all schedules at once and asks for the jobs that are due. Nobody has to: edits take effect within a second")
                .returns::<RefreshedView>(200),
            work,
            refresh,
        )
        .add(
            Route::get("/scheduler/status", READ)
                .tag(TAG)
                .summary("Counts jobs by state and schedules, and lists those whose time has passed without a job")
                .returns::<StatusView>(200),
            work,
            status,
        )
}

async fn list(
    State(work): State<Work>,
    context: Context,
    query: ListQuery<TaskFilter, ByName>,
) -> ApiResult<Json<Page<TaskView>>> {
    let ByName::Name = query.page.order_by;
    if query.page.order_dir == Some(Direction::Desc) {
        return Err(ApiError::field("order_dir", "unsupported", "is `asc` for schedules"));
    }
    if query.page.include_total {
        return Err(ApiError::field(
            "include_total",
            "unsupported",
            "is not counted here; see `/scheduler/status`",
        ));
    }
    let asked = ScheduleQuery {
        is_enabled: query.filter.enabled,
        job: query.filter.task_name,
        limit: query.page.limit,
        cursor: query.page.cursor,
    };
    let page = work.schedules.list(&of_platform(&context), &asked).await.map_err(told)?;
    Ok(Json(page.map(TaskView::from)))
}

async fn create(
    State(work): State<Work>,
    context: Context,
    StrictJson(input): StrictJson<TaskInput>,
) -> ApiResult<(StatusCode, Json<TaskView>)> {
    let schedule = work.schedules.create(&of_platform(&context), input.into_new()?).await.map_err(told)?;
    Ok((StatusCode::CREATED, Json(schedule.into())))
}

async fn get(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<ScheduleId>,
) -> ApiResult<Json<TaskView>> {
    Ok(Json(work.schedules.get(&of_platform(&context), id).await.map_err(told)?.into()))
}

async fn patch(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<ScheduleId>,
    StrictJson(patch): StrictJson<TaskPatch>,
) -> ApiResult<Json<TaskView>> {
    let context = of_platform(&context);
    let before = work.schedules.get(&context, id).await.map_err(told)?;
    let version = Some(patch.version.unwrap_or(before.version));
    let change: ScheduleChange = patch.into_change(&before)?;
    // What is said about times is about those that were read.
    let after: Schedule = work.schedules.update(&context, id, change, version).await.map_err(told)?;
    Ok(Json(after.into()))
}

async fn delete(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<ScheduleId>,
) -> ApiResult<StatusCode> {
    work.schedules.delete(&of_platform(&context), id).await.map_err(told)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn enqueue(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<ScheduleId>,
) -> ApiResult<(StatusCode, Json<EnqueuedView>)> {
    let enqueued = work.schedules.run_now(&of_platform(&context), id).await.map_err(told)?;
    let view = EnqueuedView { job_id: enqueued.id.as_uuid(), is_new: enqueued.is_new };
    Ok((StatusCode::ACCEPTED, Json(view)))
}

async fn refresh(State(work): State<Work>, context: Context) -> ApiResult<Json<RefreshedView>> {
    Ok(Json(work.schedules.refresh(&of_platform(&context)).await.map_err(told)?.into()))
}

async fn status(State(work): State<Work>) -> ApiResult<Json<StatusView>> {
    let jobs = work.jobs.counts().await?;
    let schedules = work.schedules.counts().await?;
    let overdue = work.schedules.overdue(ON_TIME).await?;
    Ok(Json(StatusView::new(&jobs, schedules, overdue)))
}

/// Names the field as callers do.
fn told(error: JobsError) -> ApiError {
    let JobsError::Invalid { field, problem } = error else { return error.into() };
    let field = match field {
        "job" => "task_name",
        "payload" => "kwargs_json",
        "expression" => "cron_expression",
        "at" => "run_at",
        "timing" => "schedule_type",
        "catch_up" => "catch_up_max",
        other => other,
    };
    ApiError::field(field, "invalid", problem)
}
