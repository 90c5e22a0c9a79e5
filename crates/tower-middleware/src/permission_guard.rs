use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, header};
use stylobate_core::{AuditEvent, AuditSink, Outcome, Problem, RequestContext, TenantId};
use stylobate_rbac::{Authorizer, PolicyUnavailable};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{
    ApiError, InternalSecret, Permission, RoutePermissions, api_error::log_cause, authenticate::Refused,
    future::AnswerFuture, policy_epoch::Demanded, problem_table::problem_for, route_permissions::Asked,
};

/// How long the record of a denial may keep the caller waiting. It is written all the same.
const AUDIT_WAIT: Duration = Duration::from_secs(1);

/// Lets a request through only when its caller has the permission that the matched route asks.
///
/// | situation | answer |
/// |---|---|
/// | no route matched | 404 `not_found` |
/// | the route has no such method | 405 `method_not_allowed` |
/// | nobody said what the route asks | 403 `permission_denied`, and an error in the log |
/// | nobody is signed in, or the credential was refused | 401 `unauthenticated` (503 `auth_unavailable` when it could not be judged) |
/// | the route asks for a person, and a program's credential or one that scopes narrow came | 403 `person_required` |
/// | the policy cannot be loaded | 503 `policy_unavailable` |
/// | `X-Policy-Epoch` demands a policy that the database does not have, or that does not arrive within two seconds | 503 `policy_stale` |
/// | the caller lacks the permission, or the engine fails | 403 `permission_denied` naming the permission, and an audit event |
///
/// With [`InternalSecret`], a request that presents it is the platform's own, narrowed to the permission that is asked.
///
/// Attach it inside [`AuthenticateLayer`](crate::AuthenticateLayer), with `Router::layer` for a table of routes, or with
/// `route_layer` for one permission.
#[derive(Clone)]
pub struct PermissionGuardLayer {
    guard: Arc<Guard>,
}

#[derive(Clone)]
struct Guard {
    authorizer: Arc<dyn Authorizer>,
    audit: Option<Arc<dyn AuditSink>>,
    internal: Option<InternalSecret>,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Table(RoutePermissions),
    One(Permission),
}

impl PermissionGuardLayer {
    /// Asks what the table says about each route.
    #[must_use]
    pub fn for_routes(authorizer: Arc<dyn Authorizer>, routes: RoutePermissions) -> Self {
        Self::of(authorizer, Rule::Table(routes))
    }

    /// Asks one permission of every request.
    #[must_use]
    pub fn require(authorizer: Arc<dyn Authorizer>, permission: Permission) -> Self {
        Self::of(authorizer, Rule::One(permission))
    }

    fn of(authorizer: Arc<dyn Authorizer>, rule: Rule) -> Self {
        Self { guard: Arc::new(Guard { authorizer, audit: None, internal: None, rule }) }
    }

    /// Records denials there. Default: they are only logged.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        Arc::make_mut(&mut self.guard).audit = Some(audit);
        self
    }

    /// Takes `secret` instead of a caller who has the permission. Default: `X-Internal-Secret` means nothing.
    #[must_use]
    pub fn with_internal_secret(mut self, secret: InternalSecret) -> Self {
        Arc::make_mut(&mut self.guard).internal = Some(secret);
        self
    }
}

impl<S> Layer<S> for PermissionGuardLayer {
    type Service = PermissionGuard<S>;

    fn layer(&self, inner: S) -> PermissionGuard<S> {
        PermissionGuard { inner, guard: Arc::clone(&self.guard) }
    }
}

impl fmt::Debug for PermissionGuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermissionGuardLayer").finish_non_exhaustive()
    }
}

/// The service of [`PermissionGuardLayer`].
#[derive(Clone)]
pub struct PermissionGuard<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S, B> Service<Request<B>> for PermissionGuard<S>
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
        let route = request.extensions().get::<MatchedPath>();
        let permission = match &self.guard.rule {
            Rule::One(permission) => *permission,
            Rule::Table(routes) => match route.map(|route| routes.asked(route.as_str(), request.method())) {
                Some(Asked::Permission(permission)) => permission,
                Some(Asked::OtherMethods(allow)) => {
                    let method = request.method().clone();
                    return AnswerFuture::later(Box::pin(async move { Ok(other_method(&method, &allow)) }));
                }
                Some(Asked::Unstated) => {
                    tracing::error!("the route states no permission");
                    return AnswerFuture::refused(Problem::new(403, "permission_denied").into());
                }
                None => return AnswerFuture::refused(Problem::not_found().into()),
            },
        };
        let name = match permission {
            Permission::Public(_) => return AnswerFuture::inner(self.inner.call(request)),
            Permission::Authenticated | Permission::AnyCredential => None,
            Permission::Key(name) => Some(name),
        };
        if let Some(name) = name
            && let Err(error) = self.guard.take_internal(&mut request, name)
        {
            return AnswerFuture::refused(error);
        }
        let context = match caller(&request) {
            Ok(context) => context,
            Err(error) => return AnswerFuture::refused(error),
        };
        if permission == Permission::Authenticated && !context.principal.is_person_unscoped() {
            let case = Case {
                guard: Arc::clone(&self.guard),
                context,
                permission: "authenticated",
                policies: Policies { tenant: None, own: None, platform: None },
                route: request.extensions().get().cloned(),
                method: request.method().clone(),
            };
            return AnswerFuture::later(Box::pin(async move {
                case.deny(Denial { reason: "person_required", missing: None }).await;
                Ok(ApiError::from(problem_for("person_required")).into_response())
            }));
        }
        let Some(name) = name else { return AnswerFuture::inner(self.inner.call(request)) };
        let demanded = match Demanded::by(request.headers()) {
            Ok(demanded) => demanded,
            Err(error) => return AnswerFuture::refused(error),
        };
        let policies = Policies::of(&context, demanded);
        if self.guard.is_prepared(policies) && self.guard.check(&context, name).is_ok() {
            return AnswerFuture::inner(self.inner.call(request));
        }
        let case = Case {
            guard: Arc::clone(&self.guard),
            context,
            permission: name,
            policies,
            route: request.extensions().get().cloned(),
            method: request.method().clone(),
        };
        // The service that was polled ready goes with the request, its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        AnswerFuture::later(Box::pin(async move {
            match case.judge().await {
                Ok(()) => inner.call(request).await.map(IntoResponse::into_response),
                Err(error) => Ok(error.into_response()),
            }
        }))
    }
}

fn caller<B>(request: &Request<B>) -> Result<Arc<RequestContext>, ApiError> {
    let refused = request.extensions().get().map(|Refused(refused)| ApiError::from(*refused));
    let context = request.extensions().get::<Arc<RequestContext>>();
    match (refused, context) {
        (Some(refused), _) => Err(refused),
        (None, Some(context)) if context.principal.is_authenticated() => Ok(Arc::clone(context)),
        (None, _) => Err(Problem::unauthenticated().into()),
    }
}

/// The policies that decide about a request, and how fresh each has to be at least.
#[derive(Clone, Copy)]
struct Policies {
    tenant: Option<TenantId>,
    own: Option<i64>,
    platform: Option<i64>,
}

impl Policies {
    fn of(context: &RequestContext, demanded: Demanded) -> Self {
        let (tenant, Demanded { own, platform }) = (context.principal.tenant, demanded);
        match tenant {
            Some(_) => Self { tenant, own, platform },
            // For who acts for no organisation, the platform's policy is the own one.
            None => Self { tenant, own: own.max(platform), platform: None },
        }
    }

    /// Owner and least epoch of each that has to be looked at.
    fn each(self) -> impl Iterator<Item = (Option<TenantId>, Option<i64>)> {
        let platform = self.platform.map(|epoch| (None, Some(epoch)));
        platform.into_iter().chain([(self.tenant, self.own)])
    }

    fn is_demanding(self) -> bool {
        self.own.is_some() || self.platform.is_some()
    }
}

fn other_method(method: &Method, allow: &str) -> Response {
    let mut response = ApiError::method_not_allowed(method).into_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn denied(permission: &str) -> ApiError {
    let detail = format!("The permission `{permission}` is required.");
    Problem::new(403, "permission_denied").detail(detail).into()
}

impl Guard {
    /// Lets the platform in whose secret the request presents.
    fn take_internal<B>(&self, request: &mut Request<B>, permission: &'static str) -> Result<(), ApiError> {
        let Some(secret) = &self.internal else { return Ok(()) };
        let asking = request.extensions().get::<Arc<RequestContext>>().cloned();
        if let Some(judged) = secret.judge(request, asking.as_deref(), permission) {
            request.extensions_mut().insert(Arc::new(judged?));
        }
        Ok(())
    }

    fn is_prepared(&self, policies: Policies) -> bool {
        let prepare =
            || policies.each().all(|(owner, at_least)| self.authorizer.prepare(owner, at_least).is_none());
        catch_unwind(AssertUnwindSafe(prepare)).unwrap_or(false)
    }

    /// Asks the engine; its failure is a no (SECURITY A11).
    fn check(&self, context: &RequestContext, permission: &str) -> Result<(), Denial> {
        let check = || self.authorizer.check(&context.principal, permission);
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(decision) if decision.is_allowed() => Ok(()),
            Ok(decision) => {
                let missing = decision.missing.map(|missing| missing.code());
                Err(Denial { reason: decision.reason.code(), missing })
            }
            Err(_) => Err(ENGINE_FAILURE),
        }
    }
}

/// Why a request is refused, in codes: the caller learns the permission, the audit trail all of it.
#[derive(Clone, Copy)]
struct Denial {
    reason: &'static str,
    missing: Option<&'static str>,
}

const ENGINE_FAILURE: Denial = Denial { reason: "engine_failure", missing: None };

/// A request that could not be let through at once: its policy has to be loaded, or it is a denial to record.
struct Case {
    guard: Arc<Guard>,
    context: Arc<RequestContext>,
    permission: &'static str,
    policies: Policies,
    route: Option<MatchedPath>,
    method: Method,
}

impl Case {
    async fn judge(self) -> Result<(), ApiError> {
        for (owner, at_least) in self.policies.each() {
            let prepare = || self.guard.authorizer.prepare(owner, at_least);
            match catch_unwind(AssertUnwindSafe(prepare)) {
                Ok(None) => {}
                Ok(Some(loading)) => {
                    if let Err(error) = loading.await {
                        return Err(self.unprepared(&error));
                    }
                }
                Err(_) => return Err(self.deny(ENGINE_FAILURE).await),
            }
        }
        match self.guard.check(&self.context, self.permission) {
            Ok(()) => Ok(()),
            Err(denial) => Err(self.deny(denial).await),
        }
    }

    fn unprepared(&self, error: &PolicyUnavailable) -> ApiError {
        let code = if self.policies.is_demanding() { "policy_stale" } else { "policy_unavailable" };
        log_cause(code, error);
        problem_for(code).retry_after(1).into()
    }

    async fn deny(&self, Denial { reason, missing }: Denial) -> ApiError {
        tracing::info!(code = "permission_denied", permission = self.permission, reason, "denied");
        if let Some(audit) = &self.guard.audit {
            let event = AuditEvent::new(&self.context, "permission.deny", "permission")
                .on(self.permission)
                .outcome(Outcome::Denied)
                .with("reason", reason)
                .with("missing", missing)
                .with("method", self.method.as_str())
                .with("route", self.route.as_ref().map(MatchedPath::as_str));
            let audit = Arc::clone(audit);
            // A task of its own: who is refused and hangs up is recorded as well.
            let recording = tokio::spawn(async move { audit.record(event).await }.in_current_span());
            match tokio::time::timeout(AUDIT_WAIT, recording).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => log_cause("audit_failed", &error),
                Ok(Err(error)) => log_cause("audit_failed", &error),
                Err(_) => tracing::warn!(code = "audit_slow", "the record of a denial takes long"),
            }
        }
        denied(self.permission)
    }
}
