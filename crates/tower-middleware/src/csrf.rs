use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{extract::FromRequestParts, response::IntoResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, request::Parts};
use stylobate_core::{Credential, Problem};
use tower::{Layer, Service};
use tower_http::csrf::CsrfLayer as CrossOriginLayer;

use crate::{ApiError, Error, Origin, authenticate, cookies, future::AnswerFuture, upgrade};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests that another site made the browser send (SECURITY A21): 403 `csrf`.
///
/// 1. Only credentials that browsers attach by themselves are in danger: requests without a session cookie pass, unless
///    the layer is [`for_forms`](Self::for_forms).
///    A cookie that is a credential for one route only, such as one with a refresh token, is
///    [named](Self::and_for_cookie).
/// 2. `GET`, `HEAD` and `OPTIONS` pass; they change nothing. Not so the handshake of a WebSocket: what it opens can be read by
///    the page that opened it, and no CORS keeps it from that. It is judged whenever a browser sends it, whatever it presents
///    (RFC 6455 §10.2). Other handlers whose answer stays open ask for a [`TrustedOrigin`].
/// 3. What is left is judged by tower-http's [`CsrfLayer`](tower_http::csrf::CsrfLayer): `Sec-Fetch-Site`, then `Origin`
///    against the host and the trusted origins.
/// 4. A request with neither header is refused as well: every browser that sends our cookies sends one of them.
///
/// Attach it inside authentication. A proxy that rewrites `Host` makes the public origin a trusted one to be listed here.
#[derive(Clone)]
pub struct CsrfLayer {
    judge: Judge,
    always: bool,
    further: Option<Arc<str>>,
    trusted: Arc<[Origin]>,
    https_only: bool,
}

/// tower-http's layer around a service that does nothing: its answer is the verdict.
type Judge = CrossOriginLayer;

impl CsrfLayer {
    /// Trusts `origins` in addition to the service's own host.
    ///
    /// # Errors
    /// [`Error::OriginInvalid`] for an origin whose host is not in its ASCII form.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Result<Self, Error> {
        let mut layer = Self::of_own_host();
        let mut trusted = Vec::new();
        for origin in origins {
            trusted.push(origin.clone());
            let invalid = |_| Error::OriginInvalid { origin: origin.to_string() };
            layer.judge = layer.judge.add_trusted_origin(origin.as_str()).map_err(invalid)?;
        }
        layer.trusted = trusted.into();
        Ok(layer)
    }

    fn of_own_host() -> Self {
        let judge = CrossOriginLayer::new();
        Self { judge, always: false, further: None, trusted: Arc::default(), https_only: false }
    }

    /// Judges every request, with or without a cookie: for HTML forms that sign somebody in, which another site could
    /// send in the visitor's place.
    #[must_use]
    pub fn for_forms(mut self) -> Self {
        self.always = true;
        self
    }

    /// Judges requests that carry a cookie called `name` as well, unless they present a credential of another kind, which
    /// is then what counts.
    #[must_use]
    pub fn and_for_cookie(mut self, name: &str) -> Self {
        self.further = Some(name.into());
        self
    }

    /// Takes origins with plain http for another site's, also with the service's own host, unless they are trusted by
    /// name: for a service that people reach over https, where such a page comes from whoever sits on the wire.
    #[must_use]
    pub fn https_only(mut self) -> Self {
        self.https_only = true;
        self
    }

    fn is_in_danger(&self, request: &Parts) -> bool {
        let carries = |name: &str| !matches!(cookies::find(&request.headers, name), Ok(None));
        match authenticate::credential(&request.extensions) {
            _ if self.always => true,
            Credential::Cookie => true,
            Credential::None => self.further.as_deref().is_some_and(carries),
            _ => false,
        }
    }

    fn check(&self, request: &Parts) -> Result<(), ApiError> {
        if upgrade::is_socket(&request.headers) {
            return self.check_opening(request);
        }
        let safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if safe || !self.is_in_danger(request) { Ok(()) } else { self.check_origin(request) }
    }

    /// Judges what stays open, whatever its method.
    fn check_opening(&self, request: &Parts) -> Result<(), ApiError> {
        let from_browser = request.headers.contains_key(header::ORIGIN);
        if from_browser || self.is_in_danger(request) { self.check_origin(request) } else { Ok(()) }
    }

    fn check_origin(&self, request: &Parts) -> Result<(), ApiError> {
        let refused = |detail: &str| Err(Problem::new(403, "csrf").detail(detail).into());
        let headers = &request.headers;
        let given = |name: &HeaderName| headers.get(name).is_some_and(|value| !value.is_empty());
        if !given(&SEC_FETCH_SITE) && !given(&header::ORIGIN) {
            return refused("A request with a session cookie must carry `Origin` or `Sec-Fetch-Site`.");
        }
        // Two lines of one header are two opinions, and the judge reads only the first.
        if [&SEC_FETCH_SITE, &header::ORIGIN, &header::HOST].iter().any(|name| count(headers, name) > 1) {
            return refused("The request names its origin twice.");
        }
        let is_plain = |origin: &HeaderValue| {
            let trusted = self.trusted.iter().any(|one| one.as_str().as_bytes() == origin.as_bytes());
            !trusted && origin.as_bytes().to_ascii_lowercase().starts_with(b"http:")
        };
        if self.https_only && headers.get(header::ORIGIN).is_some_and(is_plain) {
            return refused("The request comes from a page that was not served over https.");
        }
        if self.judge(request) { Ok(()) } else { refused("The request comes from another site.") }
    }

    fn judge(&self, request: &Parts) -> bool {
        let mut head = Request::new(());
        // One that the judge does not let pass by itself.
        *head.method_mut() = Method::POST;
        *head.uri_mut() = request.uri.clone();
        for name in [SEC_FETCH_SITE, header::ORIGIN, header::HOST] {
            if let Some(value) = request.headers.get(&name) {
                head.headers_mut().insert(name, value.clone());
            }
        }
        let verdict = pin!(self.judge.layer(Pass).call(head));
        // Both the judge and what it guards answer at once; an answer that would have to wait is no.
        matches!(verdict.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(answer)) if answer.status().is_success())
    }
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

#[derive(Clone)]
struct Pass;

impl Service<Request<()>> for Pass {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

impl fmt::Debug for CsrfLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfLayer").field("always", &self.always).finish_non_exhaustive()
    }
}

/// A request that no page of another origin made the browser send; 403 `csrf` for others. Handlers of `GET` ask for it when
/// their answer stays open, such as a stream of events: it takes a place for as long, and the layer lets `GET` pass.
///
/// The [`CsrfLayer`] in front judges as it judges the handshake of a WebSocket. Without one, no origin but the service's own
/// host is trusted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TrustedOrigin;

impl<S: Send + Sync> FromRequestParts<S> for TrustedOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let verdict = match parts.extensions.get::<Arc<CsrfLayer>>() {
            Some(layer) => layer.check_opening(parts),
            None => CsrfLayer::of_own_host().check_opening(parts),
        };
        verdict.inspect_err(tell)?;
        Ok(Self)
    }
}

fn tell(_: &ApiError) {
    tracing::info!(code = "csrf", "refused a cross-site request");
}

/// The service of [`CsrfLayer`].
#[derive(Debug, Clone)]
pub struct Csrf<S> {
    inner: S,
    layer: Arc<CsrfLayer>,
}

impl<S> Layer<S> for CsrfLayer {
    type Service = Csrf<S>;

    fn layer(&self, inner: S) -> Csrf<S> {
        Csrf { inner, layer: Arc::new(self.clone()) }
    }
}

impl<S, B> Service<Request<B>> for Csrf<S>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Response = axum::response::Response;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.layer.check(&parts).inspect_err(tell) {
            Ok(()) => {
                parts.extensions.insert(Arc::clone(&self.layer));
                AnswerFuture::inner(self.inner.call(Request::from_parts(parts, body)))
            }
            Err(error) => AnswerFuture::refused(error),
        }
    }
}
