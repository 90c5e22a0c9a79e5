use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use stylobate_core::{Clock as _, JobId, Principal, RequestContext, ScheduleId, TenantId};
use stylobate_db::{Conn, Tx};
use stylobate_jobs::{
    JobQuery, JobRecord, JobSummary, Jobs, NewSchedule, Registry, Schedule, Schedules, Ticked, Timing,
};
use stylobate_testkit::{ManualClock, TestDb};

use crate::world::{Chore, PLATFORM, Ran, What, chore, system};

/// Schedules in a database, and a clock that stands at noon on 1 March 2026 until it is moved.
pub(crate) struct Plan {
    pub(crate) db: TestDb,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) jobs: Jobs,
    pub(crate) schedules: Schedules,
}

pub(crate) fn registry() -> Registry {
    Registry::new().with::<Chore>(Ran::default())
}

pub(crate) fn payload() -> Value {
    serde_json::to_value(chore(What::Succeed)).unwrap()
}

pub(crate) fn new(name: &str, timing: Timing) -> NewSchedule {
    NewSchedule::new(name, "tests.chore", payload(), timing)
}

pub(crate) fn every(seconds: u32) -> Timing {
    Timing::Interval { seconds }
}

pub(crate) fn as_tenant(tenant: TenantId) -> RequestContext {
    RequestContext::new(Principal::system().in_tenant(tenant))
}

impl Plan {
    pub(crate) fn new(db: TestDb) -> Self {
        let clock = Arc::new(ManualClock::new());
        let jobs = Jobs::new((*db).clone(), Arc::<ManualClock>::clone(&clock));
        let schedules = Schedules::new(jobs.clone(), registry());
        Self { db, clock, jobs, schedules }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    pub(crate) async fn create(&self, new: NewSchedule) -> Schedule {
        self.schedules.create(&system(), new).await.unwrap()
    }

    pub(crate) async fn get(&self, id: ScheduleId) -> Schedule {
        self.schedules.get(&system(), id).await.unwrap()
    }

    pub(crate) async fn tick(&self) -> Ticked {
        self.schedules.tick().await.unwrap()
    }

    pub(crate) async fn job(&self, id: JobId) -> JobRecord {
        self.jobs.get(&system(), id).await.unwrap()
    }

    /// The jobs of a schedule, oldest slot first.
    pub(crate) async fn jobs_of(&self, id: ScheduleId) -> Vec<JobSummary> {
        let query = JobQuery {
            schedule_id: Some(id),
            limit: stylobate_core::PageLimit::new(100).unwrap(),
            ..JobQuery::default()
        };
        let mut all = self.jobs.list(&system(), &query).await.unwrap().items;
        all.sort_by_key(|job| (job.slot, job.id));
        all
    }

    /// How many seconds after noon the slots of its jobs are.
    pub(crate) async fn slots_of(&self, id: ScheduleId) -> Vec<i64> {
        let noon = ManualClock::new().now();
        let slots = self.jobs_of(id).await.into_iter().filter_map(|job| job.slot);
        slots.map(|slot| (slot - noon).num_seconds()).collect()
    }

    /// Changes the tables past all services, as their owner.
    pub(crate) async fn tamper(&self, change: impl AsyncFn(&mut Conn)) {
        let mut tx: Tx = self.db.open_as_owner().await.begin(PLATFORM).await.unwrap();
        change(&mut tx).await;
        tx.commit().await.unwrap();
    }
}
