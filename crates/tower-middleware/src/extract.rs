use std::{convert::Infallible, ops::Deref, sync::Arc};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use stylobate_core::{Principal, Problem, RequestContext};

use crate::{ApiError, Arrival, authenticate::Refused};

/// Who acts; 401 when nobody has been authenticated. As an `Option` it is `None` then.
#[derive(Debug, Clone)]
pub struct CurrentPrincipal(Arc<RequestContext>);

impl Deref for CurrentPrincipal {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0.principal
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentPrincipal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if let Some(Refused(refused)) = parts.extensions.get() {
            return Err((*refused).into());
        }
        let context = parts.extensions.get::<Arc<RequestContext>>();
        match context.filter(|context| context.principal.is_authenticated()) {
            Some(context) => Ok(Self(Arc::clone(context))),
            None => Err(Problem::unauthenticated().into()),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for CurrentPrincipal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        let context = parts.extensions.get::<Arc<RequestContext>>();
        Ok(context.filter(|context| context.principal.is_authenticated()).cloned().map(Self))
    }
}

/// Who asks, from where, under which request id: what services take. Anonymous when nobody has been authenticated.
#[derive(Debug, Clone)]
pub struct Context(Arc<RequestContext>);

impl Context {
    /// The context, to be kept beyond the request.
    #[must_use]
    pub fn into_inner(self) -> Arc<RequestContext> {
        self.0
    }
}

impl Deref for Context {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        if let Some(context) = parts.extensions.get::<Arc<RequestContext>>() {
            return Ok(Self(Arc::clone(context)));
        }
        let mut context = RequestContext::new(Principal::anonymous());
        if let Some(arrival) = parts.extensions.get::<Arrival>() {
            context.request_id = Some(arrival.request_id);
            context.address = arrival.client.ip;
        }
        Ok(Self(Arc::new(context)))
    }
}
