use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use stylobate_core::{Health, HealthCheck, HealthStatus};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use crate::Shutdown;

/// How long one check may take. A probe's own time-out is usually 1 s or more, so a hanging dependency still gives an answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer is kept. Orchestrators probe every second or slower and see fresh answers; a flood of probes
/// costs four checks per second.
const CACHED_FOR: Duration = Duration::from_millis(250);

/// The answer of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// How the dependency is doing.
    pub status: HealthStatus,
    /// How long it took to answer, in whole milliseconds.
    pub latency_ms: u64,
    /// What an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How the service is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// `down` when a critical check is down or the service drains, `degraded` when anything else is not up.
    pub status: HealthStatus,
    /// Whether the service takes no new work because it is about to stop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// The checks by name.
    pub checks: BTreeMap<&'static str, CheckReport>,
}

impl HealthReport {
    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status != HealthStatus::Down
    }
}

/// The checks of a service, bounded in time and shielded from floods of probes.
#[derive(Clone)]
pub struct HealthRegistry {
    checks: Arc<Vec<Arc<Entry>>>,
    draining: Arc<AtomicBool>,
    shutdown: Option<Shutdown>,
    timeout: Duration,
    cached_for: Duration,
}

struct Entry {
    check: Arc<dyn HealthCheck>,
    /// Held while the check runs: others wait for its answer instead of asking again.
    last: Mutex<Option<(Instant, CheckReport)>>,
}

impl Default for HealthRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthRegistry {
    /// No checks yet: live and ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            checks: Arc::default(),
            draining: Arc::default(),
            shutdown: None,
            timeout: CHECK_TIMEOUT,
            cached_for: CACHED_FOR,
        }
    }

    /// Sets how long one check may take before it counts as down. Default: 1 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long an answer is kept. Default: 250 ms; zero asks every time.
    #[must_use]
    pub fn with_cache(mut self, cached_for: Duration) -> Self {
        self.cached_for = cached_for;
        self
    }

    /// Turns ready false as soon as `shutdown` begins.
    #[must_use]
    pub fn with_shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.shutdown = Some(shutdown.clone());
        self
    }

    /// Adds a check. A check of the same name is replaced.
    #[must_use]
    pub fn register(mut self, check: Arc<dyn HealthCheck>) -> Self {
        let mut checks: Vec<_> = self.checks.iter().cloned().collect();
        checks.retain(|known| known.check.name() != check.name());
        checks.push(Arc::new(Entry { check, last: Mutex::new(None) }));
        self.checks = Arc::new(checks);
        self
    }

    /// From now on the service is not ready, whatever the checks say. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the service takes no new work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.shutdown.as_ref().is_some_and(Shutdown::is_draining)
    }

    /// Whether the process runs: asks nothing, so a dependency that is gone never gets a healthy process killed.
    #[must_use]
    pub fn live(&self) -> HealthReport {
        HealthReport { status: HealthStatus::Up, draining: self.is_draining(), checks: BTreeMap::new() }
    }

    /// Asks all checks at once; takes no longer than the time-out of one.
    pub async fn ready(&self) -> HealthReport {
        let mut running = JoinSet::new();
        let mut names = BTreeMap::new();
        for entry in self.checks.iter() {
            let (entry, timeout, cached_for) = (Arc::clone(entry), self.timeout, self.cached_for);
            let (name, critical) = (entry.check.name(), entry.check.is_critical());
            let handle = running.spawn(async move { entry.report(timeout, cached_for).await });
            names.insert(handle.id(), (name, critical));
        }
        let mut status = HealthStatus::Up;
        let mut checks = BTreeMap::new();
        while let Some(joined) = running.join_next_with_id().await {
            let (id, report) = match joined {
                Ok((id, report)) => (id, report),
                // The check panicked; the panic is in the log.
                Err(error) => (error.id(), CheckReport::of(Health::down("the check failed"), Duration::ZERO)),
            };
            let Some((name, critical)) = names.remove(&id) else { continue };
            status = worse(status, &report, critical);
            checks.insert(name, report);
        }
        let draining = self.is_draining();
        if draining {
            status = HealthStatus::Down;
        }
        HealthReport { status, draining, checks }
    }
}

fn worse(status: HealthStatus, report: &CheckReport, critical: bool) -> HealthStatus {
    match (status, report.status) {
        (HealthStatus::Down, _) => HealthStatus::Down,
        (_, HealthStatus::Down) if critical => HealthStatus::Down,
        (status, HealthStatus::Up) => status,
        (_, HealthStatus::Down | HealthStatus::Degraded) => HealthStatus::Degraded,
    }
}

impl Entry {
    async fn report(&self, timeout: Duration, cached_for: Duration) -> CheckReport {
        let begun = Instant::now();
        // Waiting for the one who asks already is bounded like asking: its answer comes, or this one says down.
        let Ok(mut last) = tokio::time::timeout(timeout * 2, self.last.lock()).await else {
            return CheckReport::of(Health::down("no answer in time"), begun.elapsed());
        };
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < cached_for
        {
            return report.clone();
        }
        let asked = Instant::now();
        let health = tokio::time::timeout(timeout, self.check.check())
            .await
            .unwrap_or_else(|_| Health::down("no answer in time"));
        let report = CheckReport::of(health, asked.elapsed());
        let changed = last.as_ref().map_or(HealthStatus::Up, |(_, before)| before.status) != report.status;
        if changed {
            let (name, detail) = (self.check.name(), report.detail.as_deref().unwrap_or_default());
            tracing::warn!(check = name, status = ?report.status, detail, "health changed");
        }
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

impl CheckReport {
    fn of(health: Health, took: Duration) -> Self {
        let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { status: health.status, latency_ms, detail: health.detail }
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.checks.iter().map(|entry| entry.check.name()).collect();
        f.debug_struct("HealthRegistry")
            .field("checks", &names)
            .field("draining", &self.is_draining())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use stylobate_core::BoxFuture;

    use super::*;

    struct Scripted {
        name: &'static str,
        critical: bool,
        status: HealthStatus,
        takes: Duration,
        asked: AtomicUsize,
    }

    impl Scripted {
        fn new(name: &'static str, status: HealthStatus) -> Self {
            Self { name, critical: true, status, takes: Duration::ZERO, asked: AtomicUsize::new(0) }
        }
    }

    impl HealthCheck for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }

        fn is_critical(&self) -> bool {
            self.critical
        }

        fn check(&self) -> BoxFuture<'_, Health> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::time::sleep(self.takes).await;
                Health { status: self.status, detail: None }
            })
        }
    }

    struct Panicking;

    impl HealthCheck for Panicking {
        fn name(&self) -> &'static str {
            "panicking"
        }

        fn check(&self) -> BoxFuture<'_, Health> {
            panic!("on purpose")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_critical_check_that_is_down_makes_the_service_unready_and_another_only_degraded() {
        let database = Arc::new(Scripted::new("database", HealthStatus::Up));
        let cache = Arc::new(Scripted { critical: false, ..Scripted::new("cache", HealthStatus::Down) });
        let registry = HealthRegistry::new().register(database).register(cache);
        let report = registry.ready().await;
        assert_eq!((report.status, report.is_ready()), (HealthStatus::Degraded, true));
        let registry = registry.register(Arc::new(Scripted::new("database", HealthStatus::Down)));
        let report = registry.ready().await;
        assert_eq!((report.status, report.is_ready(), report.checks.len()), (HealthStatus::Down, false, 2));
        assert_eq!(registry.live().status, HealthStatus::Up);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_down_after_the_time_out() {
        let hung = Arc::new(Scripted {
            takes: Duration::from_secs(3_600),
            ..Scripted::new("hung", HealthStatus::Up)
        });
        let begun = Instant::now();
        let report = HealthRegistry::new().register(hung).ready().await;
        assert_eq!(report.checks["hung"].status, HealthStatus::Down);
        assert_eq!(report.checks["hung"].latency_ms, 1_000);
        assert_eq!(begun.elapsed(), CHECK_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_panics_is_down() {
        let report = HealthRegistry::new().register(Arc::new(Panicking)).ready().await;
        assert_eq!(report.checks["panicking"].status, HealthStatus::Down); // A32
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_probes_asks_once_per_quarter_second() {
        let check =
            Arc::new(Scripted { takes: Duration::from_millis(20), ..Scripted::new("db", HealthStatus::Up) });
        let registry = HealthRegistry::new().register(Arc::clone(&check) as Arc<dyn HealthCheck>);
        let mut probes = JoinSet::new();
        for _ in 0..500 {
            let registry = registry.clone();
            probes.spawn(async move { registry.ready().await.is_ready() });
        }
        assert!(probes.join_all().await.into_iter().all(|ready| ready));
        assert_eq!(check.asked.load(Ordering::SeqCst), 1);
        tokio::time::sleep(CACHED_FOR).await;
        registry.ready().await;
        assert_eq!(check.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn draining_turns_ready_false_and_leaves_live_true() {
        let registry = HealthRegistry::new().register(Arc::new(Scripted::new("db", HealthStatus::Up)));
        assert!(registry.ready().await.is_ready());
        registry.drain();
        let report = registry.ready().await;
        assert!(!report.is_ready() && report.draining);
        assert_eq!(report.checks["db"].status, HealthStatus::Up);
        assert!(registry.live().is_ready());
    }

    #[test]
    fn the_report_is_small_when_all_is_well() {
        let checks = BTreeMap::from([("db", CheckReport::of(Health::up(), Duration::from_millis(3)))]);
        let report = HealthReport { status: HealthStatus::Up, draining: false, checks };
        let json = r#"{"status":"up","checks":{"db":{"status":"up","latency_ms":3}}}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
    }
}
