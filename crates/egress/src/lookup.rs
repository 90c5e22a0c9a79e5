use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stylobate_core::BoxFuture;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

/// Finds the addresses of a name. Whatever it answers is checked before anything is connected to, each time anew.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// The addresses of `name`, in the order in which they should be tried.
    ///
    /// # Errors
    /// When there are none, or nobody can be asked; [`io::ErrorKind::ResourceBusy`] when nobody was asked because too much else is
    /// being looked up.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// How many names are looked up at once. The system's resolver blocks a thread for as long as it takes, and whoever waits for it
/// may have given up: names that are answered slowly on purpose do not take all threads.
const AT_ONCE: usize = 32;

/// How long a lookup waits until there is room for it.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// Asks the system's resolver: at most for 32 names at once, and for each of them once, whoever wants it. So a name that is
/// answered slowly takes the place of one.
#[derive(Clone)]
pub struct SystemLookup {
    shared: Arc<Shared>,
}

struct Shared {
    places: Arc<Semaphore>,
    /// Where the answers will be of names that are being asked for.
    asked: Mutex<HashMap<String, watch::Receiver<Option<Answered>>>>,
    resolve: Box<Resolve>,
}

/// Asks for the addresses of a name, and blocks its thread meanwhile.
type Resolve = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// An answer that many can have.
type Answered = Result<Vec<IpAddr>, Arc<io::Error>>;

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup").field("places", &self.shared.places).finish_non_exhaustive()
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::resolving(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

impl SystemLookup {
    fn resolving(resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { shared: Arc::new(Shared { places, asked: Mutex::default(), resolve: Box::new(resolve) }) }
    }

    /// Has `name` asked for, unless it is being asked for already. Returns where the answer will be.
    async fn ask(&self, name: &str) -> io::Result<watch::Receiver<Option<Answered>>> {
        if let Some(answer) = self.shared.asked().get(name) {
            return Ok(answer.clone());
        }
        let place = timeout(ROOM_WITHIN, Arc::clone(&self.shared.places).acquire_owned()).await;
        let place = place.map_err(|_| io::ErrorKind::ResourceBusy)?.map_err(io::Error::other)?;
        let mut asked = self.shared.asked();
        // Somebody else may have been quicker.
        if let Some(answer) = asked.get(name) {
            return Ok(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        asked.insert(name.to_owned(), answer.clone());
        drop(asked);
        let under_way = UnderWay { shared: Arc::clone(&self.shared), name: name.to_owned() };
        tokio::task::spawn_blocking(move || {
            // Given back when the resolver has answered, not when nobody waits for it any more.
            let _place = place;
            let answered = (under_way.shared.resolve)(&under_way.name).map_err(Arc::new);
            // Whoever comes now asks anew.
            drop(under_way);
            tell.send_replace(Some(answered));
        });
        Ok(answer)
    }
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Answered>>>> {
        // What is in it is whole at every moment.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name for as long as it is being asked for, also when asking panics.
struct UnderWay {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.asked().remove(&self.name);
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut answer = self.ask(name).await?;
            let answered = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
            match &*answered {
                Some(Ok(addresses)) => Ok(addresses.clone()),
                Some(Err(error)) => Err(io::Error::new(error.kind(), Arc::clone(error))),
                None => Err(io::ErrorKind::Other.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Condvar,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// A resolver that answers names with `slow` in them when it is told to.
    #[derive(Default)]
    struct Resolver {
        is_open: Mutex<bool>,
        opened: Condvar,
        asked: AtomicUsize,
    }

    impl Resolver {
        fn lookup(self: &Arc<Self>) -> SystemLookup {
            let this = Arc::clone(self);
            SystemLookup::resolving(move |name| {
                this.asked.fetch_add(1, Ordering::SeqCst);
                if name.contains("slow") {
                    let is_open = this.is_open.lock().unwrap();
                    let _open = this.opened.wait_while(is_open, |is_open| !*is_open).unwrap();
                }
                match name {
                    "nobody" => Err(io::Error::new(io::ErrorKind::NotFound, "nobody knows")),
                    "bug" => panic!("a bug in a resolver"),
                    _ => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
                }
            })
        }

        fn open(&self) {
            *self.is_open.lock().unwrap() = true;
            self.opened.notify_all();
        }

        /// Opens when it goes, so that a test that fails does not wait for it.
        fn opening(self: &Arc<Self>) -> Opening {
            Opening(Arc::clone(self))
        }

        async fn wait_for(&self, asked: usize) {
            for _ in 0..2_000 {
                if self.asked.load(Ordering::SeqCst) >= asked {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{asked} names are not asked for");
        }
    }

    struct Opening(Arc<Resolver>);

    impl Drop for Opening {
        fn drop(&mut self) {
            self.0.open();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_name_that_is_answered_slowly_has_one_place() {
        let resolver = Arc::new(Resolver::default());
        let (lookup, _opening) = (resolver.lookup(), resolver.opening());
        let waiting: Vec<_> = (0..AT_ONCE * 2)
            .map(|_| {
                let lookup = lookup.clone();
                tokio::spawn(async move { lookup.lookup("slow.example.com").await })
            })
            .collect();
        resolver.wait_for(1).await;
        assert_eq!(lookup.lookup("quick.example.com").await.unwrap().len(), 1);
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
        resolver.open();
        for one in waiting {
            assert_eq!(one.await.unwrap().unwrap().len(), 1);
        }
        // Nothing is remembered.
        let before = resolver.asked.load(Ordering::SeqCst);
        lookup.lookup("slow.example.com").await.unwrap();
        assert_eq!(resolver.asked.load(Ordering::SeqCst), before + 1);
        assert!(lookup.shared.asked().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_room_nobody_is_asked() {
        let resolver = Arc::new(Resolver::default());
        let (lookup, _opening) = (resolver.lookup(), resolver.opening());
        for n in 0..AT_ONCE {
            let lookup = lookup.clone();
            tokio::spawn(async move { lookup.lookup(&format!("slow-{n}.example.com")).await });
        }
        resolver.wait_for(AT_ONCE).await;
        let refused = lookup.lookup("quick.example.com").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(resolver.asked.load(Ordering::SeqCst), AT_ONCE);
        resolver.open();
        assert!(lookup.lookup("quick.example.com").await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_cannot_be_resolved_takes_no_place() {
        let resolver = Arc::new(Resolver::default());
        let (lookup, _opening) = (resolver.lookup(), resolver.opening());
        for _ in 0..AT_ONCE + 1 {
            assert_eq!(lookup.lookup("nobody").await.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(lookup.lookup("bug").await.is_err());
        }
        assert!(lookup.shared.asked().is_empty());
    }
}
