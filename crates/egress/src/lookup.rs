use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
};

use stylobate_core::BoxFuture;
use tokio::sync::Semaphore;

/// Finds the addresses of a name. Whatever it answers is checked before anything is connected to, each time anew.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// The addresses of `name`, in the order in which they should be tried.
    ///
    /// # Errors
    /// When there are none, or nobody can be asked.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// How many names are looked up at once. The system's resolver blocks a thread for as long as it takes, and whoever waits for it
/// may have given up: names that are answered slowly on purpose do not take all threads.
const AT_ONCE: usize = 32;

/// Asks the system's resolver.
#[derive(Debug, Clone)]
pub struct SystemLookup {
    places: Arc<Semaphore>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let ask = move || {
                // Given back when the resolver has answered, not when nobody waits for it any more.
                let _place = place;
                Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
            };
            tokio::task::spawn_blocking(ask).await.map_err(io::Error::other)?
        })
    }
}
