use std::{env, sync::Arc, time::Duration};

use stylobate_auth::{MIGRATIONS, NonceStore, RedisNonces, SqlNonces};
use stylobate_core::{Clock as _, SystemClock};
use stylobate_db::{Db, DbOptions, migrate};

use crate::Result;

/// Where used signatures are kept: all processes of a service share one place. Redis where there is one, otherwise a file.
pub(crate) async fn store() -> Result<Arc<dyn NonceStore>> {
    if let Ok(url) = env::var("REDIS_URL") {
        return Ok(Arc::new(RedisNonces::connect(&url, "signed-service:")?));
    }
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://nonces.db".to_owned());
    let db = Db::builder(&url, DbOptions::default()).without_audit().without_events().connect().await?;
    migrate(&db, &[&MIGRATIONS]).await?;
    let store = SqlNonces::new(&db);
    let swept = store.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            // What stays is swept the next time.
            let _ = swept.sweep(SystemClock.now(), 1_000).await;
        }
    });
    Ok(Arc::new(store))
}
