//! Who decides, and what is recorded of a denial.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::extract::MatchedPath;
use http::{Method, Request};
use stylobate_core::{AuditEvent, AuditSink, Outcome, Problem, RequestContext, TenantId};
use stylobate_rbac::{Authorizer, PolicyUnavailable};

use super::Rule;
use crate::{
    ApiError, InternalSecret, api_error::log_cause, denial, policy_epoch::Demanded,
    problem_table::problem_for,
};

#[derive(Clone)]
pub(super) struct Guard {
    pub(super) authorizer: Arc<dyn Authorizer>,
    pub(super) audit: Option<Arc<dyn AuditSink>>,
    pub(super) internal: Option<InternalSecret>,
    pub(super) rule: Rule,
}

/// The policies that decide about a request, and how fresh each has to be at least.
#[derive(Clone, Copy)]
pub(super) struct Policies {
    pub(super) tenant: Option<TenantId>,
    pub(super) own: Option<i64>,
    pub(super) platform: Option<i64>,
}

impl Policies {
    pub(super) fn of(context: &RequestContext, demanded: Demanded) -> Self {
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

impl Guard {
    /// Lets the platform in whose secret the request presents.
    pub(super) fn take_internal<B>(
        &self,
        request: &mut Request<B>,
        permission: &'static str,
    ) -> Result<(), ApiError> {
        let Some(secret) = &self.internal else { return Ok(()) };
        let asking = request.extensions().get::<Arc<RequestContext>>().cloned();
        if let Some(judged) = secret.judge(request, asking.as_deref(), permission) {
            request.extensions_mut().insert(Arc::new(judged?));
        }
        Ok(())
    }

    pub(super) fn is_prepared(&self, policies: Policies) -> bool {
        let prepare =
            || policies.each().all(|(owner, at_least)| self.authorizer.prepare(owner, at_least).is_none());
        catch_unwind(AssertUnwindSafe(prepare)).unwrap_or(false)
    }

    /// Asks the engine; its failure is a no (SECURITY A11).
    pub(super) fn check(&self, context: &RequestContext, permission: &str) -> Result<(), Denial> {
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
pub(super) struct Denial {
    pub(super) reason: &'static str,
    pub(super) missing: Option<&'static str>,
}

const ENGINE_FAILURE: Denial = Denial { reason: "engine_failure", missing: None };

/// A request that could not be let through at once: its policy has to be loaded, or it is a denial to record.
pub(super) struct Case {
    pub(super) guard: Arc<Guard>,
    pub(super) context: Arc<RequestContext>,
    pub(super) permission: Cow<'static, str>,
    pub(super) policies: Policies,
    pub(super) route: Option<MatchedPath>,
    pub(super) method: Method,
}

impl Case {
    pub(super) async fn judge(self) -> Result<(), ApiError> {
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
        match self.guard.check(&self.context, &self.permission) {
            Ok(()) => Ok(()),
            Err(denial) => Err(self.deny(denial).await),
        }
    }

    fn unprepared(&self, error: &PolicyUnavailable) -> ApiError {
        let code = if self.policies.is_demanding() { "policy_stale" } else { "policy_unavailable" };
        log_cause(code, error);
        problem_for(code).retry_after(1).into()
    }

    pub(super) async fn deny(&self, Denial { reason, missing }: Denial) -> ApiError {
        tracing::info!(code = "permission_denied", permission = &*self.permission, reason, "denied");
        if let Some(audit) = &self.guard.audit {
            let event = AuditEvent::new(&self.context, "permission.deny", "permission")
                .on(&self.permission)
                .outcome(Outcome::Denied)
                .with("reason", reason)
                .with("missing", missing)
                .with("method", self.method.as_str())
                .with("route", self.route.as_ref().map(MatchedPath::as_str));
            denial::record(audit, event).await;
        }
        denied(&self.permission)
    }
}

pub(super) fn denied(permission: &str) -> ApiError {
    let detail = format!("The permission `{permission}` is required.");
    Problem::new(403, "permission_denied").detail(detail).into()
}
