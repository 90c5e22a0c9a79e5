//! Two services that call each other by signed requests. See README.md.

use std::{env, error::Error, sync::Arc};

use stylobate_core::SystemClock;
use stylobate_tower_middleware::Origin;
use tokio::net::TcpListener;

mod keys;
mod nonces;
mod replay;
mod services;

use keys::Name;
use services::Service;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["orders"] => serve(Name::Orders).await,
        ["billing"] => serve(Name::Billing).await,
        ["replay", public, others @ ..] => replay::run(public, others).await,
        _ => Err("usage: signed-service orders | billing | replay PUBLIC_URL [URL]...".into()),
    }
}

async fn serve(name: Name) -> Result<()> {
    let variable = |variable: &str, default: &str| env::var(variable).unwrap_or_else(|_| default.to_owned());
    let address = variable("BIND_ADDR", name.address());
    let public = variable("PUBLIC_URL", &format!("http://{address}"));
    let peer = variable("PEER_URL", &format!("http://{}", name.peer().address()));
    // Without it a request for this service would be good for every service that knows the key.
    let public: Origin = public.parse()?;
    let service = Service::new(name, &peer, Arc::new(SystemClock))?;
    let app = services::app(service, &public, nonces::store(name).await?)?;
    let listener = TcpListener::bind(address).await?;
    say(&format!("{name} listens on http://{}", listener.local_addr()?));
    axum::serve(listener, app).with_graceful_shutdown(stopped()).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is how whoever started it learns what happens")]
fn say(line: &str) {
    println!("{line}");
}

async fn stopped() {
    // Without signals it runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
