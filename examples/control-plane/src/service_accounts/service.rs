//! What can be done with service accounts. Each is one transaction, and the audit event is the auth crate's.

use std::sync::Arc;

use stylobate::{
    auth::{
        Auth, NewServiceAccount, ServiceAccount, ServiceAccountChange, ServiceAccountQuery,
        ServiceAccountStatus, ServiceAccounts as Accounts, ServiceGrant, ServiceKey,
    },
    core::{Page, RequestContext, ServiceId, ServiceKeyId},
    db::{Db, Scope, Tx},
    rbac::Rbac,
    tenancy::Tenancy,
};

use super::model::ServiceKeyInput;
use crate::{people::tenant_of, refused::Refused};

/// Service accounts of the caller's organisation.
#[derive(Clone)]
pub(crate) struct ServiceAccounts {
    db: Db,
    auth: Auth,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
}

impl ServiceAccounts {
    pub(crate) fn new(db: Db, auth: Auth, rbac: Rbac, tenancy: Arc<Tenancy>) -> Self {
        Self { db, auth, rbac, tenancy }
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        query: &ServiceAccountQuery,
    ) -> Result<Page<ServiceAccount>, Refused> {
        Ok(self.auth.service_accounts().list(tenant_of(context)?, query).await?)
    }

    pub(super) async fn find(
        &self,
        context: &RequestContext,
        id: ServiceId,
    ) -> Result<ServiceAccount, Refused> {
        Ok(self.auth.service_accounts().find(tenant_of(context)?, id).await?)
    }

    /// It has no rights yet, so nobody makes more than they have.
    pub(super) async fn create(
        &self,
        context: &RequestContext,
        new: NewServiceAccount,
    ) -> Result<ServiceAccount, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("make a service account"), async move |tx: &mut Tx| {
                // It is disabled with the organisation, or not made.
                this.tenancy.hold_active(tx, tenant).await?;
                Ok(this.auth.service_accounts().insert(tx, &context, tenant, new.clone()).await?)
            })
            .await
    }

    /// Whoever decides what a service is and whether it works decides about all that it may do. Switching it off is left to
    /// everybody who manages services.
    pub(super) async fn change(
        &self,
        context: &RequestContext,
        id: ServiceId,
        change: ServiceAccountChange,
    ) -> Result<ServiceAccount, Refused> {
        let tenant = tenant_of(context)?;
        let ends = ServiceAccountChange {
            status: Some(ServiceAccountStatus::Disabled),
            ..ServiceAccountChange::default()
        };
        let only_ends = change == ends;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("change a service account"), async move |tx: &mut Tx| {
                Accounts::find_in(tx, tenant, id).await?;
                if only_ends {
                    this.rbac.require_may_manage(tx, &context, id).await?;
                } else {
                    this.rbac.require_may_become(tx, &context, id).await?;
                    this.tenancy.hold_active(tx, tenant).await?;
                }
                let accounts = this.auth.service_accounts();
                Ok(accounts.update(tx, &context, (tenant, id), change.clone()).await?)
            })
            .await
    }

    pub(super) async fn delete(&self, context: &RequestContext, id: ServiceId) -> Result<(), Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("remove a service account"), async move |tx: &mut Tx| {
                Accounts::find_in(tx, tenant, id).await?;
                this.rbac.require_may_become(tx, &context, id).await?;
                // First, so that nobody gives it a role meanwhile.
                this.rbac.remove_subject_everywhere(tx, &context, id, &[tenant]).await?;
                Ok(this.auth.service_accounts().delete(tx, &context, (tenant, id)).await?)
            })
            .await
    }

    pub(super) async fn grants(
        &self,
        context: &RequestContext,
        id: ServiceId,
    ) -> Result<Vec<ServiceGrant>, Refused> {
        Ok(self.auth.service_accounts().grants(tenant_of(context)?, id).await?)
    }

    pub(super) async fn set_grants(
        &self,
        context: &RequestContext,
        id: ServiceId,
        grants: Vec<ServiceGrant>,
    ) -> Result<Vec<ServiceGrant>, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("say what a service may do"), async move |tx: &mut Tx| {
                Accounts::find_in(tx, tenant, id).await?;
                this.rbac.require_may_become(tx, &context, id).await?;
                let accounts = this.auth.service_accounts();
                Ok(accounts.set_grants(tx, &context, (tenant, id), &grants).await?)
            })
            .await
    }

    pub(super) async fn keys(
        &self,
        context: &RequestContext,
        id: ServiceId,
    ) -> Result<Vec<ServiceKey>, Refused> {
        Ok(self.auth.service_accounts().keys(tenant_of(context)?, id).await?)
    }

    /// Whoever has the other half of a key acts for the service.
    pub(super) async fn add_key(
        &self,
        context: &RequestContext,
        id: ServiceId,
        input: ServiceKeyInput,
    ) -> Result<ServiceKey, Refused> {
        // Whoever is missing or foreign is so before anything is said about the fields.
        self.find(context, id).await?;
        let (tenant, new) = (tenant_of(context)?, input.read()?);
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("register a service's key"), async move |tx: &mut Tx| {
                Accounts::find_in(tx, tenant, id).await?;
                this.rbac.require_may_become(tx, &context, id).await?;
                let accounts = this.auth.service_accounts();
                Ok(accounts.insert_key(tx, &context, (tenant, id), new.clone()).await?)
            })
            .await
    }

    pub(super) async fn revoke_key(
        &self,
        context: &RequestContext,
        id: ServiceId,
        key: ServiceKeyId,
    ) -> Result<ServiceKey, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("revoke a service's key"), async move |tx: &mut Tx| {
                Accounts::find_in(tx, tenant, id).await?;
                this.rbac.require_may_manage(tx, &context, id).await?;
                let accounts = this.auth.service_accounts();
                Ok(accounts.revoke_key(tx, &context, (tenant, id), key).await?)
            })
            .await
    }
}
