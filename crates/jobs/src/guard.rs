use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::JobsError;

/// One turn of a loop that goes on for as long as its process: a panic in it is an error like others, and not the end of the
/// loop. What a turn has left behind half done in its own process is nothing; what it did in the database is rolled back.
pub(crate) async fn guarded<T>(turn: impl Future<Output = Result<T, JobsError>>) -> Result<T, JobsError> {
    let mut turn = pin!(turn);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| turn.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(JobsError::Panicked)),
    })
    .await
}

/// Does what takes a while and comes to no `await` where nobody waits for it.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobsError> + Send + 'static,
) -> Result<T, JobsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(JobsError::Panicked),
    }
}
