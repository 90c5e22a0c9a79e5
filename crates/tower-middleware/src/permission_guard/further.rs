use std::{borrow::Cow, sync::Arc};

use axum::extract::{FromRequestParts, MatchedPath};
use http::{Method, request::Parts};
use stylobate_core::RequestContext;

use super::judge::{Case, Guard, Policies};
use crate::{ApiError, ApiResult, extract::Context, policy_epoch::Demanded};

/// Asks for a permission beside the one of the route, or for one that is known only once a request has been read: it is judged, and
/// its denial recorded, as by the [`PermissionGuardLayer`](super::PermissionGuardLayer) in front. Without that layer, on routes that
/// are [public](crate::Permission::Public) and on those of [a person](crate::Permission::Authenticated) everything is denied.
pub struct FurtherPermission(Option<Asking>);

struct Asking {
    guard: Arc<Guard>,
    context: Arc<RequestContext>,
    demanded: Demanded,
    route: Option<MatchedPath>,
    method: Method,
}

impl FurtherPermission {
    /// Lets the caller go on only when they have `permission`.
    ///
    /// # Errors
    /// 403 `permission_denied`; 503 `policy_unavailable` or `policy_stale` when it cannot be judged.
    pub async fn require(self, permission: impl Into<Cow<'static, str>>) -> ApiResult<()> {
        let permission = permission.into();
        let Some(Asking { guard, context, demanded, route, method }) = self.0 else {
            tracing::error!("no guard stands in front of a route that asks for a permission");
            return Err(super::judge::denied(&permission));
        };
        let policies = Policies::of(&context, demanded);
        if guard.is_prepared(policies) && guard.check(&context, &permission).is_ok() {
            return Ok(());
        }
        Case { guard, context, permission, policies, route, method }.judge().await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FurtherPermission {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Some(guard) = parts.extensions.get::<Arc<Guard>>().cloned() else { return Ok(Self(None)) };
        let Ok(context) = Context::from_request_parts(parts, state).await;
        Ok(Self(Some(Asking {
            guard,
            context: context.into_inner(),
            demanded: Demanded::by(&parts.headers)?,
            route: parts.extensions.get().cloned(),
            method: parts.method.clone(),
        })))
    }
}
