//! Whose account a caller may decide about.

use stylobate::{
    auth::{self, PersonChange},
    core::{PersonId, Problem, RequestContext, TenantId},
    db::Tx,
    middleware::problem_for,
};

use super::{model::PersonView, service::People, store};
use crate::refused::Refused;

impl People {
    /// A member of `tenant`; everybody else is missing.
    pub(crate) async fn member(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<PersonView, Refused> {
        store::find_member(tx, tenant, id).await?.ok_or_else(|| Problem::not_found().into())
    }

    /// A member of `tenant` about whose account as a whole the caller may decide: of no other organisation, and not of the
    /// platform unless the caller is. For transactions of platform scope.
    pub(crate) async fn account(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<PersonView, Refused> {
        let member = self.member(tx, tenant, id).await?;
        self.rbac.require_may_manage(tx, context, id).await?;
        self.require_not_shared(tx, id).await?;
        Ok(member)
    }

    /// Whether the person belongs to several organisations. One of them then decides about the membership, and not about
    /// who the person is: whoever may change an address could take over the account in the others.
    pub(crate) async fn is_shared(&self, tx: &mut Tx, id: PersonId) -> Result<bool, Refused> {
        Ok(self.tenancy.memberships_of(tx, id).await?.len() > 1)
    }

    pub(super) async fn require_not_shared(&self, tx: &mut Tx, id: PersonId) -> Result<(), Refused> {
        if !self.is_shared(tx, id).await? {
            return Ok(());
        }
        let detail = "The person belongs to other organisations as well: only the person changes name, address, \
                      credentials and status.";
        Err(problem_for("shared_person").detail(detail).into())
    }

    /// Asks once more, when what was decided about an account is done and locks it: whoever has joined another organisation in between
    /// is not taken over by this one.
    pub(crate) async fn require_still_not_shared(&self, tx: &mut Tx, id: PersonId) -> Result<(), Refused> {
        auth::People::lock(tx, id).await?;
        self.require_not_shared(tx, id).await
    }

    /// Refuses to take the last administrator who can act away from `tenant`: nobody there could make another.
    pub(crate) async fn require_another_tenant_administrator(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: PersonId,
    ) -> Result<(), Refused> {
        if self.keeps_administrator(tx, tenant).await? {
            self.rbac.require_another_administrator(tx, tenant, id).await?;
        }
        Ok(())
    }

    /// Whether `tenant` has to keep an administrator: not when the platform has closed it. Nobody else changes its policy until the
    /// transaction ends.
    pub(super) async fn keeps_administrator(&self, tx: &mut Tx, tenant: TenantId) -> Result<bool, Refused> {
        self.rbac.lock_policy(tx, Some(tenant)).await?;
        Ok(self.tenancy.find_org(tx, tenant).await?.is_some_and(|org| org.is_active))
    }

    /// Changes what the person is called and asked at sign-in, and what the lists find them by.
    pub(crate) async fn change_identifiers(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        before: &PersonView,
        change: PersonChange,
    ) -> Result<(), Refused> {
        let id = PersonId::from_uuid(before.id);
        let person = self.auth.people().update(tx, context, id, before.version, change).await?;
        let search_key = store::search_key(&before.profile, person.username.as_deref(), &person.email);
        Ok(store::put_profile(tx, id, &before.profile, before.status, search_key).await?)
    }
}
