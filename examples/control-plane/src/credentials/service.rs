//! What can be done with credentials: each is one transaction, and one audit event.

use stylobate::{
    auth::{Auth, ContextWords, PasswordHash, PersonChange},
    core::{AuditEvent, Direction, Page, PageLimit, PersonId, RequestContext, TenantId},
    db::{Conn, Db, Scope, Tx},
    middleware::problem_for,
    rbac::Rbac,
};

use super::{
    model::{CredentialChange, CredentialInput, CredentialPatch, CredentialView, NewCredential, Provider},
    store::{self, Filter},
};
use crate::{
    people::{People, PersonView, first_password, password_of, tenant_of},
    refused::{Refused, field},
};

/// Credentials of the people of the caller's organisation.
#[derive(Clone)]
pub(crate) struct Credentials {
    db: Db,
    auth: Auth,
    rbac: Rbac,
    people: People,
}

/// What a list of credentials asks for.
pub(super) struct ListRequest {
    pub(super) person: Option<PersonId>,
    pub(super) provider: Option<Provider>,
    pub(super) is_active: Option<bool>,
    pub(super) direction: Direction,
    pub(super) limit: PageLimit,
    pub(super) cursor: Option<String>,
    pub(super) with_total: bool,
}

impl Credentials {
    pub(crate) fn new(db: Db, auth: Auth, rbac: Rbac, people: People) -> Self {
        Self { db, auth, rbac, people }
    }

    pub(super) async fn list(
        &self,
        context: &RequestContext,
        request: ListRequest,
    ) -> Result<Page<CredentialView>, Refused> {
        let tenant = tenant_of(context)?;
        let keyset = store::keyset(request.direction, request.limit, request.cursor.as_deref())
            .map_err(|_| field("cursor", "does not belong to this list"))?;
        let filter = Filter { person: request.person, is_active: request.is_active };
        if request.provider == Some(Provider::Sso) {
            return Ok(Page { items: Vec::new(), next_cursor: None, total: request.with_total.then_some(0) });
        }
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let page = store::list_members(&mut tx, tenant, filter, &keyset).await?;
        let records = self.auth.credentials_of(&mut tx, &page.items).await?;
        let mut page = Page {
            items: records.into_iter().map(CredentialView::from).collect(),
            next_cursor: page.next_cursor,
            total: None,
        };
        if request.with_total {
            page.total = Some(store::count_members(&mut tx, tenant, filter).await?);
        }
        tx.rollback().await?;
        Ok(page)
    }

    pub(super) async fn find(
        &self,
        context: &RequestContext,
        id: PersonId,
    ) -> Result<CredentialView, Refused> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        self.people.member(&mut tx, tenant, id).await?;
        let view = self.view(&mut tx, id).await?;
        tx.rollback().await?;
        Ok(view)
    }

    pub(super) async fn create(
        &self,
        context: &RequestContext,
        input: CredentialInput,
    ) -> Result<CredentialView, Refused> {
        let tenant = tenant_of(context)?;
        let NewCredential { person: id, username, password, must_change_password, is_active } =
            input.read()?;
        require_other(context, id)?;
        let new_name = username.as_ref().map(|name| name.as_str().to_owned());
        let hash = self.hash(tenant, id, new_name.as_deref(), password).await?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("make a credential"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                let member = this.people.account(tx, context, tenant, id).await?;
                this.rbac.require_may_become(tx, context, id).await?;
                if let Some(username) = &username {
                    let change =
                        PersonChange { username: Some(Some(username.clone())), ..PersonChange::default() };
                    this.people.change_identifiers(tx, context, &member, change).await?;
                }
                this.auth.create_credential(tx, context, id, &hash, must_change_password).await?;
                if !is_active {
                    this.auth.set_credential_active(tx, context, id, false).await?;
                }
                this.people.require_still_not_shared(tx, id).await?;
                let view = this.view(tx, id).await?;
                let event = event(context, "credential.create", tenant, id);
                tx.audit_instead(event.change(None::<()>, Some(&view)));
                Ok(view)
            })
            .await
    }

    pub(super) async fn change(
        &self,
        context: &RequestContext,
        id: PersonId,
        patch: CredentialPatch,
    ) -> Result<CredentialView, Refused> {
        let tenant = tenant_of(context)?;
        // Whoever is missing or foreign is so before anything is said about the fields.
        self.find(context, id).await?;
        require_other(context, id)?;
        let change = patch.read(id)?;
        let hash = match &change.password {
            Some(password) => {
                let new_name = change.username.as_ref().and_then(Option::as_ref);
                let name = new_name.map(|name| name.as_str());
                Some(self.hash(tenant, id, name, password.clone()).await?)
            }
            None => None,
        };
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("change a credential"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                let member = this.people.account(tx, context, tenant, id).await?;
                if change.decides_who_signs_in() {
                    this.rbac.require_may_become(tx, context, id).await?;
                }
                let before = this.view(tx, id).await?;
                let is_unlocked = this.apply(tx, context, &member, &change, hash.as_ref()).await?;
                this.people.require_still_not_shared(tx, id).await?;
                let after = this.view(tx, id).await?;
                if hash.is_none() && !is_unlocked && before == after {
                    return Ok(after);
                }
                let event = event(context, "credential.update", tenant, id)
                    .with("password_changed", hash.is_some())
                    .with("unlocked", is_unlocked);
                tx.audit_instead(event.change(Some(&before), Some(&after)));
                Ok(after)
            })
            .await
    }

    /// Says whether a lock was asked to end, and there were failures.
    async fn apply(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        member: &PersonView,
        change: &CredentialChange,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, Refused> {
        let id = PersonId::from_uuid(member.id);
        if change.is_active == Some(false) {
            self.rbac.require_another_super_administrator(tx, id).await?;
            self.people.require_another_tenant_administrator(tx, tenant_of(context)?, id).await?;
        }
        let must_change = change.must_change_password;
        if change.username.is_some() || must_change.is_some() {
            let identifiers = PersonChange {
                username: change.username.clone(),
                must_change_password: must_change,
                ..PersonChange::default()
            };
            self.people.change_identifiers(tx, context, member, identifiers).await?;
        }
        // Before the new password, which forgets failures as well.
        let is_unlocked = change.unlock && self.auth.unlock(tx, context, id).await?;
        if let Some(hash) = hash {
            // Only who signs in with it ends the duty to choose another, unless the caller says so.
            let must_change = must_change.unwrap_or(member.must_change_password);
            self.auth.set_password(tx, context, id, hash, must_change).await?;
        }
        if let Some(is_active) = change.is_active {
            self.auth.set_credential_active(tx, context, id, is_active).await?;
        }
        Ok(is_unlocked)
    }

    pub(super) async fn delete(&self, context: &RequestContext, id: PersonId) -> Result<(), Refused> {
        let tenant = tenant_of(context)?;
        require_other(context, id)?;
        let (this, context) = (self.clone(), context.clone());
        self.db
            .transact(Scope::Platform("remove a credential"), async move |tx: &mut Tx| {
                let (this, context) = (&this, &context);
                this.people.account(tx, context, tenant, id).await?;
                this.rbac.require_may_become(tx, context, id).await?;
                let before = this.view(tx, id).await?;
                this.rbac.require_another_super_administrator(tx, id).await?;
                this.people.require_another_tenant_administrator(tx, tenant, id).await?;
                this.auth.delete_credential(tx, context, id).await?;
                this.people.require_still_not_shared(tx, id).await?;
                let event = event(context, "credential.delete", tenant, id);
                tx.audit_instead(event.change(Some(&before), None::<()>));
                Ok(())
            })
            .await
    }

    async fn view(&self, conn: &mut Conn, id: PersonId) -> Result<CredentialView, Refused> {
        Ok(self.auth.credential_of(conn, id).await?.into())
    }

    /// Holds a password for a member against the policy and hashes it, before a connection is held.
    async fn hash(
        &self,
        tenant: TenantId,
        id: PersonId,
        new_name: Option<&str>,
        password: String,
    ) -> Result<PasswordHash, Refused> {
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let member = self.people.member(&mut tx, tenant, id).await?;
        tx.rollback().await?;
        let mut about = ContextWords::new()
            .email(&member.email)
            .word(&member.profile.first_name)
            .word(&member.profile.last_name);
        for name in member.username.as_deref().into_iter().chain(new_name) {
            about = about.username(name);
        }
        let hash = self.auth.hash_new_password(&about, password_of(password)?).await;
        hash.map_err(first_password)
    }
}

/// One's own password is changed by who knows the present one, and not taken away from under one's own session.
fn require_other(context: &RequestContext, id: PersonId) -> Result<(), Refused> {
    if context.principal.on_behalf_of() != Some(id) {
        return Ok(());
    }
    let detail =
        "Nobody changes their own credential here: the password is changed at /auth/password-change.";
    Err(problem_for("own_account").detail(detail).into())
}

fn event(context: &RequestContext, action: &'static str, tenant: TenantId, id: PersonId) -> AuditEvent {
    AuditEvent::new(context, action, "credential").on(id).in_tenant(Some(tenant))
}
