use reqwest::{Client, header::HOST};
use stylobate_core::{Clock as _, SystemClock};

use crate::{Result, keys::Name, say};

/// Signs one request for the service that is known as `public`, and sends it there twice and then to `others`: processes of
/// the same service.
pub(crate) async fn run(public: &str, others: &[&str]) -> Result<()> {
    let client = Client::builder().no_proxy().build()?;
    let mut signed = client.post(format!("{public}/charges")).body("12").build()?;
    Name::Orders.signer()?.sign_request(&mut signed, SystemClock.now())?;
    let host = public.trim_start_matches("http://");
    for address in [public, public].iter().chain(others) {
        let mut request = client.post(format!("{address}/charges")).header(HOST, host).body("12").build()?;
        for (name, value) in signed.headers() {
            request.headers_mut().insert(name, value.clone());
        }
        let response = client.execute(request).await?;
        let status = response.status().as_u16();
        let body = response.text().await?;
        // Of a problem its code tells enough.
        let told = body.split_once(r#""code":""#).and_then(|(_, rest)| rest.split('"').next());
        say(&format!("{address}: {status} {}", told.unwrap_or(body.trim_end())));
    }
    Ok(())
}
