use std::future::Future;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use stylobate_core::BoxFuture;

use crate::{Action, Attempt, Failed, Failure, JobsError, record::shortened};

/// How many attempts of a job are kept for undoing, if it has enough: at most half of them.
const RESERVE: u32 = 3;

/// Several steps, done in order; when one fails for good, those before it are undone in reverse.
///
/// What each step resulted in is stored with the job ([`Attempt::set_checkpoint`], so all of it together is at most
/// [`CHECKPOINT_MAX`](crate::CHECKPOINT_MAX)). An attempt that follows another runs the handler from its beginning; steps that
/// are done hand out what they resulted in and run nothing.
///
/// 1. A step fails for good when it says so ([`Action::Discard`]), when the job is called off while it runs, or when as many
///    attempts are used up as leave three for undoing (with fewer than seven: half of what is left after the first). So let
///    the kind have three attempts at least.
/// 2. Then [`undoable`](Self::undoable) steps are undone, last first, and the job is a dead letter. Undoing survives a worker's
///    death as doing does. Undoing that fails is tried again while there are attempts; after that it is for an administrator:
///    asking for the job once more goes on undoing.
/// 3. A job whose steps are all undone begins anew when it is asked for once more: it has no checkpoint then.
/// 4. A worker may die between a step and storing that it is done: the step runs again. Hand services that can tell a
///    repetition the job's id and the step's name. The same holds for undoing.
/// 5. Only steps are undone. What fails between them fails the attempt; put what can fail into steps. The first step that
///    fails ends the attempt, whatever the handler does about it: a step that may fail returns that as what it resulted in.
/// 6. A job that is called off while it runs has [`WorkerOptions::cancel_grace`](crate::WorkerOptions::cancel_grace) for
///    undoing and is cancelled then; one that is called off while it waits for its next attempt is cancelled as it is. The
///    checkpoint tells what is done and not undone. Asked for once more, the job goes on where it was.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stylobate_jobs::{Attempt, Failed, Job, Saga};
///
/// # #[derive(Clone)] struct Shop;
/// # impl Shop {
/// #     async fn reserve(&self, _: u32) -> Result<u64, Failed> { Ok(7) }
/// #     async fn release(&self, _: u64) -> Result<(), Failed> { Ok(()) }
/// #     async fn charge(&self, _: u32) -> Result<String, Failed> { Ok("receipt".to_owned()) }
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     article: u32,
/// }
///
/// impl Job for Order {
///     const NAME: &'static str = "shop.order";
///     type State = Shop;
///     type Output = String;
///     type Error = Failed;
///
///     async fn run(self, attempt: Attempt, shop: Shop) -> Result<String, Failed> {
///         let mut saga = Saga::of(&attempt)?;
///         saga.undoable("reserve", shop.reserve(self.article), |place| shop.release(place)).await?;
///         saga.step("charge", shop.charge(self.article)).await
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Saga<'a> {
    attempt: Attempt,
    log: Log,
    seen: Vec<&'static str>,
    undo: Vec<Undo<'a>>,
    /// What this attempt has failed with.
    failed: Option<Failed>,
}

/// What is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    /// The steps that are done and not undone, in order, and what they resulted in.
    done: Vec<(String, Value)>,
    /// Why the steps are being undone, once they are.
    undoing: Option<String>,
}

/// Whether `checkpoint` is that of steps of which all are undone. Nothing is left of them then, and whoever asks for the job once
/// more forgets them; decided there, since only there one run of a job ends and the next begins.
pub(crate) fn is_all_undone(checkpoint: &Value) -> bool {
    Log::deserialize(checkpoint).is_ok_and(|log| log.done.is_empty() && log.undoing.is_some())
}

struct Undo<'a> {
    name: &'static str,
    run: Box<dyn FnOnce(Value) -> BoxFuture<'a, Result<(), Failed>> + Send + 'a>,
}

impl std::fmt::Debug for Undo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<'a> Saga<'a> {
    /// The steps of the job that `attempt` is about, as far as they are done. One for a job: its checkpoint is theirs.
    ///
    /// # Errors
    /// [`JobsError::Invalid`] when something else has used the checkpoint.
    pub fn of(attempt: &Attempt) -> Result<Self, JobsError> {
        let log = attempt.checkpoint()?.unwrap_or_default();
        Ok(Self { attempt: attempt.clone(), log, seen: Vec::new(), undo: Vec::new(), failed: None })
    }

    /// Does a step that needs no undoing, or hands out what it resulted in. `name` is stored and names no other step of the job;
    /// `action` is not polled when the step is done.
    ///
    /// # Errors
    /// When it failed, or the steps before it were undone: return it from the handler.
    pub async fn step<T, E>(
        &mut self,
        name: &'static str,
        action: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, Failed>
    where
        T: Serialize + DeserializeOwned + Send,
        E: Failure,
    {
        self.take(name, action, None).await
    }

    /// The same with what undoes it, given what it resulted in. It may run more than once, and after a step that was undone
    /// half-way.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn undoable<T, E, U, F>(
        &mut self,
        name: &'static str,
        action: impl Future<Output = Result<T, E>> + Send,
        undo: impl FnOnce(T) -> U + Send + 'a,
    ) -> Result<T, Failed>
    where
        T: Serialize + DeserializeOwned + Send,
        E: Failure,
        U: Future<Output = Result<(), F>> + Send + 'a,
        F: Failure,
    {
        let run = Box::new(move |result: Value| -> BoxFuture<'a, Result<(), Failed>> {
            match serde_json::from_value(result) {
                Ok(result) => {
                    let undone = undo(result);
                    Box::pin(async move { undone.await.map_err(|failure| Failed::of(&failure)) })
                }
                Err(error) => Box::pin(async move { Err(Failed::discard(error)) }),
            }
        });
        self.take(name, action, Some(Undo { name, run })).await
    }

    async fn take<T, E>(
        &mut self,
        name: &'static str,
        action: impl Future<Output = Result<T, E>> + Send,
        undo: Option<Undo<'a>>,
    ) -> Result<T, Failed>
    where
        T: Serialize + DeserializeOwned + Send,
        E: Failure,
    {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let result = self.try_take(name, action, undo).await;
        self.failed = result.as_ref().err().cloned();
        result
    }

    async fn try_take<T, E>(
        &mut self,
        name: &'static str,
        action: impl Future<Output = Result<T, E>> + Send,
        undo: Option<Undo<'a>>,
    ) -> Result<T, Failed>
    where
        T: Serialize + DeserializeOwned + Send,
        E: Failure,
    {
        if self.seen.contains(&name) {
            return Err(Failed::discard(format!("two steps are called `{name}`")));
        }
        self.seen.push(name);
        if let Some((_, result)) = self.log.done.iter().find(|(done, _)| done == name) {
            let result = T::deserialize(result).map_err(|error| {
                Failed::discard(format!(
                    "what `{name}` resulted in cannot be read: {}",
                    crate::error::unreadable(&error)
                ))
            })?;
            self.undo.extend(undo);
            return Ok(result);
        }
        if self.log.undoing.is_some() {
            return Err(self.undo_all().await);
        }
        if self.attempt.is_cancelled() {
            return Err(self.fail("called off".to_owned()).await);
        }
        if self.attempt.should_stop() {
            return Err(Failed::retry("told to stop"));
        }
        if self.attempt.left() < self.reserve() {
            return Err(self.fail(format!("`{name}` was begun in every attempt and never ended")).await);
        }
        let result = match action.await {
            Ok(result) => result,
            Err(failure) => {
                let failed = Failed::of(&failure).about(name);
                let is_final = failed.action() == Action::Discard
                    || self.attempt.is_cancelled()
                    || self.attempt.left() <= self.reserve();
                return Err(if is_final { self.fail(failed.to_string()).await } else { failed });
            }
        };
        let stored = match serde_json::to_value(&result) {
            Ok(value) => value,
            Err(error) => return Err(self.fail(format!("what {name} resulted in: {error}")).await),
        };
        let is_undoable = undo.is_some();
        self.log.done.push((name.to_owned(), stored));
        self.undo.extend(undo);
        match self.attempt.set_checkpoint(&self.log).await {
            Ok(()) => Ok(result),
            // It cannot be stored, now or ever, and is undone while this attempt knows what it resulted in.
            Err(error @ JobsError::Invalid { .. }) => {
                if !is_undoable {
                    self.log.done.pop();
                }
                Err(self.fail(format!("what {name} resulted in: {error}")).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How many attempts doing leaves to undoing.
    fn reserve(&self) -> u32 {
        let all = self.attempt.number() + self.attempt.left();
        RESERVE.min(all.saturating_sub(1) / 2)
    }

    /// Begins to undo, and returns what the attempt fails with.
    async fn fail(&mut self, why: String) -> Failed {
        self.log.undoing = Some(shortened(&why, 1_000));
        if let Err(error) = self.attempt.set_checkpoint(&self.log).await
            && !matches!(error, JobsError::Invalid { .. })
        {
            return error.into();
        }
        self.undo_all().await
    }

    async fn undo_all(&mut self) -> Failed {
        while let Some(undo) = self.undo.pop() {
            let Some(place) = self.log.done.iter().position(|(done, _)| done == undo.name) else { continue };
            let (name, result) = self.log.done.remove(place);
            if let Err(failure) = (undo.run)(result).await {
                return failure.about(&format!("undoing {name}"));
            }
            if let Err(error) = self.attempt.set_checkpoint(&self.log).await {
                return error.into();
            }
        }
        // What is left needs no undoing, and is done once more if the job is asked for once more.
        if !self.log.done.is_empty() {
            self.log.done.clear();
            if let Err(error) = self.attempt.set_checkpoint(&self.log).await {
                return error.into();
            }
        }
        let why = self.log.undoing.as_deref().unwrap_or_default();
        Failed::discard(format!("{why}; the steps before it are undone"))
    }
}
