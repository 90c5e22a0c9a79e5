use axum::{Json, extract::State};
use stylobate::{
    core::{JobId, Page, RequestContext},
    endpoints::{Permission, Route, Routes},
    jobs::{JobQuery, State as JobState},
    middleware::{ApiResult, Context, ListQuery, PathId, StrictJson},
};

use super::{
    EVERYWHERE, Work,
    model::{DeadLetterFilter, JobDetailView, JobFilter, JobPatch, JobView},
};
use crate::{
    caller::of_platform,
    order::{ByCreation, newest_first},
};

const TAG: &str = "jobs";
const READ: Permission = Permission::Key("job.read");
const MANAGE: Permission = Permission::Key("job.manage");

pub(super) fn routes(work: &Work) -> Routes {
    Routes::new()
        .add(
            Route::get("/v1/jobs", READ)
                .tag(TAG)
                .summary("Lists background jobs, newest first: those of the organisation, or all with `platform.jobs.manage`")
                .query::<JobFilter>()
                .returns_page::<JobView>(),
            work,
            list,
        )
        .add(
            Route::get("/v1/jobs/dead-letters", READ)
                .tag(TAG)
                .summary("Lists the jobs that failed for good, newest first")
                .query::<DeadLetterFilter>()
                .returns_page::<JobView>(),
            work,
            dead_letters,
        )
        .add(
            Route::get("/v1/jobs/{id}", READ).tag(TAG).summary("Reads a job").returns::<JobDetailView>(200),
            work,
            get,
        )
        .add(
            Route::patch("/v1/jobs/{id}", Permission::Key(EVERYWHERE))
                .tag(TAG)
                .summary("Changes what a job needs to know that nobody works on: a dead letter is edited, then asked for once more")
                .body::<JobPatch>()
                .returns::<JobDetailView>(200),
            work,
            edit,
        )
        .add(
            Route::post("/v1/jobs/{id}/cancel", MANAGE)
                .tag(TAG)
                .summary("Calls a job off; one that runs is told to stop")
                .returns::<JobDetailView>(200),
            work,
            cancel,
        )
        .add(
            Route::post("/v1/jobs/{id}/retry", MANAGE)
                .tag(TAG)
                .summary("Asks for a job once more that has ended or waits for its next attempt")
                .returns::<JobDetailView>(200),
            work,
            retry,
        )
}

async fn list(
    State(work): State<Work>,
    context: Context,
    query: ListQuery<JobFilter, ByCreation>,
) -> ApiResult<Json<Page<JobView>>> {
    let JobFilter { state, queue, name, schedule_id } = query.filter;
    let asked = JobQuery { state, queue, name, schedule_id, ..JobQuery::default() };
    page_of(&work, &context, asked, query.page).await
}

async fn dead_letters(
    State(work): State<Work>,
    context: Context,
    query: ListQuery<DeadLetterFilter, ByCreation>,
) -> ApiResult<Json<Page<JobView>>> {
    let DeadLetterFilter { queue, name } = query.filter;
    let asked = JobQuery { state: Some(JobState::Discarded), queue, name, ..JobQuery::default() };
    page_of(&work, &context, asked, query.page).await
}

async fn page_of(
    work: &Work,
    context: &RequestContext,
    asked: JobQuery,
    page: stylobate::middleware::PageQuery<ByCreation>,
) -> ApiResult<Json<Page<JobView>>> {
    let page = newest_first(page)?;
    let asked = JobQuery { limit: page.limit, cursor: page.cursor, ..asked };
    let asker = work.asker(context)?;
    let page = work.jobs.list(&asker.context, &asked).await?;
    Ok(Json(page.map(JobView::from)))
}

async fn get(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<JobId>,
) -> ApiResult<Json<JobDetailView>> {
    let asker = work.asker(&context)?;
    let job = work.jobs.get(&asker.context, id).await?;
    Ok(Json(JobDetailView::new(job, asker.is_of_platform)))
}

async fn edit(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<JobId>,
    StrictJson(patch): StrictJson<JobPatch>,
) -> ApiResult<Json<JobDetailView>> {
    let job = work.jobs.edit(&of_platform(&context), id, &patch.payload).await?;
    Ok(Json(JobDetailView::new(job, true)))
}

async fn cancel(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<JobId>,
) -> ApiResult<Json<JobDetailView>> {
    let asker = work.asker(&context)?;
    let job = work.jobs.cancel(&asker.context, id).await?;
    Ok(Json(JobDetailView::new(job, asker.is_of_platform)))
}

async fn retry(
    State(work): State<Work>,
    context: Context,
    PathId(id): PathId<JobId>,
) -> ApiResult<Json<JobDetailView>> {
    let asker = work.asker(&context)?;
    let job = work.jobs.retry(&asker.context, id).await?;
    Ok(Json(JobDetailView::new(job, asker.is_of_platform)))
}
