//! Doing together what is asked for at once: while one batch is with the database, the next gathers.

use std::future::Future;

use parking_lot::Mutex;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::JoinSet,
};

use crate::NotifierError;

/// How many are answered at once.
const AT_ONCE: usize = 64;

/// Gathers questions while others are being answered. Nobody waits for company: whoever comes alone is answered alone.
pub(crate) struct Together<Q, A> {
    waiting: Mutex<Vec<(Q, oneshot::Sender<A>)>>,
    /// Whoever has it answers all that wait.
    turn: tokio::sync::Mutex<()>,
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Together<Q, A> {
    /// What `answer` says to `question`, asked with those of others that came meanwhile: it answers all of them, in their order, or
    /// fails. Where it fails or panics for several, each is asked again by itself: nobody pays for what is wrong with another.
    ///
    /// A question may be answered although whoever asked it is gone.
    pub(crate) async fn ask<F>(&self, question: Q, answer: impl Fn(Vec<Q>) -> F) -> Result<A, NotifierError>
    where
        F: Future<Output = Result<Vec<A>, NotifierError>> + Send + 'static,
    {
        let (sender, mut answered) = oneshot::channel();
        self.waiting.lock().push((question.clone(), sender));
        let turn = self.turn.lock().await;
        loop {
            match answered.try_recv() {
                Ok(found) => return Ok(found),
                // Those that it was asked with failed.
                Err(TryRecvError::Closed) => {
                    drop(turn);
                    return alone(question, answer).await;
                }
                Err(TryRecvError::Empty) => {}
            }
            let (questions, senders) = self.next();
            if questions.len() == 1 {
                // Its own: what others ask meanwhile waits for the turn.
                return alone(question, answer).await;
            }
            // In a task, so that a panic is nobody's; of a set, so that it ends with whoever waits for it.
            let mut batch = JoinSet::new();
            batch.spawn(answer(questions));
            match batch.join_next().await {
                Some(Ok(Ok(answers))) => {
                    for (sender, found) in senders.into_iter().zip(answers) {
                        // Whoever asked may be gone.
                        let _ = sender.send(found);
                    }
                }
                Some(Ok(Err(error))) => {
                    tracing::debug!(code = error.code(), %error, "what failed together is tried one by one");
                }
                _ => tracing::debug!("what panicked together is tried one by one"),
            }
        }
    }

    fn next(&self) -> (Vec<Q>, Vec<oneshot::Sender<A>>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|(_, sender)| !sender.is_closed());
        let most = waiting.len().min(AT_ONCE);
        waiting.drain(..most).unzip()
    }
}

async fn alone<Q, A, F>(question: Q, answer: impl Fn(Vec<Q>) -> F) -> Result<A, NotifierError>
where
    F: Future<Output = Result<Vec<A>, NotifierError>>,
{
    answer(vec![question]).await?.pop().ok_or(NotifierError::Panicked)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;

    use super::*;

    /// Says what it was asked, in batches.
    #[derive(Default)]
    struct World {
        together: Together<u32, u32>,
        batches: Mutex<Vec<Vec<u32>>>,
        /// The first batch waits for it.
        go_on: Notify,
    }

    impl World {
        /// Doubles. All fail that 13 is among, and panic with 14.
        async fn ask(self: Arc<Self>, question: u32) -> Result<u32, NotifierError> {
            let this = Arc::clone(&self);
            self.together
                .ask(question, move |questions| {
                    let this = Arc::clone(&this);
                    async move {
                        let is_first = {
                            let mut batches = this.batches.lock().unwrap();
                            batches.push(questions.clone());
                            batches.len() == 1
                        };
                        if is_first {
                            this.go_on.notified().await;
                        }
                        assert!(!questions.contains(&14), "fourteen");
                        if questions.contains(&13) {
                            return Err(NotifierError::ForeignTenant);
                        }
                        Ok(questions.into_iter().map(|question| 2 * question).collect())
                    }
                })
                .await
        }

        fn batches(&self) -> Vec<Vec<u32>> {
            self.batches.lock().unwrap().clone()
        }
    }

    /// One that is being answered, and those that come meanwhile.
    async fn asked(
        world: &Arc<World>,
        first: u32,
        others: &[u32],
    ) -> Vec<tokio::task::JoinHandle<Result<u32, NotifierError>>> {
        let mut tasks = vec![tokio::spawn(Arc::clone(world).ask(first))];
        while world.batches().is_empty() {
            tokio::task::yield_now().await;
        }
        for (n, other) in others.iter().enumerate() {
            tasks.push(tokio::spawn(Arc::clone(world).ask(*other)));
            while world.together.waiting.lock().len() <= n {
                tokio::task::yield_now().await;
            }
        }
        tasks
    }

    #[tokio::test]
    async fn what_is_asked_meanwhile_is_answered_together() {
        let world = Arc::new(World::default());
        let tasks = asked(&world, 1, &[2, 3, 4]).await;
        world.go_on.notify_one();
        for (n, task) in (1..).zip(tasks) {
            assert_eq!(task.await.unwrap().unwrap(), 2 * n);
        }
        assert_eq!(world.batches(), [vec![1], vec![2, 3, 4]]);
    }

    #[tokio::test]
    async fn a_batch_has_no_more_than_it_may() {
        let world = Arc::new(World::default());
        let others: Vec<u32> = (100..100 + u32::try_from(AT_ONCE).unwrap() + 1).collect();
        let tasks = asked(&world, 1, &others).await;
        world.go_on.notify_one();
        for (task, asked) in tasks.into_iter().zip(std::iter::once(1).chain(others)) {
            assert_eq!(task.await.unwrap().unwrap(), 2 * asked);
        }
        let sizes: Vec<usize> = world.batches().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, AT_ONCE, 1]);
    }

    #[tokio::test]
    async fn nobody_pays_for_what_is_wrong_with_another() {
        for wrong in [13, 14] {
            let world = Arc::new(World::default());
            let tasks = asked(&world, 1, &[2, wrong, 3]).await;
            world.go_on.notify_one();
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await);
            }
            let good = |n: usize| answers[n].as_ref().unwrap().as_ref().unwrap();
            assert_eq!([good(0), good(1), good(3)], [&2, &4, &6]);
            assert!(!matches!(&answers[2], Ok(Ok(_))), "{wrong}");
            let mut batches = world.batches();
            batches[2..].sort();
            assert_eq!(batches, [vec![1], vec![2, wrong, 3], vec![2], vec![3], vec![wrong]]);
        }
    }

    #[tokio::test]
    async fn whoever_leaves_takes_nobody_along() {
        let world = Arc::new(World::default());
        let mut tasks = asked(&world, 1, &[2, 3, 4]).await;
        // One that is being answered, and one that waits.
        tasks.remove(2).abort();
        tasks.remove(0).abort();
        for (task, answer) in tasks.into_iter().zip([4, 8]) {
            assert_eq!(task.await.unwrap().unwrap(), answer);
        }
        assert_eq!(world.batches(), [vec![1], vec![2, 4]]);
    }

    #[tokio::test]
    async fn those_who_wait_for_somebody_who_leaves_are_asked_again() {
        let world = Arc::new(World::default());
        let mut tasks = asked(&world, 1, &[2, 3]).await;
        world.go_on.notify_one();
        while world.batches().len() < 2 {
            tokio::task::yield_now().await;
        }
        // It has the turn, or has just been answered.
        tasks.remove(1).abort();
        assert_eq!(tasks.pop().unwrap().await.unwrap().unwrap(), 6);
    }
}
