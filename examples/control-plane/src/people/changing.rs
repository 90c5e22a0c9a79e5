//! Changes of who members are and of what is known about them.

use stylobate::{
    auth::{Person, PersonChange, PersonStatus, Username},
    core::{PersonId, RequestContext, TenantId},
    db::{Scope, Tx},
};

use super::{
    model::{Noted, PersonInput, PersonView, Profile, Status},
    notes,
    service::{Identity, People, event, read, tenant_of},
    store,
    told::tell_person,
};
use crate::refused::{Refused, field};

/// What makes of a member what they shall be.
pub(crate) type Change<'a> = dyn Fn(&PersonView) -> Result<PersonInput, Refused> + Send + Sync + 'a;

/// What a member shall be, held to the rules.
struct Wanted {
    identity: Identity,
    email_verified: bool,
    must_change_password: Option<bool>,
    profile: Profile,
    noted: Noted,
    status: Status,
    version: i64,
}

impl Wanted {
    fn of(before: &PersonView, input: &PersonInput, is_own: bool, is_vouched: bool) -> Result<Self, Refused> {
        if is_own && input.must_change_password.is_some_and(|wanted| wanted != before.must_change_password) {
            return Err(field("must_change_password", "is for somebody else to decide").into());
        }
        if input.password.is_some() {
            return Err(field("password", "is changed by its owner, at /auth/password-change").into());
        }
        let identity = Identity::parse(input)?;
        if is_own && identity.email.as_str() != before.email {
            // Whoever holds a session of somebody else's must not get the account that way.
            return Err(field("email", "is changed by its owner at /auth/email-change").into());
        }
        // That mail arrives is proven by a link, or the platform says so; of another address nothing is proven.
        let stays_proven = before.email_verified && identity.email.as_str() == before.email;
        let email_verified = match is_own {
            true => before.email_verified,
            false => input.email_verified && (is_vouched || stays_proven),
        };
        Ok(Self {
            identity,
            email_verified,
            must_change_password: input.must_change_password,
            profile: input.profile()?,
            noted: input.noted(),
            status: input.wanted_status()?.unwrap_or(before.status),
            version: input.version.unwrap_or(before.version),
        })
    }

    fn changes_email(&self, before: &PersonView) -> bool {
        self.identity.email.as_str() != before.email
    }

    /// Whether it decides under which name and address the account signs in, with which duty, or whether at all.
    fn decides(&self, before: &PersonView) -> bool {
        self.changes_email(before)
            || self.identity.username.as_ref().map(Username::as_str) != before.username.as_deref()
            || self.email_verified != before.email_verified
            || self.must_change_password.is_some_and(|wanted| wanted != before.must_change_password)
            || self.status != before.status
    }

    fn identifiers(&self) -> PersonChange {
        PersonChange {
            username: Some(self.identity.username.clone()),
            email: Some(self.identity.email.clone()),
            email_verified: Some(self.email_verified),
            must_change_password: self.must_change_password,
        }
    }
}

impl People {
    /// Changes a member of the caller's organisation into what `change` makes of it. When the row changed since it was
    /// read, the caller has to look again.
    pub(super) async fn change(
        &self,
        context: &RequestContext,
        id: PersonId,
        change: impl Fn(&PersonView) -> Result<PersonInput, Refused> + Send + Sync,
    ) -> Result<PersonView, Refused> {
        let tenant = tenant_of(context)?;
        let (this, context) = (self.clone(), context.clone());
        let change = async move |tx: &mut Tx| this.change_in(tx, &context, tenant, id, &change).await;
        self.db.transact(Scope::Platform("change a person"), change).await
    }

    /// The same inside a transaction of platform scope. Of somebody who belongs to several organisations, one changes only what it
    /// notes itself.
    pub(crate) async fn change_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
        id: PersonId,
        change: &Change<'_>,
    ) -> Result<PersonView, Refused> {
        let before = self.member(tx, tenant, id).await?;
        let is_own = context.principal.on_behalf_of() == Some(id);
        if !is_own {
            self.rbac.require_may_manage(tx, context, id).await?;
        }
        let is_vouched = self.vouches(context, "user.update");
        let wanted = Wanted::of(&before, &change(&before)?, is_own, is_vouched)?;
        let decides = wanted.decides(&before);
        if decides && !is_own {
            // Who decides under which name and address an account signs in, and whether, holds it.
            self.rbac.require_may_become(tx, context, id).await?;
        }
        if wanted.status != Status::Active {
            self.rbac.require_another_super_administrator(tx, id).await?;
            self.require_another_tenant_administrator(tx, tenant, id).await?;
        }
        self.tenancy.lock_org_to_write(tx, tenant).await?;
        let person = self.put_identifiers(tx, context, &before, &wanted).await?;
        // The row of the person is locked by now.
        if decides || (!is_own && wanted.profile != before.profile) {
            self.require_not_shared(tx, id).await?;
        }
        self.put_status(tx, context, &before, wanted.status).await?;
        let search_key = store::search_key(&wanted.profile, person.username.as_deref(), &person.email);
        store::put_profile(tx, id, &wanted.profile, wanted.status, search_key).await?;
        notes::put(tx, tenant, id, &wanted.noted, self.tenancy.clock().now()).await?;
        let after = read(tx, tenant, id).await?;
        tx.audit_instead(event(context, "person.update", tenant, id).change(Some(&before), Some(&after)));
        tell_person(tx, context, "user.updated", tenant, &after);
        if before.status == Status::Active && after.status != Status::Active {
            tell_person(tx, context, "user.deactivated", tenant, &after);
        }
        Ok(after)
    }

    /// Writes what the account signs in with. Whoever read the same version has to look again, also when only the profile changes.
    async fn put_identifiers(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        before: &PersonView,
        wanted: &Wanted,
    ) -> Result<Person, Refused> {
        let (id, people) = (PersonId::from_uuid(before.id), self.auth.people());
        let person = people.update(tx, context, id, wanted.version, wanted.identifiers()).await?;
        if wanted.changes_email(before) {
            self.auth.tell_email_changed(tx, context, id, &before.email, &self.messages).await?;
        }
        if person.version != wanted.version {
            return Ok(person);
        }
        Ok(people.touch(tx, id, wanted.version).await?)
    }

    async fn put_status(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        before: &PersonView,
        status: Status,
    ) -> Result<(), Refused> {
        let id = PersonId::from_uuid(before.id);
        match (before.status == Status::Active, status == Status::Active) {
            (true, false) => {
                self.auth.people().set_status(tx, context, id, PersonStatus::Disabled).await?;
                self.auth.tell_account_disabled(tx, context, id, &before.email, &self.messages).await?;
            }
            (false, true) => {
                self.auth.people().set_status(tx, context, id, PersonStatus::Active).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
