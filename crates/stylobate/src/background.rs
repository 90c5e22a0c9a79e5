//! What goes on beside requests.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stylobate_auth::Auth;
use stylobate_core::{AuditSink, Clock};
use stylobate_db::Db;
use stylobate_events::Events;
use stylobate_jobs::{Jobs, Registry, Retention, Worker, WorkerOptions};
#[cfg(feature = "notify")]
use stylobate_notify::Notifier;
use stylobate_rbac::Rbac;
use stylobate_tenancy::Tenancy;

use crate::{Platform, Settings};

/// How long running jobs may go on at shutdown, and how long after they were told to stop: together with writing it down
/// (5 s) less than the 30 s after which the process cuts everything off.
const DRAIN: Duration = Duration::from_secs(14);
const CANCEL_GRACE: Duration = Duration::from_secs(8);

/// How often it is looked for deliveries whose job was called off or given up, and how long those have been due by then.
#[cfg(any(feature = "notify", feature = "webhooks"))]
const LOOK_EVERY: Duration = Duration::from_secs(300);
#[cfg(any(feature = "notify", feature = "webhooks"))]
const OVERDUE: Duration = Duration::from_secs(600);

/// The handles of a platform that is being put together: what kinds of job work with.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Handles<'a> {
    /// What the operator set.
    pub settings: &'a Settings,
    /// Where the present comes from.
    pub clock: &'a Arc<dyn Clock>,
    /// The database.
    pub db: &'a Db,
    /// Sign-in, sessions and tokens.
    pub auth: &'a Auth,
    /// Roles and permissions.
    pub rbac: &'a Rbac,
    /// Organisations and memberships.
    pub tenancy: &'a Arc<Tenancy>,
    /// The audit trail.
    pub audit_sink: &'a Arc<dyn AuditSink>,
    /// The queue itself.
    pub jobs: &'a Jobs,
    /// What happens, and who hears it.
    pub events: &'a Events,
    /// Messages to people.
    #[cfg(feature = "notify")]
    pub notifier: &'a Notifier,
}

type Fill = Box<dyn FnOnce(Registry, &Handles<'_>) -> Registry + Send>;

/// The kinds of job while the platform is put together.
#[derive(Default)]
pub(crate) struct Kinds(Vec<Fill>);

impl Kinds {
    pub(crate) fn add(&mut self, fill: impl FnOnce(Registry, &Handles<'_>) -> Registry + Send + 'static) {
        self.0.push(Box::new(fill));
    }

    pub(crate) fn fill(self, handles: &Handles<'_>) -> Registry {
        self.0.into_iter().fold(Registry::new(), |registry, fill| fill(registry, handles))
    }
}

impl Platform {
    /// Works on the jobs of the known kinds, in the background and until the service ends: then it takes no more, and what
    /// runs has 14 s to finish and 8 s to stop before it is handed back. Delivers messages and webhooks whose job was called off or
    /// given up as well: no other process sends anything. Call it once.
    pub fn work(&self) {
        self.keep_up_jobs();
        let settings = self.settings();
        let concurrency = settings.worker_concurrency;
        let options = WorkerOptions {
            name: process_name(),
            queues: self.kinds().queues().iter().map(|queue| places_of(queue, concurrency)).collect(),
            lease: settings.job_lease,
            cancel_grace: CANCEL_GRACE,
            drain: DRAIN,
            ..WorkerOptions::default()
        };
        let worker = Worker::new(self.jobs().clone(), self.kinds().clone(), options);
        let draining = self.shutdown().token();
        self.shutdown().spawn(async move { worker.run(draining.cancelled()).await });
        #[cfg(feature = "notify")]
        {
            let notifier = self.notifier().clone();
            self.look_for_overdue("messages", move || {
                let notifier = notifier.clone();
                async move { notifier.deliver_overdue(OVERDUE).await }
            });
        }
        #[cfg(feature = "webhooks")]
        {
            let webhooks = self.webhooks().clone();
            self.look_for_overdue("webhooks", move || {
                let webhooks = webhooks.clone();
                async move { webhooks.deliver_overdue(OVERDUE).await }
            });
        }
    }

    /// Has `deliver` see every few minutes to deliveries that were left behind: that seldom one loses its job. At shutdown what is under
    /// way has as long as jobs have.
    #[cfg(any(feature = "notify", feature = "webhooks"))]
    fn look_for_overdue<E, F>(&self, what: &'static str, deliver: impl Fn() -> F + Send + 'static)
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<usize, E>> + Send + 'static,
    {
        let draining = self.shutdown().token();
        self.shutdown().spawn(async move {
            loop {
                // Jitter, so that processes that were started together do not look together.
                let pause = LOOK_EVERY.mul_f64(0.5 + fastrand::f64());
                if draining.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                let drained = async {
                    draining.cancelled().await;
                    tokio::time::sleep(DRAIN).await;
                };
                let delivered = tokio::select! {
                    delivered = deliver() => delivered,
                    () = drained => return,
                };
                match delivered {
                    Ok(0) => {}
                    Ok(found) => tracing::warn!(what, found, "deliveries had been left behind"),
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(what, error, "no look for deliveries that were left behind");
                    }
                }
            }
        });
    }

    /// Asks for the jobs of schedules when their time has come, in the background and until the service ends: what one process
    /// must do, and any number may. Call it once.
    pub fn follow_schedules(&self) {
        self.keep_up_jobs();
        let (schedules, draining) = (self.schedules().clone(), self.shutdown().token());
        self.shutdown().spawn(async move { schedules.run(draining.cancelled()).await });
    }

    /// Takes jobs from workers that are gone, keeps the counts short and says in the log when schedules are overdue, and removes and
    /// measures messages but sends none, in the background and until the service ends: what one process must do, and any number may.
    /// [`work`](Self::work) and [`follow_schedules`](Self::follow_schedules) do it too; calling it again does nothing.
    pub fn keep_up_jobs(&self) {
        if self.parts.keeps_up.swap(true, Ordering::AcqRel) {
            return;
        }
        let (jobs, lease) = (self.jobs().clone(), self.settings().job_lease);
        let retention = if self.parts.sweeps_by_jobs { Retention::FOREVER } else { Retention::default() };
        let draining = self.shutdown().token();
        self.shutdown().spawn(async move { jobs.keep_up(lease, retention, draining.cancelled()).await });
        #[cfg(feature = "notify")]
        {
            let (notifier, outbox) = (self.notifier().clone(), self.outbox());
            let kept = self.settings().messages.deliveries_kept;
            let draining = self.shutdown().token();
            self.shutdown().spawn(async move {
                crate::messaging::keep_up(&notifier, outbox, kept, draining.cancelled()).await;
            });
        }
    }

    /// What every process needs: following what others revoke and grant, and cleaning up.
    pub(crate) fn follow_others(&self) {
        let (rbac, draining) = (self.rbac().clone(), self.shutdown().token());
        self.shutdown().spawn(async move { rbac.run(draining.cancelled()).await });
        let (auth, draining) = (self.auth().clone(), self.shutdown().token());
        if self.parts.sweeps_by_jobs {
            self.shutdown().spawn(async move { auth.run_without_sweeps(draining.cancelled()).await });
        } else {
            self.shutdown().spawn(async move { auth.run(draining.cancelled()).await });
        }
    }
}

/// How many jobs of `queue` run at once. Those about messages wait for others more than they work, and the more of them are under
/// way, the more they ask the database together.
fn places_of(queue: &str, concurrency: usize) -> (String, usize) {
    #[cfg(feature = "notify")]
    if queue == crate::messaging::MESSAGE_QUEUE {
        return (queue.to_owned(), 8 * concurrency);
    }
    (queue.to_owned(), concurrency)
}

/// Host and process: what the rows of running jobs say.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().take(64).collect();
    let host = if host.is_empty() { "worker" } else { host.as_str() };
    format!("{host}-{}", std::process::id())
}
