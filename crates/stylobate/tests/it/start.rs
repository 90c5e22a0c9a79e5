//! In which order a platform is put together.

use std::sync::Arc;

use stylobate::{
    Platform, Settings, StartError,
    core::BoxFuture,
    db::{Db, DbOptions, Scope, Tx},
    events::{Envelope, Refused, Subscriber, Types},
    tenancy::TenancyMode,
};

/// Cannot be registered.
struct Nameless;

impl Subscriber for Nameless {
    fn name(&self) -> &'static str {
        ""
    }

    fn types(&self) -> Types {
        Types::All
    }

    fn handle<'a>(&'a self, _: &'a mut Tx, _: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async { Ok(()) })
    }
}

/// What is made at the first start is told to everybody who is to hear it, so nothing is made before they are written down.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_before_everybody_who_hears_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let url = format!("sqlite://{path}/platform.db");
    let pairs =
        [("DATA_DIR", path), ("DATABASE_URL", &url)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings::from_pairs("", pairs).unwrap();
    let started = Platform::builder(settings).subscriber(|_| Arc::new(Nameless)).start().await;
    assert!(matches!(started, Err(StartError::Events(_))), "{:?}", started.err());
    let db = Db::connect(&url, DbOptions::default()).await.unwrap();
    let mut tx = db.begin_read(Scope::Platform("tests")).await.unwrap();
    for table in ["orgs", "roles", "permissions"] {
        let mut sql = tx.builder("SELECT count(*) FROM ");
        sql.push(table);
        assert_eq!(tx.q_build(sql).scalar::<i64>().await.unwrap(), 0, "{table}");
    }
    tx.rollback().await.unwrap();
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_says_how_many_organisations_there_may_be() {
    for (mode, expected) in [
        (None, TenancyMode::Single),
        (Some("single"), TenancyMode::Single),
        (Some("multi"), TenancyMode::Multi),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut pairs = vec![("DATA_DIR".to_owned(), folder.path().to_str().unwrap().to_owned())];
        pairs.extend(mode.map(|mode| ("TENANCY_MODE".to_owned(), mode.to_owned())));
        let platform = Platform::builder(Settings::from_pairs("", pairs).unwrap()).start().await.unwrap();
        assert_eq!(platform.tenancy_mode(), expected);
        platform.end().await;
    }
}

/// One count for all routes of a process, or nobody's limit holds.
#[cfg(feature = "notify")]
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_open_are_counted_together() {
    use stylobate::{
        axum::http::HeaderMap,
        core::{PersonId, Principal, SystemClock},
    };
    let folder = tempfile::tempdir().unwrap();
    let pairs = [("DATA_DIR".to_owned(), folder.path().to_str().unwrap().to_owned())];
    let platform = Platform::builder(Settings::from_pairs("", pairs).unwrap()).start().await.unwrap();
    let somebody = Principal::person(PersonId::new(stylobate::core::Clock::now(&SystemClock)));
    let open = platform.live_connections().open(&HeaderMap::new(), &somebody).unwrap();
    assert_eq!(platform.live_connections().count(), 1);
    drop(open);
    platform.end().await;
}
