use std::{sync::Arc, time::Duration};

use chrono::SubsecRound as _;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tracing::Instrument as _;

use super::{Shared, ending::Ending, pulse::Hold};
use crate::{
    Action, Attempt, Backoff, State, Step,
    attempt::Stop,
    backoff::time_after_std,
    record::with_error,
    registry::Ran,
    store::{claim::Claimed, finish::Ended},
};

/// How long a job that this program does not know, or knows an older version of, waits before it is looked at again.
const UNKNOWN_WAIT: Duration = Duration::from_secs(60);

/// How an attempt came to its end.
enum End {
    Ran(Ran),
    Panicked,
    TimedOut,
    /// Its handler was dropped because it should have stopped.
    Stopped,
    /// This program has no such kind.
    Unknown,
}

/// Runs one attempt and hands its end on to be written.
pub(super) async fn perform(
    worker: Arc<Shared>,
    mut job: Claimed,
    hold: Hold,
    mut stop: watch::Receiver<Stop>,
) {
    let span = tracing::info_span!(
        "job", id = %job.lease.id, name = job.name, queue = job.queue, attempt = job.attempt,
        tenant = job.tenant.map(tracing::field::display), traceparent = job.traceparent,
    );
    let began = Instant::now();
    let kind = worker.registry.kind(&job.name);
    let is_known = kind.is_some();
    let end = match kind {
        None => Some(End::Unknown),
        Some(kind) => {
            let attempt =
                Attempt::new(&job, worker.jobs.db.clone(), Arc::clone(&worker.jobs.clock), stop.clone());
            let payload = std::mem::take(&mut job.payload);
            let handler = tokio::spawn(kind.run(job.version, payload, attempt).instrument(span.clone()));
            wait_for(handler, &mut stop, Duration::from_millis(job.timeout_ms), worker.options.cancel_grace)
                .await
        }
    };
    let stopped_by = *stop.borrow();
    let Some(end) = end.filter(|_| stopped_by != Stop::LeaseLost) else {
        // Nothing is written, and nobody says any more that it lives: its lease runs out, and another worker gets it.
        span.in_scope(|| tracing::warn!("an attempt is given up"));
        if is_known {
            worker.jobs.measures.attempt(&job.name, None, began.elapsed());
        }
        return;
    };
    let ended = ending_of(&worker, &job, end, stopped_by, &span);
    if is_known {
        worker.jobs.measures.attempt(&job.name, Some(&ended), began.elapsed());
    }
    // If nobody is left who writes it, the hold on the job goes with it.
    let _ = worker.endings.send(Ending { ended, job, _hold: hold }).await;
}

/// `None` when the handler neither ended nor could be dropped: it does not come to an `await`.
async fn wait_for(
    mut handler: JoinHandle<Ran>,
    stop: &mut watch::Receiver<Stop>,
    timeout: Duration,
    grace: Duration,
) -> Option<End> {
    let told_to_stop = async {
        // Without a sender nobody will say so.
        let Ok(reason) = stop.wait_for(|stop| *stop != Stop::No).await.map(|reason| *reason) else {
            return std::future::pending().await;
        };
        if reason != Stop::LeaseLost {
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                _ = stop.wait_for(|stop| *stop == Stop::LeaseLost) => {}
            }
        }
    };
    let why = tokio::select! {
        biased;
        ran = &mut handler => return Some(ended(ran)),
        () = told_to_stop => End::Stopped,
        () = tokio::time::sleep(timeout) => End::TimedOut,
    };
    handler.abort();
    match tokio::time::timeout(grace, &mut handler).await {
        // It was quicker.
        Ok(Ok(ran)) => Some(End::Ran(ran)),
        Ok(Err(_)) => Some(why),
        Err(_) => None,
    }
}

fn ended(ran: Result<Ran, tokio::task::JoinError>) -> End {
    match ran {
        Ok(ran) => End::Ran(ran),
        Err(_) => End::Panicked,
    }
}

/// What is to be written about an attempt.
fn ending_of(worker: &Shared, job: &Claimed, end: End, stopped_by: Stop, span: &tracing::Span) -> Ended {
    let backoff = worker.registry.kind(&job.name).map_or(Backoff::DEFAULT, |kind| kind.shape().backoff);
    let usual = || backoff.wait(job.attempt, fastrand::u64(..));
    let has_attempts = job.attempt < job.attempts_max;
    let (step, message, wait) = match (end, stopped_by) {
        (End::Ran(Ran::Done(output)), _) => {
            return ended_as(worker, job, Step::Succeed, Some(output), None, None);
        }
        // What a handler says that was told to stop is not its own failure.
        (End::Ran(Ran::Failed(..)) | End::Stopped, Stop::Cancelled) => {
            return ended_as(worker, job, Step::EndCancelled, None, None, None);
        }
        (End::Ran(Ran::Failed(..)) | End::Stopped, Stop::Shutdown) => {
            return ended_as(worker, job, Step::Release, None, None, Some(Duration::ZERO));
        }
        (End::Ran(Ran::Failed(message, Action::Retry)), _) => (Step::Fail, message, Some(usual())),
        (End::Ran(Ran::Failed(message, Action::RetryAfter(wait))), _) => (Step::Fail, message, Some(wait)),
        (End::Ran(Ran::Failed(message, Action::Discard) | Ran::Unreadable(message)), _) => {
            (Step::GiveUp, message, None)
        }
        (End::Ran(Ran::TooNew), _) => {
            let message = format!("version {} is newer than this program's", job.version);
            (Step::Release, message, Some(UNKNOWN_WAIT))
        }
        (End::Unknown, _) => {
            (Step::Release, "no worker that looked knows a job of this name".to_owned(), Some(UNKNOWN_WAIT))
        }
        (End::Panicked, _) => (Step::Fail, "the handler panicked".to_owned(), Some(usual())),
        (End::TimedOut, _) => {
            let message = format!("timed out after {} ms", job.timeout_ms);
            (Step::Fail, message, Some(usual()))
        }
        (End::Stopped, _) => (Step::Fail, "stopped".to_owned(), Some(usual())),
    };
    span.in_scope(|| match step {
        Step::Fail if has_attempts => tracing::warn!(message, "an attempt failed"),
        Step::Release => tracing::warn!(message, "a job is handed back"),
        _ => tracing::error!(message, "a job is given up: a dead letter"),
    });
    ended_as(worker, job, step, None, Some(&message), wait)
}

fn ended_as(
    worker: &Shared,
    job: &Claimed,
    step: Step,
    result: Option<String>,
    message: Option<&str>,
    wait: Option<Duration>,
) -> Ended {
    let now = worker.jobs.clock.now().trunc_subsecs(6);
    let to = State::Leased.after(step, job.attempt < job.attempts_max).unwrap_or(State::Discarded);
    let run_at = wait.map(|wait| time_after_std(now, wait)).filter(|_| to == State::Retryable);
    let mut errors = job.errors.clone();
    // A job that is handed back again and again for the same reason keeps its real failures.
    errors.pop_if(|last| step == Step::Release && message.is_some_and(|message| last.message == message));
    let errors = message.map(|message| with_error(errors, job.attempt, now, message));
    Ended {
        run_at,
        result,
        errors: errors.and_then(|errors| serde_json::to_string(&errors).ok()),
        // What is handed back was no attempt at all.
        handed_back: step == Step::Release,
        ..Ended::new(job.lease, to)
    }
}
