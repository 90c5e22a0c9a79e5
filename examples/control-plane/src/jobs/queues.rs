use std::collections::BTreeMap;

use axum::{Json, extract::State};
use stylobate::{
    endpoints::{Permission, Route, Routes},
    jobs::JobsError,
    middleware::{ApiError, ApiResult, Context, PathId},
};

use super::{
    EVERYWHERE, Work,
    model::{QueueView, QueuesView},
    of_platform,
};

const TAG: &str = "jobs";
const MANAGE: Permission = Permission::Key(EVERYWHERE);

pub(super) fn routes(work: &Work) -> Routes {
    Routes::new()
        .add(
            Route::get("/v1/queues", MANAGE)
                .tag(TAG)
                .summary("Lists the queues by name: whether they are paused, and how many jobs they have in which state")
                .returns::<QueuesView>(200),
            work,
            list,
        )
        .add(
            Route::post("/v1/queues/{name}/pause", MANAGE)
                .tag(TAG)
                .no_id("name", "The queue's name.")
                .summary("Stops work on a queue in all processes: what runs is finished, nothing is begun")
                .returns::<QueueView>(200),
            work,
            pause,
        )
        .add(
            Route::post("/v1/queues/{name}/resume", MANAGE)
                .tag(TAG)
                .no_id("name", "The queue's name.")
                .summary("Lets work on a queue go on")
                .returns::<QueueView>(200),
            work,
            resume,
        )
}

impl Work {
    /// What this program knows, what has jobs, and what is paused.
    pub(super) async fn queues(&self) -> Result<BTreeMap<String, QueueView>, JobsError> {
        let mut queues = BTreeMap::new();
        fn of<'a>(queues: &'a mut BTreeMap<String, QueueView>, name: &str) -> &'a mut QueueView {
            queues.entry(name.to_owned()).or_insert_with(|| QueueView {
                name: name.to_owned(),
                is_paused: false,
                paused_at: None,
                jobs: BTreeMap::new(),
            })
        }
        for name in self.kinds.queues() {
            of(&mut queues, name);
        }
        for ((name, state), count) in self.jobs.counts().await? {
            of(&mut queues, &name).jobs.insert(state, count);
        }
        for (name, since) in self.jobs.paused().await? {
            let queue = of(&mut queues, &name);
            (queue.is_paused, queue.paused_at) = (true, Some(since));
        }
        Ok(queues)
    }

    async fn queue(&self, name: &str) -> ApiResult<Json<QueueView>> {
        // A name that was paused once and has neither jobs nor kinds is gone when work on it goes on.
        self.queues().await?.remove(name).map(Json).ok_or_else(ApiError::not_found)
    }
}

async fn list(State(work): State<Work>) -> ApiResult<Json<QueuesView>> {
    Ok(Json(QueuesView { items: work.queues().await?.into_values().collect() }))
}

async fn pause(
    State(work): State<Work>,
    context: Context,
    PathId(name): PathId<String>,
) -> ApiResult<Json<QueueView>> {
    // One that nobody has heard of is a slip of the pen.
    if !work.queues().await?.contains_key(&name) {
        return Err(ApiError::not_found());
    }
    work.jobs.pause(&of_platform(&context), &name).await?;
    work.queue(&name).await
}

async fn resume(
    State(work): State<Work>,
    context: Context,
    PathId(name): PathId<String>,
) -> ApiResult<Json<QueueView>> {
    let mut queue = work.queue(&name).await?;
    work.jobs.resume(&of_platform(&context), &name).await?;
    (queue.is_paused, queue.paused_at) = (false, None);
    Ok(queue)
}
