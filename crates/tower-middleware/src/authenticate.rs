use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, Method, Request, header};
use stylobate_auth::VerifiedRequest;
use stylobate_core::{Actor, BoxFuture, Credential, Principal, Problem, RequestContext, TraceParent};
use tower::{Layer, Service};
use tracing::Span;

use crate::{
    ApiError, Arrival, cookies::ambiguous, future::AnswerFuture, problem_for, signed_request::signer,
};

#[cfg(feature = "sql")]
mod by_auth;
mod by_remote;
mod by_sessions;
mod presented;

pub(crate) use presented::OwnedCredential;
pub use presented::{Presented, SessionCookie};

/// How many characters of `User-Agent` are kept: real ones stay below, and audit rows stay small.
const USER_AGENT_CHARS_MAX: usize = 512;

/// Why a credential proves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialRefused {
    /// It is malformed, unknown, expired or revoked. Which of them is nobody's business.
    #[error("the credential is not valid")]
    Invalid,
    /// It cannot be judged at the moment.
    #[error("credentials cannot be judged at the moment")]
    Unavailable,
    /// It is an API key that has been used as often as it may be for now.
    #[error("the API key has been used too often")]
    Throttled {
        /// When it may be used again.
        retry_after: Duration,
    },
}

impl CredentialRefused {
    /// The stable code of this situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid => "unauthenticated",
            Self::Unavailable => "auth_unavailable",
            Self::Throttled { .. } => "api_key_throttled",
        }
    }
}

impl From<CredentialRefused> for ApiError {
    fn from(refused: CredentialRefused) -> Self {
        match refused {
            CredentialRefused::Invalid => Self::invalid_token(),
            CredentialRefused::Unavailable => {
                let problem = Problem::new(503, "auth_unavailable")
                    .detail("Credentials cannot be judged at the moment.");
                problem.retry_after(1).into()
            }
            CredentialRefused::Throttled { retry_after } => {
                problem_for("api_key_throttled").retry_after(retry_after.as_secs().max(1)).into()
            }
        }
    }
}

/// Turns what a request presents into who acts.
///
/// `stylobate_auth::Auth` is one, and `stylobate_auth::RemoteVerifier`, for services that check the tokens of another, and
/// `stylobate_auth::RemoteServiceVerifier`, for those that other services call; a service with credentials of its own writes another.
pub trait Authenticator: Send + Sync + 'static {
    /// Decides without waiting, when it can; `None` sends the caller to [`authenticate`](Self::authenticate).
    fn authenticate_now(&self, presented: Presented<'_>) -> Option<Result<Principal, CredentialRefused>> {
        let _ = presented;
        None
    }

    /// Decides.
    ///
    /// The future fails with [`CredentialRefused`] when the credential proves nobody.
    fn authenticate<'a>(
        &'a self,
        presented: Presented<'a>,
    ) -> BoxFuture<'a, Result<Principal, CredentialRefused>>;

    /// Decides whether what was presented a while ago would still do, for a connection that is open. It is no use of a session: an
    /// open tab keeps nobody signed in.
    ///
    /// The future fails with [`CredentialRefused`] when the credential proves nobody any more.
    fn still_holds<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Result<(), CredentialRefused>> {
        Box::pin(async move { self.authenticate(presented).await.map(|_| ()) })
    }
}

/// Finds out who acts: bearer token, API key or session cookie become the principal of the request's
/// [`RequestContext`](stylobate_core::RequestContext), together with the address, user agent and request id from the edge.
///
/// 1. Nothing presented: the principal is anonymous.
/// 2. `Authorization` and `X-Api-Key` go before the cookie; they are explicit, and browsers do not attach them by themselves.
///    A bearer token that begins with `sb_` is an API key.
/// 3. A WebSocket may offer its token among the subprotocols (`bearer, TOKEN`), which is what browsers can do. Two of these
///    three, or of one of them, or two session cookies, are two opinions: 400 `ambiguous_credential`.
/// 4. A credential that is refused makes the principal anonymous and is remembered: whoever asks for a principal (the
///    [`PermissionGuardLayer`](crate::PermissionGuardLayer), [`CurrentPrincipal`](crate::CurrentPrincipal)) answers 401
///    with `error="invalid_token"`, 503 when credentials cannot be judged, or 429 when an API key is over its limit. Public routes work all the same, so that an
///    expired token does not lock its owner out of signing in.
/// 5. A request whose signature was accepted ([`SignedRequestLayer`](crate::SignedRequestLayer), which stands outside) acts for
///    whoever signed it; a credential beside the signature is one too many: 400 `ambiguous_credential`.
/// 6. Nobody waits for a judgement that is not asked for: on an [open route](Self::with_open_routes) a credential that
///    cannot be judged at once stays unjudged.
///
/// The layer protects nothing by itself; the guard does.
#[derive(Clone)]
pub struct AuthenticateLayer {
    authenticator: Arc<dyn Authenticator>,
    cookie: SessionCookie,
    open: OpenRoutes,
}

/// Method and template of routes that do not care who asks.
type OpenRoutes = Arc<[(Method, &'static str)]>;

impl AuthenticateLayer {
    /// Asks `authenticator`.
    #[must_use]
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self { authenticator, cookie: SessionCookie::default(), open: Arc::default() }
    }

    /// Chooses the session cookie. Default: `__Host-session`.
    #[must_use]
    pub fn with_cookie(mut self, cookie: SessionCookie) -> Self {
        self.cookie = cookie;
        self
    }

    /// Names the routes, by method and template, that do not care who asks: health probes, signing in. They answer without
    /// waiting for a database that may be away. Whoever asks for the principal there gets 503 when it was not judged.
    /// Default: none.
    #[must_use]
    pub fn with_open_routes(mut self, routes: impl IntoIterator<Item = (Method, &'static str)>) -> Self {
        self.open = routes.into_iter().collect();
        self
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        let (authenticator, open) = (Arc::clone(&self.authenticator), Arc::clone(&self.open));
        Authenticate { inner, authenticator, cookie: self.cookie, open }
    }
}

impl fmt::Debug for AuthenticateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateLayer").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

/// The service of [`AuthenticateLayer`].
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    authenticator: Arc<dyn Authenticator>,
    cookie: SessionCookie,
    open: OpenRoutes,
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let address = request.extensions().get::<Arrival>().and_then(|arrival| arrival.client.ip);
        let presented = match self.cookie.presented(request.headers(), address) {
            Ok(presented) => presented,
            Err(error) => return AnswerFuture::refused(error),
        };
        let signed = signer(request.extensions()).map(VerifiedRequest::principal);
        let decided = match presented {
            Presented::Nothing => Ok(signed.unwrap_or_else(Principal::anonymous)),
            _ if signed.is_some() => return AnswerFuture::refused(ambiguous()),
            Presented::Unknown => Err(CredentialRefused::Invalid),
            credential => match self.authenticator.authenticate_now(credential) {
                Some(decided) => decided,
                None if is_open(&self.open, &request) => {
                    let unjudged = Unjudged { is_cookie: matches!(credential, Presented::Session(_)) };
                    request.extensions_mut().insert(unjudged);
                    request.extensions_mut().insert(Refused(CredentialRefused::Unavailable));
                    Ok(Principal::anonymous())
                }
                None => {
                    let credential = credential.to_owned();
                    return self.later(credential, request);
                }
            },
        };
        introduce(&mut request, decided);
        AnswerFuture::inner(self.inner.call(request))
    }
}

impl<S> Authenticate<S> {
    fn later<B>(
        &mut self,
        credential: OwnedCredential,
        mut request: Request<B>,
    ) -> AnswerFuture<S::Future, S::Error>
    where
        S: Service<Request<B>> + Clone + Send + 'static,
        S::Response: IntoResponse,
        S::Future: Send,
        B: Send + 'static,
    {
        let authenticator = Arc::clone(&self.authenticator);
        // The service that was polled ready goes with the request, its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        AnswerFuture::later(Box::pin(async move {
            let decided = authenticator.authenticate(credential.as_presented()).await;
            introduce(&mut request, decided);
            inner.call(request).await.map(IntoResponse::into_response)
        }))
    }
}

fn is_open<B>(open: &[(Method, &'static str)], request: &Request<B>) -> bool {
    let Some(route) = request.extensions().get::<MatchedPath>() else { return false };
    // A `GET` route answers `HEAD` as well.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    open.iter().any(|(open, template)| open == method && *template == route.as_str())
}

/// A credential that was presented and not judged, because nobody needs to know.
#[derive(Debug, Clone, Copy)]
struct Unjudged {
    is_cookie: bool,
}

/// A credential that was presented and refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) CredentialRefused);

/// Writes who acts into the request and onto its span.
fn introduce<B>(request: &mut Request<B>, decided: Result<Principal, CredentialRefused>) {
    let principal = decided.unwrap_or_else(|refused| {
        tracing::info!(code = refused.code(), "a credential was refused");
        request.extensions_mut().insert(Refused(refused));
        Principal::anonymous()
    });
    if principal.is_authenticated() {
        let span = Span::current();
        if let Some(tenant) = principal.tenant {
            span.record("tenant", tracing::field::display(tenant));
        }
        if let Some(actor) = Actor::from(&principal).id {
            span.record("actor", actor.as_str());
        }
    }
    let arrival = request.extensions().get::<Arrival>();
    let context = RequestContext {
        principal,
        request_id: arrival.map(|arrival| arrival.request_id),
        address: arrival.and_then(|arrival| arrival.client.ip),
        user_agent: user_agent(request.headers()),
        traceparent: traceparent(request.headers()),
        process: None,
        is_for_platform: false,
    };
    request.extensions_mut().insert(Arc::new(context));
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    // `to_str` lets visible ASCII through only, so bytes are characters.
    text.get(..text.len().min(USER_AGENT_CHARS_MAX)).map(str::to_owned)
}

/// The trace that the client says its request belongs to; nothing when it says two (W3C Trace Context §3.2).
fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut told = headers.get_all("traceparent").iter();
    let only = told.next().filter(|_| told.next().is_none())?;
    only.to_str().ok()?.parse().ok()
}

/// What the principal of the request with these extensions presented; nothing when nobody has looked yet. A cookie that was not judged counts as
/// one: what protects those who have it does not depend on whether it is good.
pub(crate) fn credential(extensions: &Extensions) -> Credential {
    if extensions.get::<Unjudged>().is_some_and(|unjudged| unjudged.is_cookie) {
        return Credential::Cookie;
    }
    extensions.get::<Arc<RequestContext>>().map_or(Credential::None, |context| context.principal.credential)
}

impl<S: fmt::Debug> fmt::Debug for Authenticate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate").field("inner", &self.inner).finish_non_exhaustive()
    }
}
