use std::{collections::HashMap, fmt, marker::PhantomData, sync::Arc};

use serde_json::Value;
use stylobate_core::BoxFuture;

use crate::{
    Action, Attempt, Failure as _, Job,
    attempt::output_text,
    error::unreadable,
    kind::{Marks, Shape},
};

/// How the handler of an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ran {
    /// With this output.
    Done(String),
    /// With this message, and what is to be done then.
    Failed(String, Action),
    /// The stored payload is not what the job's type reads.
    Unreadable(String),
    /// The payload is of a newer version than this program's.
    TooNew,
}

/// A kind of job that this program knows, its type forgotten.
pub(crate) trait Runs: Send + Sync {
    fn shape(&self) -> Shape;
    /// What a job of this kind that is written as `payload` says of itself.
    fn marks(&self, payload: &Value) -> Result<Marks, serde_json::Error>;
    fn run(self: Arc<Self>, version: i64, payload: String, attempt: Attempt) -> BoxFuture<'static, Ran>;
}

struct Kind<J: Job> {
    state: J::State,
    job: PhantomData<fn() -> J>,
}

impl<J: Job> Runs for Kind<J> {
    fn shape(&self) -> Shape {
        Shape::of::<J>()
    }

    fn marks(&self, payload: &Value) -> Result<Marks, serde_json::Error> {
        Marks::read::<J>(payload)
    }

    fn run(self: Arc<Self>, version: i64, payload: String, attempt: Attempt) -> BoxFuture<'static, Ran> {
        Box::pin(async move {
            if version > i64::from(J::VERSION) {
                return Ran::TooNew;
            }
            let job: J = match serde_json::from_str(&payload) {
                Ok(job) => job,
                Err(error) => {
                    return Ran::Unreadable(format!("the payload cannot be read: {}", unreadable(&error)));
                }
            };
            // Here, so that a clone that panics is a failed attempt.
            let state = self.state.clone();
            drop(self);
            match job.run(attempt, state).await {
                Ok(output) => match output_text(&output) {
                    Ok(text) => Ran::Done(text),
                    Err(error) => Ran::Failed(error.to_string(), Action::Discard),
                },
                Err(failure) => Ran::Failed(failure.to_string(), failure.action()),
            }
        })
    }
}

/// The kinds of job that a worker knows.
#[derive(Default, Clone)]
pub struct Registry {
    kinds: HashMap<&'static str, Arc<dyn Runs>>,
    queues: Vec<&'static str>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.kinds.keys().collect();
        names.sort_unstable();
        f.debug_set().entries(names).finish()
    }
}

impl Registry {
    /// One that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, which also knows `J` and what it works with. A kind of the same name is replaced.
    #[must_use]
    pub fn with<J: Job>(mut self, state: J::State) -> Self {
        self.kinds.insert(J::NAME, Arc::new(Kind::<J> { state, job: PhantomData }));
        if !self.queues.contains(&J::QUEUE) {
            self.queues.push(J::QUEUE);
        }
        self
    }

    /// The names it knows.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.kinds.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The queues that its kinds wait in.
    #[must_use]
    pub fn queues(&self) -> &[&'static str] {
        &self.queues
    }

    pub(crate) fn kind(&self, name: &str) -> Option<Arc<dyn Runs>> {
        self.kinds.get(name).map(Arc::clone)
    }
}
