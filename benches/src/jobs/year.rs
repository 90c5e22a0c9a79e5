//! A year of schedules, as fast as one scheduler decides on it and stores the jobs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{Clock, RequestContext};
use stylobate_jobs::{Jobs, MIGRATIONS, NewSchedule, Registry, Schedules, Timing};
use stylobate_testkit::{ManualClock, TestDb};
use stylobate_tests::Engine;

use super::{Count, ours::Nothing};
use crate::{
    Result,
    report::{Goal, Report},
};

/// What a service of some size has: most things every night, some every hour.
const EXPRESSIONS: [&str; 10] = [
    "0 * * * *",
    "30 * * * *",
    "0 0 * * *",
    "30 2 * * *",
    "15 3 * * *",
    "0 6 * * MON-FRI",
    "0 8,12,16 * * *",
    "0 4 * * SUN",
    "0 5 1 * *",
    "@daily",
];
const ZONES: [&str; 2] = ["UTC", "Europe/Berlin"];

/// Every slot of a year, one look after the other, in the order in which a scheduler would see them.
pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    let db = match engine {
        Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
        Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
    };
    let clock = Arc::new(ManualClock::new());
    let jobs = Jobs::new((*db).clone(), Arc::clone(&clock) as Arc<dyn Clock>);
    let schedules = Schedules::new(jobs, Registry::new().with::<Nothing>(Count::default()));
    for expression in EXPRESSIONS {
        for zone in ZONES {
            let timing = Timing::cron(expression, zone);
            let new = NewSchedule::of(format!("{expression} {zone}"), &Nothing { n: 0 }, timing)?;
            schedules.create(&RequestContext::system("bench"), new).await?;
        }
    }
    let end = clock.now() + TimeDelta::days(365);
    let (mut slots, mut looks, mut longest) = (0, 0, Duration::ZERO);
    let begun = Instant::now();
    loop {
        let looked = Instant::now();
        let ticked = schedules.tick().await?;
        longest = longest.max(looked.elapsed());
        slots += ticked.enqueued;
        looks += 1;
        let next = ticked.next_run_at.ok_or("the schedules have come to an end")?;
        if next > end {
            break;
        }
        clock.advance(next - clock.now());
    }
    let took = begun.elapsed().as_secs_f64();
    report.keep(json!({ "what": "year", "engine": format!("{engine:?}"), "slots": slots, "looks": looks, "seconds": took }));
    report.note(&format!(
        "a year of {} schedules: {slots} slots in {looks} looks, the longest {:.0} ms",
        EXPRESSIONS.len() * ZONES.len(),
        longest.as_secs_f64() * 1e3
    ));
    report.verdict(&format!("a year of schedules on {engine:?}"), took, "s", Goal::AtMost(60.0));
    Ok(())
}
