use std::{env, sync::Arc, time::Duration};

use stylobate_auth::{MIGRATIONS, NonceStore, RedisNonces, SqlNonces};
use stylobate_core::{Clock as _, SystemClock};
use stylobate_db::{Db, DbOptions, migrate};

use crate::{Result, keys::Name};

/// Nonces that one statement removes.
const AT_ONCE: u32 = 1_000;

/// Where used signatures are kept: all processes of a service share one place, and services share none. Redis where there is one,
/// otherwise a file.
pub(crate) async fn store(name: Name) -> Result<Arc<dyn NonceStore>> {
    if let Ok(url) = env::var("REDIS_URL") {
        return Ok(Arc::new(RedisNonces::connect(&url, &format!("signed-service:{name}:"))?));
    }
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| format!("sqlite://{name}-nonces.db"));
    let db = Db::builder(&url, DbOptions::default()).without_audit().without_events().connect().await?;
    migrate(&db, &[&MIGRATIONS]).await?;
    let store = SqlNonces::new(&db);
    let swept = store.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            // Until none is left; what a failure leaves is swept the next time.
            while matches!(swept.sweep(SystemClock.now(), AT_ONCE).await, Ok(n) if n == u64::from(AT_ONCE)) {}
        }
    });
    Ok(Arc::new(store))
}
