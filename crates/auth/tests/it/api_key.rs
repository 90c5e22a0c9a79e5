//! API keys and service accounts on both engines.

mod accounts;
mod checking;
mod grants;
mod limits;
mod making;
mod revoking;
mod rotating;
mod service_keys;
mod service_tokens;
mod tenant_end;

use std::{net::IpAddr, time::Duration};

use stylobate_auth::{
    ApiKey, ApiKeyChange, ApiKeyError, Auth, AuthenticateError, IssuedApiKey, NewApiKey, NewServiceAccount,
    ServiceAccount,
};
use stylobate_core::{Clock as _, KeyOwner, PersonId, Principal, RequestContext, TenantId};
use stylobate_db::Tx;

use crate::service::{House, SCOPE, eventually, system};

/// An address of documentation (RFC 5737).
const CLIENT: &str = "192.0.2.7";

fn client() -> Option<IpAddr> {
    CLIENT.parse().ok()
}

fn tenant(house: &House) -> TenantId {
    TenantId::new(house.clock.now())
}

fn of_person(tenant: TenantId, id: PersonId) -> NewApiKey {
    NewApiKey {
        tenant,
        owner: KeyOwner::Person { id },
        label: "nightly export".to_owned(),
        scopes: None,
        allowed_networks: None,
        requests_per_hour: None,
        expires_at: None,
    }
}

/// Who asked for it.
fn by(person: PersonId) -> RequestContext {
    RequestContext::new(Principal::person(person))
}

impl House {
    async fn try_key(&self, new: NewApiKey) -> Result<IssuedApiKey, ApiKeyError> {
        let keys = self.auth.api_keys().clone();
        self.db.transact(SCOPE, async move |tx: &mut Tx| keys.create(tx, &system(), new.clone()).await).await
    }

    /// A key of `ada`, who is made for it, in a tenant of its own.
    async fn adas_key(&self) -> IssuedApiKey {
        let ada = self.person("ada").await.id;
        self.try_key(of_person(tenant(self), ada)).await.unwrap()
    }

    async fn rotate_key(&self, key: &ApiKey, overlap_seconds: u64) -> Result<IssuedApiKey, ApiKeyError> {
        let (keys, place) = (self.auth.api_keys().clone(), (key.tenant_id, key.id));
        let overlap = Duration::from_secs(overlap_seconds);
        self.db
            .transact(SCOPE, async move |tx: &mut Tx| keys.rotate(tx, &system(), place, overlap).await)
            .await
    }

    async fn change_key(&self, key: &ApiKey, change: ApiKeyChange) -> Result<ApiKey, ApiKeyError> {
        let (keys, place) = (self.auth.api_keys().clone(), (key.tenant_id, key.id));
        let change = async move |tx: &mut Tx| keys.update(tx, &system(), place, change.clone()).await;
        self.db.transact(SCOPE, change).await
    }

    async fn revoke_key(&self, key: &ApiKey) -> Result<ApiKey, ApiKeyError> {
        let (keys, place) = (self.auth.api_keys().clone(), (key.tenant_id, key.id));
        self.db.transact(SCOPE, async move |tx: &mut Tx| keys.revoke(tx, &system(), place).await).await
    }

    async fn service(&self, tenant: TenantId, name: &'static str) -> ServiceAccount {
        let accounts = self.auth.service_accounts().clone();
        let add = async move |tx: &mut Tx| {
            let new = NewServiceAccount { name: name.to_owned(), description: None };
            accounts.insert(tx, &system(), tenant, new).await
        };
        self.db.transact(SCOPE, add).await.unwrap()
    }

    async fn accepts(&self, issued: &IssuedApiKey) -> bool {
        accepts(&self.auth, issued).await
    }
}

/// What the middleware does with a key.
async fn present(auth: &Auth, text: &str) -> Result<Principal, AuthenticateError> {
    match auth.api_keys().authenticate(text, client()) {
        Err(AuthenticateError::Stale) => auth.api_keys().authenticate_slow(text, client()).await,
        decided => decided,
    }
}

async fn accepts(auth: &Auth, issued: &IssuedApiKey) -> bool {
    match present(auth, issued.secret.expose_secret()).await {
        Ok(principal) => principal.is_authenticated(),
        Err(AuthenticateError::UnknownKey) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// Lets `auth` work in the background until what is returned is dropped or told to stop.
struct Background {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Background {
    async fn of(auth: &Auth) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let background = auth.clone();
        let task = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            background.run_without_sweeps(stopped).await;
        });
        eventually("a fresh read", async || auth.revocations().is_fresh()).await;
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}
