//! Requests of reqwest.

use stylobate_auth::MessageFields;

use super::*;

/// What the request would be at the server that its address names.
fn received(request: &reqwest::Request, target: TargetUri) -> Message {
    Message {
        method: request.method().to_string(),
        target,
        fields: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec(),
    }
}

#[tokio::test]
async fn a_request_of_reqwest_is_signed_as_it_is_sent() {
    let pair = Pair::new();
    let client = reqwest::Client::builder().build().unwrap();
    for (url, authority, path) in [
        ("http://Billing.example.test:80/a b?c=d e#f", "billing.example.test", "/a%20b?c=d%20e"),
        ("http://127.0.0.1:8001", "127.0.0.1:8001", "/"),
        ("http://[::1]:8001/a?", "[::1]:8001", "/a?"),
    ] {
        let mut request = client.post(url).body("{}").build().unwrap();
        pair.signer.sign_request(&mut request, now()).unwrap();
        let target = TargetUri::new("http", authority, path).unwrap();
        pair.verify(&received(&request, target.clone())).await.unwrap();
        // Signed once more it is another request, and has one signature.
        pair.signer.sign_request(&mut request, now()).unwrap();
        pair.verify(&received(&request, target)).await.unwrap();
    }
}

#[tokio::test]
async fn the_host_that_is_sent_is_the_host_that_is_signed() {
    let pair = Pair::new();
    let client = reqwest::Client::builder().build().unwrap();
    let request = client.get("http://127.0.0.1:8001/a").header("host", "billing.example.test");
    let mut request = request.build().unwrap();
    pair.signer.sign_request(&mut request, now()).unwrap();
    let fields: MessageFields<'_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert!(fields.has("content-digest"));
    let target = TargetUri::new("http", "billing.example.test", "/a").unwrap();
    pair.verify(&received(&request, target)).await.unwrap();
    let other = TargetUri::new("http", "127.0.0.1:8001", "/a").unwrap();
    pair.signer.sign_request(&mut request, now()).unwrap();
    pair.refuses(&received(&request, other), SignatureFault::SignatureWrong).await;
}
