//! Which organisation a request is about.

use stylobate::{
    core::{RequestContext, TenantId},
    db::{Db, Scope},
    middleware::{ApiError, ApiResult},
    rbac::{Authorizer as _, Rbac},
    tenancy::Tenancy,
};

use crate::caller;

/// An organisation that a path names, and in which the caller may act.
#[derive(Clone)]
pub(crate) struct OrgTarget {
    pub(crate) tenant: TenantId,
    /// The caller, acting in it; of a foreign one for the platform, so that nothing else counts and nobody is named.
    pub(crate) context: RequestContext,
    /// Whether the platform acts on an organisation that the credential is not of.
    pub(crate) is_foreign: bool,
}

impl OrgTarget {
    // A12
    /// The organisation `id`, for a caller who has `route_key` already: it is the credential's own, or both `route_key` and
    /// `platform_key` are given to the caller by the platform. What somebody may do in another organisation, or in that
    /// one, does not count.
    ///
    /// The own one is not read, so it may be gone: whoever works in it finds out. Whether another one exists is asked only
    /// for the platform, so that nobody else can tell a foreign id from one that nothing has.
    ///
    /// # Errors
    /// 404 `not_found` for an organisation that is missing or not the caller's to act in.
    pub(crate) async fn find(
        rbac: &Rbac,
        tenancy: &Tenancy,
        db: &Db,
        context: &RequestContext,
        id: TenantId,
        route_key: &str,
        platform_key: &str,
    ) -> ApiResult<Self> {
        if context.principal.tenant == Some(id) {
            return Ok(Self { tenant: id, context: context.clone(), is_foreign: false });
        }
        if !given_by_platform(rbac, context, [route_key, platform_key]) {
            tracing::info!(permission = platform_key, "another organisation is not the caller's to act in");
            return Err(ApiError::not_found());
        }
        let mut reader = db.read().await?;
        let found = tenancy.find_org(&mut reader, id).await?;
        found.ok_or_else(ApiError::not_found)?;
        Ok(Self { tenant: id, context: context.for_platform_in(id), is_foreign: true })
    }

    /// In which scope the work is done: what is done to another organisation is the platform's doing.
    pub(crate) fn scope(&self, reason: &'static str) -> Scope {
        if self.is_foreign { Scope::Platform(reason) } else { Scope::Tenant(self.tenant) }
    }
}

/// Whether the platform lets the caller do all of `keys`, in whatever organisation. The scopes of the credential narrow
/// that as everything.
pub(crate) fn given_by_platform<const N: usize>(
    rbac: &Rbac,
    context: &RequestContext,
    keys: [&str; N],
) -> bool {
    let platform = caller::of_platform(context);
    keys.iter().all(|key| rbac.check(&platform.principal, key).is_allowed())
}
