use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::EventsError;

/// One turn of a loop that goes on for as long as its process: a panic in it is an error like others, and not the end of the
/// loop. What a turn has left behind half done in its own process is nothing; what it did in the database is rolled back.
pub(crate) async fn guarded<T>(turn: impl Future<Output = Result<T, EventsError>>) -> Result<T, EventsError> {
    let mut turn = pin!(turn);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| turn.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(EventsError::Panicked)),
    })
    .await
}
