use std::time::Duration;

use chrono::TimeDelta;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use stylobate_jobs::{MIGRATIONS, Retention, State};
use stylobate_testkit::{TestDb, both_engines};

use crate::{
    plan::{Plan, every, new},
    world::{What, World, chore, options},
};

/// Looks at the text until it has all of `lines`, at most ten seconds.
async fn wait_for(registry: &Registry, lines: &[&str]) {
    let mut text = String::new();
    for _ in 0..1_000 {
        text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        if lines.iter().all(|line| text.lines().any(|one| one == *line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{lines:?} are not in {text}");
}

fn meters() -> (Registry, SdkMeterProvider) {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build()
        .unwrap();
    (registry, SdkMeterProvider::builder().with_reader(exporter).build())
}

async fn attempts_are_measured_by_job_and_outcome(db: TestDb) {
    let (registry, provider) = meters();
    let world = World::new(db);
    world.jobs.observe(&provider.meter("jobs"));
    let worker = world.work(options());
    for (what, state) in [(What::FailTimes(1), State::Completed), (What::Discard, State::Discarded)] {
        let id = world.enqueue(chore(what)).await;
        world.wait_for(id, state).await;
    }
    worker.stop().await;
    let count = |outcome: &str| {
        format!(r#"job_attempt_duration_seconds_count{{job="tests.chore",outcome="{outcome}"}} 1"#)
    };
    wait_for(&registry, &[&count("completed"), &count("failed"), &count("discarded")]).await;
}
both_engines!(attempts_are_measured_by_job_and_outcome, &[&MIGRATIONS]);

async fn whoever_keeps_the_queue_up_tells_what_waits_and_what_is_overdue(db: TestDb) {
    let (registry, provider) = meters();
    let plan = Plan::new(db);
    plan.jobs.observe(&provider.meter("jobs"));
    let first = plan.create(new("first", every(60))).await.id;
    plan.create(new("second", every(600))).await;
    plan.pass(60);
    plan.tick().await;
    plan.pass(200);
    assert_eq!(plan.schedules.overdue(stylobate_jobs::ON_TIME).await.unwrap()[0].id, first);
    assert_eq!(
        plan.job(plan.get(first).await.last_job_id.unwrap()).await.run_at,
        plan.now() - TimeDelta::seconds(200)
    );
    let (jobs, forever) = (plan.jobs.clone(), std::future::pending());
    let keeping =
        tokio::spawn(async move { jobs.keep_up(Duration::from_secs(30), Retention::FOREVER, forever).await });
    wait_for(
        &registry,
        &[
            r#"jobs_in_state{queue="default",state="available"} 1"#,
            r#"jobs_oldest_available_seconds{queue="default"} 200"#,
            "schedules_overdue 1",
            // Its slot came at two minutes past noon; now it is four minutes and twenty seconds past.
            "schedules_overdue_seconds 140",
        ],
    )
    .await;
    keeping.abort();
}
both_engines!(whoever_keeps_the_queue_up_tells_what_waits_and_what_is_overdue, &[&MIGRATIONS]);
