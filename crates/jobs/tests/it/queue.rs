use chrono::{SubsecRound as _, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stylobate_core::{Clock as _, Principal, RequestContext, SystemClock, TenantId, TraceParent};
use stylobate_db::{Scope, Tx};
use stylobate_jobs::{
    Attempt, Failed, Job, JobQuery, JobsError, MIGRATIONS, Outcome, PAYLOAD_MAX, Registry, Request, State,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{Chore, PLATFORM, What, World, chore, options, system};

fn tenant() -> TenantId {
    TenantId::new(SystemClock.now())
}

async fn a_job_exists_only_when_its_transaction_commits(db: TestDb) {
    let world = World::new(db);
    let mut tx = world.db().begin(PLATFORM).await.unwrap();
    let lost = world.jobs.enqueue(&mut tx, &chore(What::Succeed)).await.unwrap();
    tx.rollback().await.unwrap();
    let kept = world.enqueue(chore(What::Succeed)).await;
    let gone = world.jobs.get(&system(), lost.id).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");
    assert_eq!(world.state(kept).await, State::Available);
    world.assert_counts().await;
}
both_engines!(a_job_exists_only_when_its_transaction_commits, &[&MIGRATIONS]);

async fn the_same_job_is_added_once_and_again_when_the_first_has_finished(db: TestDb) {
    let world = World::new(db);
    let job = Chore { unique: Some("report of May".to_owned()), ..chore(What::Succeed) };
    let first = world.enqueue_in(PLATFORM, job.clone()).await;
    let second = world.enqueue_in(PLATFORM, job.clone()).await;
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.id, second.id);
    // Another tenant's is another one.
    assert!(world.enqueue_in(Scope::Tenant(tenant()), job.clone()).await.is_new);
    world.jobs.cancel(&system(), first.id).await.unwrap();
    let third = world.enqueue_in(PLATFORM, job).await;
    assert!(third.is_new);
    // The first would be the same as the third.
    let refused = world.jobs.retry(&system(), first.id).await.unwrap_err();
    assert_eq!(refused.code(), "job_not_unique");
    world.assert_counts().await;
}
both_engines!(the_same_job_is_added_once_and_again_when_the_first_has_finished, &[&MIGRATIONS]);

async fn twenty_who_ask_for_the_same_job_at_once_get_one(db: TestDb) {
    let world = std::sync::Arc::new(World::new(db));
    let job = Chore { unique: Some("one".to_owned()), ..chore(What::Succeed) };
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let (world, job) = (std::sync::Arc::clone(&world), job.clone());
            tokio::spawn(async move { world.enqueue_in(PLATFORM, job).await })
        })
        .collect();
    let mut all = Vec::new();
    for ask in asks {
        all.push(ask.await.unwrap());
    }
    assert_eq!(all.iter().filter(|one| one.is_new).count(), 1);
    assert!(all.iter().all(|one| one.id == all[0].id));
    world.assert_counts().await;
}
both_engines!(twenty_who_ask_for_the_same_job_at_once_get_one, &[&MIGRATIONS]);

async fn many_jobs_are_added_by_few_statements(db: TestDb) {
    let world = World::new(db);
    let mut all: Vec<Chore> = (0..1_200).map(|_| chore(What::Succeed)).collect();
    all.push(Chore { unique: Some("x".to_owned()), ..chore(What::Succeed) });
    all.push(Chore { unique: Some("x".to_owned()), ..chore(What::Discard) });
    let jobs = world.jobs.clone();
    let added = world
        .db()
        .transact(PLATFORM, async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, Request::default()).await);
    let added = added.await.unwrap();
    let ids: std::collections::HashSet<_> = added.iter().map(|one| one.id).collect();
    assert_eq!(
        (added.len(), ids.len(), added.iter().filter(|one| one.is_new).count()),
        (1_202, 1_201, 1_201)
    );
    // Each in its place: the last is the same as the one before it.
    assert_eq!((added[1_201].id, added[1_201].is_new), (added[1_200].id, false));
    world.assert_counts().await;
}
both_engines!(many_jobs_are_added_by_few_statements, &[&MIGRATIONS]);

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn many_jobs_are_for_later_for_a_tenant_and_of_a_trace_as_their_request_says(db: TestDb) {
    let world = World::new(db);
    let (one, later) = (tenant(), SystemClock.now().trunc_subsecs(6) + TimeDelta::hours(1));
    let unique = |key: &str| Chore { unique: Some(key.to_owned()), ..chore(What::Succeed) };
    let ask = async |keys: [&str; 2], request: Request| {
        let (jobs, all) = (world.jobs.clone(), keys.map(unique));
        let ask = async move |tx: &mut Tx| jobs.enqueue_many(tx, &all, request.clone()).await;
        world.db().transact(PLATFORM, ask).await.unwrap()
    };
    let request =
        Request { run_at: Some(later), tenant: Some(one), traceparent: Some(TRACE.parse().unwrap()) };
    let first = ask(["a", "b"], request.clone()).await;
    for asked in &first {
        assert!(asked.is_new);
        let job = asked.handle(&world.jobs).record().await.unwrap();
        assert_eq!((job.tenant_id, job.run_at, job.traceparent.as_deref()), (Some(one), later, Some(TRACE)));
    }
    // Those that are the same are told in their places; for the platform they are others.
    let second = ask(["c", "a"], request.clone()).await;
    assert_eq!((second[0].is_new, second[1].is_new, second[1].id), (true, false, first[0].id));
    assert!(ask(["a", "b"], Request::default()).await.iter().all(|asked| asked.is_new));
    // One that has finished lets go of its key.
    world.jobs.cancel(&system(), first[1].id).await.unwrap();
    let third = ask(["a", "b"], request).await;
    assert_eq!((third[0].id, third[0].is_new, third[1].is_new), (first[0].id, false, true));
    world.assert_counts().await;
}
both_engines!(many_jobs_are_for_later_for_a_tenant_and_of_a_trace_as_their_request_says, &[&MIGRATIONS]);

/// Says of which trace it is.
#[derive(Serialize, Deserialize)]
struct Traced {}

impl Job for Traced {
    const NAME: &'static str = "tests.traced";
    type State = ();
    type Output = Option<String>;
    type Error = Failed;

    async fn run(self, attempt: Attempt, (): ()) -> Result<Option<String>, Failed> {
        Ok(attempt.traceparent().map(str::to_owned))
    }
}

async fn the_trace_of_a_request_reaches_the_handler(db: TestDb) {
    let world = World::new(db);
    let worker = world.work_with(Registry::new().with::<Traced>(()), options());
    for given in [Some(TRACE.parse::<TraceParent>().unwrap()), None] {
        let request = Request { traceparent: given, ..Request::default() };
        let told = given.map(|trace| trace.to_string());
        let jobs = world.jobs.clone();
        let ask = async move |tx: &mut Tx| jobs.enqueue_as(tx, &Traced {}, request.clone()).await;
        let asked = world.db().transact(PLATFORM, ask).await.unwrap();
        let outcome = asked.handle(&world.jobs).wait().await.unwrap();
        assert_eq!(outcome, Outcome::Completed(told));
    }
    worker.stop().await;
}
both_engines!(the_trace_of_a_request_reaches_the_handler, &[&MIGRATIONS]);

async fn a_handle_of_another_kind_is_refused(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::Succeed)).await;
    let wrong = world.jobs.handle::<Traced>(id);
    for refused in [
        wrong.record().await.unwrap_err(),
        wrong.state().await.unwrap_err(),
        wrong.progress().await.unwrap_err(),
        wrong.outcome().await.unwrap_err(),
        wrong.wait().await.unwrap_err(),
        wrong.cancel(&system()).await.unwrap_err(),
    ] {
        assert!(matches!(refused, JobsError::Invalid { field: "name", .. }), "{refused:?}");
    }
    assert_eq!(world.jobs.handle::<Chore>(id).state().await.unwrap(), State::Available);
}
both_engines!(a_handle_of_another_kind_is_refused, &[&MIGRATIONS]);

async fn a_list_tells_of_a_job_all_but_what_may_be_large(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::Discard)).await;
    let worker = world.work(options());
    world.wait_for(id, State::Discarded).await;
    worker.stop().await;
    let listed = world.jobs.list(&system(), &JobQuery::default()).await.unwrap().items;
    assert_eq!(listed, [world.jobs.get(&system(), id).await.unwrap().into()]);
    assert_eq!(listed[0].errors[0].message, "never");
}
both_engines!(a_list_tells_of_a_job_all_but_what_may_be_large, &[&MIGRATIONS]);

async fn tenants_see_and_change_their_own_jobs_only(db: TestDb) {
    let world = World::new(db);
    let (one, other) = (tenant(), tenant());
    let id = world.enqueue_in(Scope::Tenant(one), chore(What::Succeed)).await.id;
    let as_other = RequestContext::new(Principal::system().in_tenant(other));
    for refused in [
        world.jobs.get(&as_other, id).await.unwrap_err(),
        world.jobs.cancel(&as_other, id).await.unwrap_err(),
        world.jobs.retry(&as_other, id).await.unwrap_err(),
        world.jobs.edit(&as_other, id, &json!({})).await.unwrap_err(),
    ] {
        assert_eq!(refused.code(), "not_found");
    }
    assert!(world.jobs.list(&as_other, &JobQuery::default()).await.unwrap().items.is_empty());
    let as_one = RequestContext::new(Principal::system().in_tenant(one));
    assert_eq!(world.jobs.list(&as_one, &JobQuery::default()).await.unwrap().items.len(), 1);
    // Nor does a transaction of one put a job into the other.
    let mut tx = world.db().begin(Scope::Tenant(one)).await.unwrap();
    let request = Request { tenant: Some(other), ..Request::default() };
    let refused = world.jobs.enqueue_as(&mut tx, &chore(What::Succeed), request).await.unwrap_err();
    assert_eq!(refused.code(), "foreign_tenant");
}
both_engines!(tenants_see_and_change_their_own_jobs_only, &[&MIGRATIONS]);

async fn lists_are_paged_newest_first(db: TestDb) {
    let world = World::new(db);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.enqueue(chore(What::Succeed)).await);
        // Ids are ordered to the millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut query = JobQuery { limit: stylobate_core::PageLimit::new(2).unwrap(), ..JobQuery::default() };
    loop {
        let page = world.jobs.list(&system(), &query).await.unwrap();
        seen.extend(page.items.iter().map(|job| job.id));
        let Some(next) = page.next_cursor else { break };
        query.cursor = Some(next.encode());
    }
    assert_eq!(seen, ids);
    let none = JobQuery { state: Some(State::Discarded), ..JobQuery::default() };
    assert!(world.jobs.list(&system(), &none).await.unwrap().items.is_empty());
    let bad = JobQuery { cursor: Some("nonsense".to_owned()), ..JobQuery::default() };
    assert_eq!(world.jobs.list(&system(), &bad).await.unwrap_err().code(), "invalid_cursor");
}
both_engines!(lists_are_paged_newest_first, &[&MIGRATIONS]);

async fn a_payload_of_more_than_a_mebibyte_is_refused(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(Chore { what: What::Succeed, key: None, unique: None }).await;
    let text = "x".repeat(PAYLOAD_MAX);
    let refused = world.jobs.edit(&system(), id, &json!({ "what": text })).await.unwrap_err();
    assert!(matches!(refused, JobsError::PayloadTooLarge { .. }));
    assert_eq!(refused.code(), "payload_too_large");
}
both_engines!(a_payload_of_more_than_a_mebibyte_is_refused, &[&MIGRATIONS]);

async fn finished_jobs_go_when_they_are_kept_no_longer(db: TestDb) {
    let world = World::new(db);
    let id = world.enqueue(chore(What::Succeed)).await;
    let live = world.enqueue(chore(What::Succeed)).await;
    world.jobs.cancel(&system(), id).await.unwrap();
    let keep = stylobate_jobs::Retention::default();
    assert_eq!(world.jobs.prune(keep).await.unwrap(), 0);
    let none = stylobate_jobs::Retention { cancelled: TimeDelta::seconds(-1), ..keep };
    assert_eq!(world.jobs.prune(none).await.unwrap(), 1);
    assert_eq!(world.state(live).await, State::Available);
    world.assert_counts().await;
}
both_engines!(finished_jobs_go_when_they_are_kept_no_longer, &[&MIGRATIONS]);
