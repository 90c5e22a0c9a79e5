use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequestParts, OriginalUri},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header, request::Parts};
use stylobate_auth::{
    MessageFields, RequestParts, RequestVerifier, SignatureError, SignatureFault, SignedHead, TargetUri,
    VerifiedRequest,
};
use stylobate_core::{Clock, Problem};
use tower::{BoxError, Layer, Service};

use crate::{
    ApiError, Arrival, Origin, Scheme,
    body::read_body,
    body_limit::too_large,
    cookies::ambiguous,
    future::AnswerFuture,
    problem_table::{IntoProblem, problem_for, problem_of},
};

/// The scheme that 401 names.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Signature");

/// Lets signed requests in: whoever signed is the principal ([`AuthenticateLayer`](crate::AuthenticateLayer), which stands
/// inside), and [`VerifiedRequest`] is an extension of the request.
///
/// 1. A request without `Signature` and `Signature-Input` passes untouched (and, where the profile of the replaced systems is on,
///    without `X-Service-Token` and `X-Signature`).
/// 2. The signature is judged before the body is read, and the body is read up to the verifier's limit before it is hashed: 413
///    `body_too_large` beyond, 408 `body_timeout` after 10 s. Handlers read what was hashed.
/// 3. What is wrong is 401 `request_signature_invalid`, and a signature that was used is 401 `request_replayed`, both with
///    `Accept-Signature` (RFC 9421 §5), which says what is asked for. When keys or nonces cannot be reached it is 503
///    `signature_store_unavailable`.
/// 4. A signature goes beside no other credential: 400 `ambiguous_credential`, for a session cookie by the
///    [`AuthenticateLayer`](crate::AuthenticateLayer) inside.
/// 5. What the client asked for is at the public address of the service, not at what `Host` says.
///
/// A 401 needs `WWW-Authenticate` (RFC 9110 §15.5.2), and no registered scheme stands for RFC 9421: it names `Signature`.
#[derive(Clone)]
pub struct SignedRequestLayer {
    shared: Arc<Shared>,
}

struct Shared {
    verifier: RequestVerifier,
    clock: Arc<dyn Clock>,
    origin: Option<(&'static str, String)>,
    accept_signature: Option<HeaderValue>,
}

impl SignedRequestLayer {
    /// Asks `verifier`. The scheme and authority that clients sign are those of `public`, the public address of the service, whatever
    /// `Host` and forwarding headers say.
    #[must_use]
    pub fn new(verifier: RequestVerifier, clock: Arc<dyn Clock>, public: &Origin) -> Self {
        let (scheme, authority) = match public.as_str().split_once("://") {
            Some(("http", authority)) => ("http", authority),
            Some((_, authority)) => ("https", authority),
            // An origin always has a scheme.
            None => ("https", public.as_str()),
        };
        Self::of(verifier, clock, Some((scheme, authority.to_owned())))
    }

    /// Asks `verifier`, and takes scheme and host from the request. A request that was signed for another service, which knows the
    /// signer as well, is good here for whoever gets hold of it and sends it with that one's `Host`: for services that are reached
    /// by names that nobody knows beforehand, and whose callers sign for nobody else.
    #[must_use]
    pub fn dangerous_answering_at_any_host(verifier: RequestVerifier, clock: Arc<dyn Clock>) -> Self {
        Self::of(verifier, clock, None)
    }

    fn of(verifier: RequestVerifier, clock: Arc<dyn Clock>, origin: Option<(&'static str, String)>) -> Self {
        let accept_signature = HeaderValue::from_str(&verifier.accept_signature()).ok();
        Self { shared: Arc::new(Shared { verifier, clock, origin, accept_signature }) }
    }
}

impl<S> Layer<S> for SignedRequestLayer {
    type Service = SignedRequest<S>;

    fn layer(&self, inner: S) -> SignedRequest<S> {
        SignedRequest { inner, shared: Arc::clone(&self.shared) }
    }
}

impl fmt::Debug for SignedRequestLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequestLayer").field("origin", &self.shared.origin).finish_non_exhaustive()
    }
}

/// The service of [`SignedRequestLayer`].
#[derive(Clone)]
pub struct SignedRequest<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for SignedRequest<S>
where
    S: Service<Request<Body>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(Body::new);
        if !self.shared.verifier.is_signed(|name| request.headers().contains_key(name)) {
            return AnswerFuture::inner(self.inner.call(request));
        }
        // Before anything is looked up. Session cookies are known to the layer that looks for them.
        if request.headers().contains_key(header::AUTHORIZATION)
            || request.headers().contains_key("x-api-key")
        {
            return AnswerFuture::refused(ambiguous());
        }
        let shared = Arc::clone(&self.shared);
        // The service that was polled ready goes with the request, its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        AnswerFuture::later(Box::pin(async move {
            match shared.judge(request).await {
                Ok(request) => inner.call(request).await.map(IntoResponse::into_response),
                Err(refused) => Ok(*refused),
            }
        }))
    }
}

impl Shared {
    /// The same request with its body read and who signed it, or the answer that refuses it.
    async fn judge(&self, request: Request<Body>) -> Result<Request<Body>, Box<Response>> {
        let (mut parts, body) = request.into_parts();
        let limit = self.verifier.body_bytes_max();
        if body.size_hint().lower() > limit as u64 {
            return Err(Box::new(ApiError::from(too_large()).into_response()));
        }
        let head = self.verify_head(&parts).await.map_err(|error| self.refuse(error))?;
        let bytes = read_body(body, limit).await.map_err(|error| Box::new(error.into_response()))?;
        let verified = self.verifier.verify_body(head, &bytes, self.clock.now()).await;
        let verified = verified.map_err(|error| self.refuse(error))?;
        parts.extensions.insert(verified);
        Ok(Request::from_parts(parts, Body::from(bytes)))
    }

    async fn verify_head(&self, parts: &Parts) -> Result<SignedHead, SignatureError> {
        let target = self.target(parts)?;
        let fields = fields(&parts.headers);
        let request = RequestParts { method: parts.method.as_str(), target: &target, fields };
        self.verifier.verify_head(&request, self.clock.now()).await
    }

    /// What the client asked for. The path is the one it sent, also where routing goes by another.
    fn target(&self, parts: &Parts) -> Result<TargetUri, SignatureFault> {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let path_and_query = uri.path_and_query().map_or("/", |path_and_query| path_and_query.as_str());
        let target = match &self.origin {
            Some((scheme, authority)) => TargetUri::new(scheme, authority, path_and_query)?,
            None => TargetUri::new(scheme(parts), authority(uri, &parts.headers)?, path_and_query)?,
        };
        // Only HTTP/1.1 sends whole addresses in the request line; the server of HTTP/2 puts them together.
        if parts.version <= http::Version::HTTP_11 && uri.authority().is_some() {
            return target.with_request_target(&uri.to_string());
        }
        Ok(target)
    }

    /// The answer to a request whose signature is not accepted.
    fn refuse(&self, error: SignatureError) -> Box<Response> {
        if let SignatureError::Invalid(fault) = &error {
            tracing::info!(code = error.code(), reason = %fault, "a signed request was refused");
        }
        if let SignatureError::Replayed { key_id } = &error {
            tracing::warn!(code = error.code(), %key_id, "a signed request was sent again");
        }
        let is_unauthenticated =
            matches!(error, SignatureError::Invalid(_) | SignatureError::Replayed { .. });
        let mut response = ApiError::from(error).into_response();
        if is_unauthenticated {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            if let Some(accept) = &self.accept_signature {
                headers.insert("accept-signature", accept.clone());
            }
        }
        Box::new(response)
    }
}

impl IntoProblem for SignatureError {
    fn into_problem(self) -> Problem {
        match self {
            Self::Invalid(_) | Self::Replayed { .. } | Self::BodyTooLarge { .. } => problem_for(self.code()),
            other => problem_of(other.code(), &other),
        }
    }
}

fn fields(headers: &HeaderMap) -> MessageFields<'_> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// What the connection is, or what a trusted proxy says it was.
fn scheme(parts: &Parts) -> &'static str {
    let arrived = parts.extensions.get::<Arrival>().map(|arrival| arrival.client.scheme);
    match arrived.or_else(|| parts.extensions.get().copied()).unwrap_or_default() {
        Scheme::Https => "https",
        Scheme::Http => "http",
    }
}

/// The one host of a request (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, SignatureFault> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) {
        (Some(host), None) => Ok(host),
        _ => Err(SignatureFault::TargetMalformed),
    }
}

/// The signature that let the request in, for handlers that only services may call.
///
/// Answers 401 `unauthenticated` when nobody signed the request.
#[derive(Debug, Clone)]
pub struct SignedBy(pub VerifiedRequest);

impl<S: Send + Sync> FromRequestParts<S> for SignedBy {
    type Rejection = Response;

    /// # Errors
    /// 401 when nobody signed.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        signer(&parts.extensions).cloned().map(Self).ok_or_else(|| {
            let mut response = ApiError::from(Problem::unauthenticated()).into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            response
        })
    }
}

/// Who signed the request, when somebody did.
pub(crate) fn signer(extensions: &http::Extensions) -> Option<&VerifiedRequest> {
    extensions.get()
}

impl<S: fmt::Debug> fmt::Debug for SignedRequest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest").field("inner", &self.inner).finish_non_exhaustive()
    }
}
