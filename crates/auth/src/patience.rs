use std::{error::Error, future::Future, time::Duration};

/// How long each answer of another server is waited for, the wait for a connection included: somebody's sign-in or
/// request waits as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does work that a server elsewhere has to answer, and gives it up in time.
pub(crate) async fn patiently<T, E>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn Error + Send + Sync>>
where
    E: Error + Send + Sync + 'static,
{
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(late) => Err(late.into()),
    }
}
