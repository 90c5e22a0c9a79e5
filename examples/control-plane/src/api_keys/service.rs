//! What can be done with keys. Each is one transaction, and the audit event is the auth crate's.

use std::{sync::Arc, time::Duration};

use stylobate::{
    auth::{
        ApiKey, ApiKeyError, ApiKeyQuery, ApiKeyUsage, Auth, IssuedApiKey, NewApiKey, ServiceAccountError,
        ServiceAccounts,
    },
    core::{ApiKeyId, KeyOwner, Page, PersonId, Problem, RequestContext, TenantId},
    db::{Db, Scope, Tx},
    middleware::problem_for,
    rbac::{Assignee, Rbac},
    tenancy::Tenancy,
};

use super::model::{ApiKeyInput, ApiKeyPatch};
use crate::{
    people::{People, tenant_of},
    refused::Refused,
};

/// API keys of the caller's organisation.
#[derive(Clone)]
pub(crate) struct ApiKeys {
    db: Db,
    auth: Auth,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    people: People,
}

/// What the caller is about to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Something after which a program can do more than before, or the caller what the key can.
    Empower,
    /// Something after which less can be done.
    Revoke,
}

impl ApiKeys {
    pub(crate) fn new(db: Db, auth: Auth, rbac: Rbac, tenancy: Arc<Tenancy>, people: People) -> Self {
        Self { db, auth, rbac, tenancy, people }
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        query: &ApiKeyQuery,
    ) -> Result<Page<ApiKey>, Refused> {
        Ok(self.auth.api_keys().list(tenant_of(context)?, query).await?)
    }

    pub(super) async fn find(&self, context: &RequestContext, id: ApiKeyId) -> Result<ApiKey, Refused> {
        Ok(self.auth.api_keys().find(tenant_of(context)?, id).await?)
    }

    pub(super) async fn usage(
        &self,
        context: &RequestContext,
        id: ApiKeyId,
    ) -> Result<Vec<ApiKeyUsage>, Refused> {
        Ok(self.auth.api_keys().usage(tenant_of(context)?, id).await?)
    }

    pub(super) async fn create(
        &self,
        context: &RequestContext,
        input: ApiKeyInput,
    ) -> Result<IssuedApiKey, Refused> {
        let new = input.read(tenant_of(context)?, context.principal.person_id())?;
        self.make(context, new).await
    }

    /// Makes a key, of somebody whom the caller may act for.
    pub(super) async fn make(
        &self,
        context: &RequestContext,
        new: NewApiKey,
    ) -> Result<IssuedApiKey, Refused> {
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("make an API key"), async move |tx: &mut Tx| {
                this.require_owner(tx, new.tenant, new.owner).await?;
                this.require_may(tx, &context, Act::Empower, new.owner).await?;
                // After the policy and before the owner, as everybody locks them: the key ends with the organisation, or is not made.
                this.tenancy.hold_active(tx, new.tenant).await?;
                let issued = this.auth.api_keys().create(tx, &context, new.clone()).await?;
                // Now that the owner is locked: whoever left in between takes no key along.
                this.require_owner(tx, new.tenant, new.owner).await?;
                Ok(issued)
            })
            .await
    }

    pub(super) async fn change(
        &self,
        context: &RequestContext,
        id: ApiKeyId,
        patch: ApiKeyPatch,
    ) -> Result<ApiKey, Refused> {
        let tenant = tenant_of(context)?;
        // Whoever is missing or foreign is so before anything is said about the fields.
        self.find(context, id).await?;
        let change = patch.read()?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("change an API key"), async move |tx: &mut Tx| {
                this.require_may_with(tx, &context, Act::Empower, (tenant, id)).await?;
                Ok(this.auth.api_keys().update(tx, &context, (tenant, id), change.clone()).await?)
            })
            .await
    }

    pub(super) async fn rotate(
        &self,
        context: &RequestContext,
        id: ApiKeyId,
        overlap: Duration,
    ) -> Result<IssuedApiKey, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("rotate an API key"), async move |tx: &mut Tx| {
                this.require_may_with(tx, &context, Act::Empower, (tenant, id)).await?;
                Ok(this.auth.api_keys().rotate(tx, &context, (tenant, id), overlap).await?)
            })
            .await
    }

    pub(super) async fn revoke(&self, context: &RequestContext, id: ApiKeyId) -> Result<ApiKey, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("revoke an API key"), async move |tx: &mut Tx| {
                this.require_may_with(tx, &context, Act::Revoke, (tenant, id)).await?;
                Ok(this.auth.api_keys().revoke(tx, &context, (tenant, id)).await?)
            })
            .await
    }

    /// The caller's own key; everybody else's is missing.
    pub(super) async fn own(
        &self,
        context: &RequestContext,
        person: PersonId,
        id: ApiKeyId,
    ) -> Result<ApiKey, Refused> {
        let key = self.find(context, id).await?;
        if key.person_id == Some(person) { Ok(key) } else { Err(Problem::not_found().into()) }
    }

    async fn require_may_with(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        act: Act,
        (tenant, id): (TenantId, ApiKeyId),
    ) -> Result<(), Refused> {
        let key = self.auth.api_keys().find_in(tx, tenant, id).await?;
        match key.owner() {
            Some(owner) => self.require_may(tx, context, act, owner).await,
            None => Err(Problem::not_found().into()),
        }
    }

    /// Whoever is foreign is so before anything is said about their rights.
    async fn require_owner(&self, tx: &mut Tx, tenant: TenantId, owner: KeyOwner) -> Result<(), Refused> {
        match owner {
            KeyOwner::Person { id } => {
                let member = self.people.member(tx, tenant, id).await?;
                let may_act = !member.seen_by.is_suspended;
                may_act.then_some(()).ok_or_else(|| ApiKeyError::OwnerUnknown(owner).into())
            }
            KeyOwner::Service { id } => match ServiceAccounts::find_in(tx, tenant, id).await {
                Ok(_) => Ok(()),
                Err(ServiceAccountError::NotFound) => Err(ApiKeyError::OwnerUnknown(owner).into()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Whoever has a key can do what its owner may: only who may do as much decides about it.
    async fn require_may(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        act: Act,
        owner: KeyOwner,
    ) -> Result<(), Refused> {
        // A key outlives the impersonation that it would be made in.
        if act == Act::Empower && context.principal.impersonator.is_some() {
            return Err(problem_for("person_required").into());
        }
        let owner = match owner {
            // In person and without limits; what is narrowed makes nothing wider than itself.
            KeyOwner::Person { id }
                if context.principal.person_id() == Some(id) && context.principal.is_person_unscoped() =>
            {
                return Ok(());
            }
            KeyOwner::Person { id } => Assignee::from(id),
            KeyOwner::Service { id } => Assignee::from(id),
        };
        match act {
            Act::Revoke => self.rbac.require_may_manage(tx, context, owner).await?,
            Act::Empower => self.rbac.require_may_become(tx, context, owner).await?,
        }
        Ok(())
    }
}
