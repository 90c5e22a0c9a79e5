use chrono::{DateTime, Utc};
use reqwest::{
    Request, Url,
    header::{self, HeaderValue},
};

use super::{MessageFields, RequestParts, RequestSigner, SignatureError, SignatureFault, TargetUri};

impl RequestSigner {
    /// Signs a request of reqwest, right before it is executed. The fields of an earlier signature are replaced.
    ///
    /// ```
    /// # use stylobate_auth::{RequestSigner, SigningAlgorithm, SigningKey};
    /// # async fn example(client: reqwest::Client, now: chrono::DateTime<chrono::Utc>) -> Result<(), Box<dyn std::error::Error>> {
    /// let (key, _pkcs8) = SigningKey::generate(SigningAlgorithm::EdDsa)?;
    /// let signer = RequestSigner::new(key)?;
    /// let mut request = client.post("https://billing.example.test/invoices?draft=1").body("{}").build()?;
    /// signer.sign_request(&mut request, now)?;
    /// client.execute(request).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A client that follows redirects sends the signature of the first request to every further address, where it is refused:
    /// make it with `redirect::Policy::none()`.
    ///
    /// # Errors
    /// [`SignatureError::Unsignable`] for a body that is a stream, and otherwise as [`sign`](Self::sign).
    pub fn sign_request(&self, request: &mut Request, now: DateTime<Utc>) -> Result<(), SignatureError> {
        let body = match request.body() {
            None => &[][..],
            Some(body) => body.as_bytes().ok_or(SignatureError::Unsignable(SignatureFault::BodyStreamed))?,
        };
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let target = target(request.url(), host).map_err(SignatureError::Unsignable)?;
        let fields = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let fields: MessageFields<'_> = fields.collect();
        let parts = RequestParts { method: request.method().as_str(), target: &target, fields };
        let signed = self.sign(&parts, body, now)?;
        for (name, value) in signed.iter() {
            let malformed = |_| SignatureError::Unsignable(SignatureFault::FieldMalformed(name));
            request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(malformed)?);
        }
        Ok(())
    }
}

/// What the request will be for: the client sends `host` where the request has that field.
fn target(url: &Url, host: Option<&str>) -> Result<TargetUri, SignatureFault> {
    let authority = match (host, url.host_str(), url.port()) {
        (Some(host), ..) => host.to_owned(),
        (None, Some(host), Some(port)) => format!("{host}:{port}"),
        (None, Some(host), None) => host.to_owned(),
        (None, None, _) => return Err(SignatureFault::TargetMalformed),
    };
    let path_and_query = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    TargetUri::new(url.scheme(), &authority, &path_and_query)
}
