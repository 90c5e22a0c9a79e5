use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use reqwest::{Client, redirect};
use stylobate_auth::{NonceStore, RequestSigner, RequestVerifier, RequestVerifierConfig};
use stylobate_core::{Clock, Problem, SystemClock};
use stylobate_tower_middleware::{
    ApiError, CatchPanicLayer, EdgeLayer, Origin, SignedBy, SignedRequestLayer, method_not_allowed, not_found,
};

use crate::{Result, keys::Name, say};

/// One of the two, as it calls the other.
#[derive(Clone)]
pub(crate) struct Service {
    name: Name,
    peer_url: String,
    signer: RequestSigner,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Service {
    pub(crate) fn new(name: Name, peer_url: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        // A signature is for one address: wherever a redirect leads, it would be refused.
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build()?;
        Ok(Self { name, peer_url: peer_url.to_owned(), signer: name.signer()?, client, clock })
    }

    /// Calls the other service, signed.
    async fn call(&self, path: &str, body: &str) -> Result<String> {
        let url = format!("{}{path}", self.peer_url);
        let mut request = self.client.post(url).body(body.to_owned()).build()?;
        self.signer.sign_request(&mut request, self.clock.now())?;
        let response = self.client.execute(request).await?.error_for_status()?;
        Ok(response.text().await?)
    }
}

/// The routes of a service, and who is let in.
#[expect(
    clippy::disallowed_methods,
    reason = "routes without the platform's table: each handler asks who calls"
)]
pub(crate) fn app(service: Service, public: &Origin, nonces: Arc<dyn NonceStore>) -> Result<Router> {
    let callers = Arc::new(service.name.callers()?);
    let verifier = RequestVerifier::new(callers, nonces, RequestVerifierConfig::default())?;
    let routes = match service.name {
        Name::Orders => Router::new().route("/orders", post(order)).route("/paid", post(paid)),
        Name::Billing => Router::new().route("/charges", post(charge)),
    };
    Ok(routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(service.clone())
        // The last one stands outermost.
        .layer(SignedRequestLayer::new(verifier, Arc::clone(&service.clock), public))
        .layer(CatchPanicLayer::new())
        .layer(EdgeLayer::new(Arc::new(SystemClock))))
}

/// Anybody orders something; the other service is asked to charge for it.
async fn order(State(orders): State<Service>, amount: String) -> std::result::Result<String, ApiError> {
    orders.call("/charges", &amount).await.map_err(|error| unavailable(&*error))
}

/// Answers 401 by itself when nobody signed the request.
async fn charge(
    SignedBy(caller): SignedBy,
    State(billing): State<Service>,
    amount: String,
) -> std::result::Result<String, ApiError> {
    let caller = caller.holder.name;
    say(&format!("billing: {caller} asks to charge {amount}"));
    billing.call("/paid", &amount).await.map_err(|error| unavailable(&*error))?;
    Ok(format!("charged {amount} for {caller}\n"))
}

async fn paid(SignedBy(caller): SignedBy, amount: String) {
    say(&format!("orders: {} says that {amount} is paid", caller.holder.name));
}

fn unavailable(cause: &(dyn std::error::Error + Send + Sync)) -> ApiError {
    say(&format!("the other service could not be asked: {cause}"));
    Problem::new(502, "peer_unavailable").detail("The other service could not be asked.").into()
}
