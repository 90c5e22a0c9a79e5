use stylobate_core::{AuditEvent, RequestContext, TenantId};
use stylobate_db::Tx;

use super::{
    Auth, AuthError, RenewedSession,
    session::caller,
    step_up::{GoesOn, Replaced},
    told::{ToldSession, tell_session},
};
use crate::{Person, people};

impl Auth {
    /// Lets the caller go on in another organisation: their session is replaced by one that acts for `tenant`, under a new id, with
    /// a new cookie or new tokens. How and when they proved who they are stays, and so does the absolute limit.
    ///
    /// The caller of this holds `tenant` against its end before, and asks afterwards, in the same transaction, whether the person may
    /// act in it: they are locked by then, so that whoever takes them out comes before, or finds the session among those to end.
    ///
    /// # Errors
    /// [`AuthError::NotAPerson`], also during an impersonation and with narrowed scopes; [`AuthError::MustChangePassword`];
    /// [`AuthError::SessionNotFound`] when the credential has no live session, or the person was disabled; [`AuthError::Db`],
    /// [`AuthError::Key`], [`AuthError::Token`].
    pub async fn switch_tenant(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
    ) -> Result<RenewedSession, AuthError> {
        let id = caller(ctx)?;
        if !ctx.principal.is_person_unscoped() || ctx.principal.impersonator.is_some() {
            return Err(AuthError::NotAPerson);
        }
        let person = people::lock(tx, id).await?.filter(Person::is_active);
        let person = person.ok_or(AuthError::SessionNotFound)?;
        if person.must_change_password {
            return Err(AuthError::MustChangePassword);
        }
        let epoch = person.credential_epoch;
        let replaced = self.replace_session(tx, ctx, &person, epoch, GoesOn::In(tenant)).await?;
        record_switched(tx, ctx, &replaced, tenant);
        let session = ToldSession { id: replaced.session.session_id(), person: id, tenant: Some(tenant) };
        tell_session(tx, ctx, "auth.switch_org", session, self.inner.clock.now());
        Ok(replaced.session)
    }
}

/// In the trails of both organisations. Neither learns of the other: which ones somebody belongs to is the person's own.
fn record_switched(tx: &mut Tx, ctx: &RequestContext, replaced: &Replaced, tenant: TenantId) {
    let event = |id, tenant: TenantId, what: &str| {
        let mut event = AuditEvent::new(ctx, "auth.switch_org", "session").on(id).in_tenant(Some(tenant));
        event.session_id = Some(id);
        event.with("session", what)
    };
    tx.audit(event(replaced.session.session_id(), tenant, "began"));
    if let Some(left) = replaced.was_in.filter(|left| *left != tenant) {
        tx.audit_also(event(replaced.old, left, "ended"));
    }
}
