use std::{fmt, marker::PhantomData, time::Duration};

use stylobate_core::{JobId, RequestContext};
use stylobate_db::Scope;

use crate::{Job, JobRecord, Jobs, JobsError, Progress, State};

/// A job that was asked for, of a known kind. For the program that asked: it sees the job whatever tenant it is of.
pub struct Handle<J> {
    jobs: Jobs,
    id: JobId,
    kind: PhantomData<fn() -> J>,
}

impl<J> Clone for Handle<J> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), id: self.id, kind: PhantomData }
    }
}

impl<J> fmt::Debug for Handle<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// With this output.
    Completed(T),
    /// It failed for good; the text of its last failure.
    Discarded(String),
    /// It was called off.
    Cancelled,
}

const EVERY: Duration = Duration::from_millis(200);

impl<J: Job> Handle<J> {
    pub(crate) fn new(jobs: Jobs, id: JobId) -> Self {
        Self { jobs, id, kind: PhantomData }
    }

    /// Names the job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The whole of it.
    ///
    /// # Errors
    /// [`JobsError::NotFound`] when it has been pruned or its transaction was rolled back; [`JobsError::Invalid`] with the
    /// field `name` when the job is of another kind than `J`.
    pub async fn record(&self) -> Result<JobRecord, JobsError> {
        let record = self.jobs.get_in(Scope::Platform("the handle of a job"), self.id).await?;
        if record.name != J::NAME {
            let problem = format!("is `{}`, and not that of a `{}`", record.name, J::NAME);
            return Err(JobsError::Invalid { field: "name", problem });
        }
        Ok(record)
    }

    /// Where it is in its life.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub async fn state(&self) -> Result<State, JobsError> {
        Ok(self.record().await?.state)
    }

    /// How far it says it is.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub async fn progress(&self) -> Result<Option<Progress>, JobsError> {
        Ok(self.record().await?.progress)
    }

    /// How it ended; `None` while it has not.
    ///
    /// # Errors
    /// As [`record`](Self::record); [`JobsError::Invalid`] when the stored output is not of this kind.
    pub async fn outcome(&self) -> Result<Option<Outcome<J::Output>>, JobsError> {
        let record = self.record().await?;
        Ok(match record.state {
            State::Completed => {
                let output = serde_json::from_value(record.result.unwrap_or_default());
                let output = output.map_err(|error| JobsError::Invalid {
                    field: "result",
                    problem: format!("is of another kind: {error}"),
                })?;
                Some(Outcome::Completed(output))
            }
            State::Discarded => {
                let last = record.errors.into_iter().next_back();
                Some(Outcome::Discarded(last.map(|error| error.message).unwrap_or_default()))
            }
            State::Cancelled => Some(Outcome::Cancelled),
            State::Available | State::Leased | State::Retryable => None,
        })
    }

    /// Waits until it has ended, looking every 200 ms. Bound it with a time-out: a job may wait for days.
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub async fn wait(&self) -> Result<Outcome<J::Output>, JobsError> {
        loop {
            if let Some(outcome) = self.outcome().await? {
                return Ok(outcome);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Calls it off, as [`Jobs::cancel`].
    ///
    /// # Errors
    /// As [`Jobs::cancel`], and as [`record`](Self::record).
    pub async fn cancel(&self, context: &RequestContext) -> Result<JobRecord, JobsError> {
        self.record().await?;
        self.jobs.cancel(context, self.id).await
    }
}
