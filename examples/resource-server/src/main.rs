//! A service that knows who calls by the access tokens of a control plane, and asks nobody about them. See README.md.

use std::{env, error::Error, sync::Arc};

use axum::{Router, routing::get};
use stylobate_auth::{HttpJwks, RemoteJwks, RemoteJwksConfig, RemoteVerifier, TokenConfig};
use stylobate_core::SystemClock;
use stylobate_tower_middleware::{
    AuthenticateLayer, CatchPanicLayer, CurrentPrincipal, EdgeLayer, method_not_allowed, not_found,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = env::var("ISSUER").unwrap_or_else(|_| "http://127.0.0.1:8001".to_owned());
    let audience = env::var("AUDIENCE").unwrap_or_else(|_| issuer.clone());
    // Where the keys are is settled here, never by a token.
    let keys_at = env::var("JWKS_URL").unwrap_or_else(|_| format!("{issuer}/.well-known/jwks.json"));
    let address = env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:8002".to_owned());

    let jwks = RemoteJwks::new(HttpJwks::new(&keys_at)?, RemoteJwksConfig::default());
    let verifier = RemoteVerifier::new(jwks.clone(), TokenConfig::new(issuer, audience))?;
    // Fetches the keys now and before they grow old. Without an answer the service starts all the same and answers 503.
    tokio::spawn(async move { jwks.run(std::future::pending()).await });

    let listener = TcpListener::bind(address).await?;
    announce(&listener)?;
    axum::serve(listener, app(verifier)).with_graceful_shutdown(stopped()).await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "routes without the platform's table: each handler asks who calls"
)]
fn app(verifier: RemoteVerifier) -> Router {
    Router::new()
        .route("/reports", get(reports))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // The last one stands outermost.
        .layer(AuthenticateLayer::new(Arc::new(verifier)))
        .layer(CatchPanicLayer::new())
        .layer(EdgeLayer::new(Arc::new(SystemClock)))
}

/// Answers 401 by itself when nobody has been authenticated, and 503 when the issuer's keys cannot be had.
async fn reports(who: CurrentPrincipal) -> String {
    format!("the reports, for {:?} of tenant {:?}\n", who.subject, who.tenant)
}

#[expect(clippy::print_stdout, reason = "this is how its operator learns where it listens")]
fn announce(listener: &TcpListener) -> std::io::Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(())
}

async fn stopped() {
    // Without signals it runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
