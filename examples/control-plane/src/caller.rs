//! In whose name somebody asks.

use stylobate::{
    core::{Principal, Problem, RequestContext, TenantId},
    middleware::ApiResult,
};

// A12
/// The caller, who acts for an organisation: without one they would be shown what is the platform's.
pub(crate) fn of_tenant(context: &RequestContext) -> ApiResult<&RequestContext> {
    if context.principal.tenant.is_none() {
        let detail = "The caller acts for no organisation.";
        return Err(Problem::new(403, "tenant_required").detail(detail).into());
    }
    Ok(context)
}

/// The same caller, acting for no organisation, and so for all. For routes whose permission is of the platform.
pub(crate) fn of_platform(context: &RequestContext) -> RequestContext {
    let principal = Principal { tenant: None, ..context.principal.clone() };
    RequestContext { principal, ..context.clone() }
}

/// The same caller, acting in `tenant`.
pub(crate) fn in_tenant(context: &RequestContext, tenant: TenantId) -> RequestContext {
    let principal = Principal { tenant: Some(tenant), ..context.principal.clone() };
    RequestContext { principal, ..context.clone() }
}
