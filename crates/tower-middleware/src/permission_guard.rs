mod further;
mod judge;

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, header};
use stylobate_core::{AuditSink, Problem, RequestContext};
use stylobate_rbac::Authorizer;
use tower::{Layer, Service};

pub use further::FurtherPermission;
use judge::{Case, Denial, Guard, Policies};

use crate::{
    ApiError, InternalSecret, Permission, RoutePermissions, authenticate::Refused, future::AnswerFuture,
    policy_epoch::Demanded, problem_table::problem_for, route_permissions::Asked,
};

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
            Permission::Authenticated => None,
            Permission::AnyCredential => None,
            Permission::Key(name) => Some(name),
        };
        // What the route does may need more, which it then asks for itself.
        if permission != Permission::Authenticated {
            request.extensions_mut().insert(Arc::clone(&self.guard));
        }
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
                permission: Cow::Borrowed("authenticated"),
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
            permission: Cow::Borrowed(name),
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

fn other_method(method: &Method, allow: &str) -> Response {
    let mut response = ApiError::method_not_allowed(method).into_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
