use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use stylobate_auth::{Auth, AuthenticateError, MIGRATIONS, Rotation};
use stylobate_core::{AuditSink, BoxFuture, SealError, Sealer};
use stylobate_testkit::{TestDb, both_engines};

use super::{House, PASSWORD, eventually, system};

/// A sealer on the network, which at some time does not answer any more.
struct Hanging {
    inner: Arc<dyn Sealer>,
    hangs: AtomicBool,
    asked: AtomicUsize,
}

impl Sealer for Hanging {
    fn seal<'a>(
        &'a self,
        plaintext: &'a [u8],
        context: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        self.inner.seal(plaintext, context)
    }

    fn open<'a>(&'a self, sealed: &'a [u8], context: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealError>> {
        if self.hangs.load(Ordering::SeqCst) {
            self.asked.fetch_add(1, Ordering::SeqCst);
            return Box::pin(std::future::pending());
        }
        self.inner.open(sealed, context)
    }
}

// A5: nothing that takes long in the background keeps revocations waiting.
async fn a_sealer_that_hangs_stops_neither_revocations_nor_the_end(db: TestDb) {
    let house = House::new(db).await;
    house.person("ada").await;
    let (inner, hangs, asked) = (Arc::clone(&house.sealer), AtomicBool::new(false), AtomicUsize::new(0));
    let sealer = Arc::new(Hanging { inner, hangs, asked });
    let audit = Arc::clone(&house.audit) as Arc<dyn AuditSink>;
    let other = Auth::builder(&house.db, house.config.clone(), Arc::clone(&sealer) as _, audit);
    let other = other.clock(Arc::clone(&house.clock) as _).build().await.unwrap();
    let pair = house.login("ada", PASSWORD).await.unwrap();
    let ctx = house.as_holder(&pair).await;

    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let background = other.clone();
    let running = tokio::spawn(async move { background.run(async move { drop(ended.await) }).await });
    sealer.hangs.store(true, Ordering::SeqCst);
    // Another process makes a key, which this one has to open.
    house.auth.key_ring().unwrap().rotate(&system(), Rotation::PublishAhead).await.unwrap();
    eventually("asking the sealer", async || sealer.asked.load(Ordering::SeqCst) > 0).await;

    house.auth.logout(&ctx).await.unwrap();
    eventually("learning of the logout", async || {
        matches!(other.authenticate(&pair.access_token), Err(AuthenticateError::Revoked))
    })
    .await;
    end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("an end").unwrap();
}
both_engines!(a_sealer_that_hangs_stops_neither_revocations_nor_the_end, &[&MIGRATIONS]);
