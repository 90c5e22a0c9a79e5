//! API keys: how long checking one takes that this process knows, and that it neither reads nor writes.

use std::{hint::black_box, time::Duration};

use serde_json::json;
use stylobate_auth::{Auth, NewApiKey};
use stylobate_core::{KeyOwner, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::{Db, Scope, Tx};
use stylobate_tests::Engine;

use super::primitive::{ROUND_US, calls_in, time};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{count, median},
    site::Site,
};

/// At most this long.
const MOST_US: f64 = 20.0;
/// Keys in a round: enough that none is in the processor's caches for being the same as the one before.
const KEYS: usize = 8;
/// The most that a key may have, and far more than are checked here.
const REQUESTS_PER_HOUR: u32 = 1_000_000;

pub(super) async fn run(report: &mut Report) -> Result {
    let site = Site::new(Engine::Sqlite, 0).await?;
    let (db, auth) = site.auth().await?;
    let keys = make(&db, &auth).await?;
    // Follows revocations; memory is not trusted without.
    let following = {
        let auth = auth.clone();
        tokio::spawn(async move { auth.run_without_sweeps(std::future::pending()).await })
    };
    // The first check reads the row, and the first read of revocations takes a moment.
    for key in &keys {
        auth.api_keys().authenticate_slow(key, None).await?;
    }
    while !keys.iter().all(|key| auth.api_keys().authenticate(key, None).is_ok()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rounds = count(41);
    let measured = {
        let auth = auth.clone();
        // Beside the runtime, which goes on following.
        tokio::task::spawn_blocking(move || {
            let check = |n: usize| {
                let Some(key) = keys.get(n % KEYS) else { return false };
                black_box(auth.api_keys().authenticate(black_box(key), None).is_ok())
            };
            let calls = calls_in(ROUND_US, &check);
            let before = db.statements();
            let us: Vec<f64> = (0..rounds).map(|_| time(calls, &check)).collect();
            (us, calls * rounds, db.statements() - before)
        })
        .await?
    };
    following.abort();
    let (us, checks, statements) = measured;
    report.note(&format!(
        "{checks} checks of API keys, during which {statements} statements were run to follow revocations and count uses"
    ));
    report.keep(json!({ "what": "api key", "us": us, "checks": checks, "statements": statements }));
    report.verdict("api key, known", median(us.into_iter()), "us", Goal::AtMost(MOST_US));
    Ok(())
}

/// Keys of the administrator, for the default organisation.
async fn make(db: &Db, auth: &Auth) -> Result<Vec<String>> {
    let mut conn = db.read().await?;
    let tenant: uuid::Uuid = conn.q("SELECT id FROM orgs WHERE is_default").scalar().await?;
    let person: uuid::Uuid = conn.q("SELECT id FROM people WHERE username_key = 'admin'").scalar().await?;
    drop(conn);
    let context = RequestContext::new(Principal::system());
    let mut keys = Vec::new();
    for n in 0..KEYS {
        let new = NewApiKey {
            tenant: TenantId::from_uuid(tenant),
            owner: KeyOwner::Person { id: PersonId::from_uuid(person) },
            label: format!("bench {n}"),
            scopes: Some(vec!["user.read".to_owned()]),
            allowed_networks: None,
            requests_per_hour: Some(REQUESTS_PER_HOUR),
            expires_at: None,
        };
        let (auth, context) = (auth.clone(), context.clone());
        let made = async move |tx: &mut Tx| auth.api_keys().create(tx, &context, new.clone()).await;
        let issued = db.transact(Scope::Platform("keys to measure"), made).await?;
        keys.push(issued.secret.expose_secret().to_owned());
    }
    Ok(keys)
}
