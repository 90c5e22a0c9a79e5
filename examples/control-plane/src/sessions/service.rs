use stylobate::{
    auth::{Auth, SessionQuery, TenantSession},
    core::{Page, PersonId, RequestContext, SessionId},
    db::{Db, Scope, Tx},
    rbac::Rbac,
};

use crate::{
    people::{People, tenant_of},
    refused::Refused,
};

/// Sessions of the caller's organisation.
#[derive(Clone)]
pub(crate) struct Sessions {
    db: Db,
    auth: Auth,
    rbac: Rbac,
    people: People,
}

impl Sessions {
    pub(crate) fn new(db: Db, auth: Auth, rbac: Rbac, people: People) -> Self {
        Self { db, auth, rbac, people }
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        query: &SessionQuery,
    ) -> Result<Page<TenantSession>, Refused> {
        Ok(self.auth.list_sessions_in(tenant_of(context)?, query).await?)
    }

    pub(super) async fn find(
        &self,
        context: &RequestContext,
        id: SessionId,
    ) -> Result<TenantSession, Refused> {
        Ok(self.auth.find_session_in(tenant_of(context)?, id).await?)
    }

    /// Ends a session; one that has been ended stays as it is.
    pub(super) async fn revoke(
        &self,
        context: &RequestContext,
        id: SessionId,
    ) -> Result<TenantSession, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("revoke a session"), async move |tx: &mut Tx| {
                let owner = this.auth.session_owner_in(tx, tenant, id).await?;
                this.rbac.require_may_manage(tx, &context, owner).await?;
                Ok(this.auth.revoke_session_in(tx, &context, tenant, id).await?)
            })
            .await
    }

    /// Ends what a member has open for the organisation. Returns how many sessions.
    pub(super) async fn revoke_all(&self, context: &RequestContext, id: PersonId) -> Result<usize, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("revoke a person's sessions"), async move |tx: &mut Tx| {
                this.people.member(tx, tenant, id).await?;
                this.rbac.require_may_manage(tx, &context, id).await?;
                Ok(this.auth.revoke_sessions_in(tx, &context, tenant, id).await?)
            })
            .await
    }
}
