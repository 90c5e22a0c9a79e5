use std::{sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use serde::{Serialize, de::DeserializeOwned};
use stylobate_core::{Clock, JobId, Principal, RequestContext, TenantId};
use stylobate_db::{Db, Scope, Tx};
use tokio::sync::watch;

use crate::{
    JobsError, Progress, State,
    record::shortened,
    store::{
        claim::{Claimed, Lease},
        finish::{self, Ended},
        jobs,
    },
};

/// Most bytes of an output: 64 KiB.
pub const OUTPUT_MAX: usize = 64 << 10;
/// Most bytes of a checkpoint: 64 KiB.
pub const CHECKPOINT_MAX: usize = 64 << 10;

/// Why an attempt should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody says so.
    No,
    /// Somebody called the job off.
    Cancelled,
    /// The worker shuts down.
    Shutdown,
    /// The lease is lost: whatever the attempt still does, another worker may do as well.
    LeaseLost,
}

/// One attempt at a job, as its handler sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    inner: Arc<Inner>,
    stop: watch::Receiver<Stop>,
}

#[derive(Debug)]
struct Inner {
    lease: Lease,
    tenant: Option<TenantId>,
    attempt: u32,
    attempts_max: u32,
    checkpoint: Option<String>,
    traceparent: Option<String>,
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Attempt {
    pub(crate) fn new(claimed: &Claimed, db: Db, clock: Arc<dyn Clock>, stop: watch::Receiver<Stop>) -> Self {
        let inner = Inner {
            lease: claimed.lease,
            tenant: claimed.tenant,
            attempt: claimed.attempt,
            attempts_max: claimed.attempts_max,
            checkpoint: claimed.checkpoint.clone(),
            traceparent: claimed.traceparent.clone(),
            db,
            clock,
        };
        Self { inner: Arc::new(inner), stop }
    }

    /// Names the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.inner.lease.id
    }

    /// Whose job it is; `None` is the platform's.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        self.inner.tenant
    }

    /// Which attempt this is, from 1; those that were handed back are not counted, and the next one has their number again. It
    /// orders nothing for the world outside: two attempts can have the same.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.inner.attempt
    }

    /// Whether a failure of this one is the end.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.inner.attempt >= self.inner.attempts_max
    }

    /// How many more may follow if this one fails.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.inner.attempts_max.saturating_sub(self.inner.attempt)
    }

    /// The trace of whoever asked for the job (W3C Trace Context).
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.inner.traceparent.as_deref()
    }

    /// The database that the queue is in.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The platform acting for the job's tenant, in the trace of whoever asked: what services are called with.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        let mut context = RequestContext::system("job");
        context.traceparent = self.inner.traceparent.as_deref().and_then(|text| text.parse().ok());
        if let Some(tenant) = self.inner.tenant {
            context.principal = Principal::system().in_tenant(tenant);
        }
        context
    }

    /// The scope of the job's own rows.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.inner.tenant.map_or(Scope::Platform("a job of the platform"), Scope::Tenant)
    }

    /// Whether the handler should stop: the job was called off, the worker shuts down, or the lease is lost. Long work asks
    /// between its steps and returns early; who does not is dropped at its next `await` when the grace is over.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Whether somebody called the job off.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.stop.borrow() == Stop::Cancelled
    }

    /// Done when the handler should stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // The sender outlives the handler; without it there is nothing to wait for either.
        let _ = stop.wait_for(|stop| *stop != Stop::No).await;
    }

    /// Says how far the work is.
    ///
    /// # Errors
    /// [`JobsError::LeaseLost`] when another worker may have the job: stop then. The database's own.
    pub async fn progress(&self, percent: u8, note: Option<&str>) -> Result<(), JobsError> {
        let progress = Progress { percent: percent.min(100), note: note.map(|text| shortened(text, 200)) };
        let text = serde_json::to_string(&progress).unwrap_or_default();
        let lease = self.inner.lease;
        let write = async move |tx: &mut Tx| match jobs::set_progress(tx, lease, text.clone()).await? {
            true => Ok(()),
            false => Err(JobsError::LeaseLost),
        };
        self.inner.db.transact(self.scope(), write).await
    }

    /// What the last attempt that left something has left for this one; `None` when none did. It outlives a worker that dies,
    /// and a job that is asked for once more (but see [`Saga`](crate::Saga)).
    ///
    /// # Errors
    /// [`JobsError::Invalid`] when it is not what `T` reads.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>, JobsError> {
        let invalid = |error| JobsError::Invalid {
            field: "checkpoint",
            problem: format!("cannot be read: {}", crate::error::unreadable(&error)),
        };
        self.inner.checkpoint.as_deref().map(serde_json::from_str).transpose().map_err(invalid)
    }

    /// Leaves `value` for the next attempt, at most [`CHECKPOINT_MAX`] as JSON: how far long work is, so that it goes on there.
    ///
    /// # Errors
    /// As [`set_checkpoint_in`](Self::set_checkpoint_in).
    pub async fn set_checkpoint(&self, value: &impl Serialize) -> Result<(), JobsError> {
        let text = json_text("checkpoint", value, CHECKPOINT_MAX)?;
        let lease = self.inner.lease;
        let write = async move |tx: &mut Tx| match jobs::set_checkpoint(tx, lease, text.clone()).await? {
            true => Ok(()),
            false => Err(JobsError::LeaseLost),
        };
        self.inner.db.transact(self.scope(), write).await
    }

    /// The same in the transaction that does a part of the work: both happen, or neither.
    ///
    /// # Errors
    /// [`JobsError::LeaseLost`] when another worker may have the job: roll back. [`JobsError::Invalid`] when the value is too
    /// large, and the database's own.
    pub async fn set_checkpoint_in(&self, tx: &mut Tx, value: &impl Serialize) -> Result<(), JobsError> {
        let text = json_text("checkpoint", value, CHECKPOINT_MAX)?;
        match jobs::set_checkpoint(tx, self.inner.lease, text).await? {
            true => Ok(()),
            false => Err(JobsError::LeaseLost),
        }
    }

    /// Ends the job in the transaction that does its work: both happen, or neither, and exactly once whatever dies. Commit and
    /// return: what the handler returns is ignored then, and what it still does may be dropped at any `await`.
    ///
    /// # Errors
    /// [`JobsError::LeaseLost`] when another worker may have the job: roll back. [`JobsError::Invalid`] when the output is
    /// too large, and the database's own.
    pub async fn complete_in(&self, tx: &mut Tx, output: &impl Serialize) -> Result<(), JobsError> {
        let now = self.inner.clock.now().trunc_subsecs(6);
        let result = Some(output_text(output)?);
        let ended = Ended { result, ..Ended::new(self.inner.lease, State::Completed) };
        if finish::finish(tx, &[ended], now).await?.is_empty() {
            return Err(JobsError::LeaseLost);
        }
        Ok(())
    }

    /// Does what blocks or computes for long on a thread of its own, and returns what it comes to. It is not dropped with the
    /// handler: let it ask [`should_stop`](Self::should_stop), or it still goes on when another attempt is made.
    ///
    /// # Panics
    /// When `work` does; that is a failed attempt.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let attempt = self.clone();
        match tokio::task::spawn_blocking(move || work(&attempt)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that shuts down leaves it out, and it drops the handler as well.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits, unless the handler should stop; tells whether the whole time passed.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.stopped() => false,
        }
    }
}

pub(crate) fn output_text(output: &impl Serialize) -> Result<String, JobsError> {
    json_text("output", output, OUTPUT_MAX)
}

fn json_text(field: &'static str, value: &impl Serialize, most: usize) -> Result<String, JobsError> {
    let invalid = |problem: String| JobsError::Invalid { field, problem };
    let text =
        serde_json::to_string(value).map_err(|error| invalid(format!("cannot be written: {error}")))?;
    if text.len() > most {
        return Err(invalid(format!("has {} bytes, more than {most}", text.len())));
    }
    Ok(text)
}
