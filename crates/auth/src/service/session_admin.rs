use stylobate_core::{AuditEvent, Page, PersonId, RequestContext, SessionId, TenantId};
use stylobate_db::Tx;

use super::{Auth, AuthError};
use crate::{
    SessionQuery, TenantSession, people,
    session::{self, EndReason},
};

/// What the administrators of a tenant do with sessions: with those that were begun for it. Whether the caller may, is
/// the caller's question.
impl Auth {
    /// The sessions of `tenant`, page by page.
    ///
    /// # Errors
    /// [`AuthError::Cursor`], [`AuthError::Db`].
    pub async fn list_sessions_in(
        &self,
        tenant: TenantId,
        query: &SessionQuery,
    ) -> Result<Page<TenantSession>, AuthError> {
        let (keyset, now) = (session::keyset(query)?, self.inner.clock.now());
        let mut conn = self.inner.db.read().await?;
        let mut page = session::list_in(&mut conn, tenant, query, &keyset, now).await?;
        if query.with_total {
            page.total = Some(session::count_in(&mut conn, tenant, query, now).await?);
        }
        Ok(page)
    }

    /// One session of `tenant`.
    ///
    /// # Errors
    /// [`AuthError::SessionNotFound`], [`AuthError::Db`].
    pub async fn find_session_in(&self, tenant: TenantId, id: SessionId) -> Result<TenantSession, AuthError> {
        let mut conn = self.inner.db.read().await?;
        let found = session::find_in(&mut conn, tenant, id, self.inner.clock.now()).await?;
        found.ok_or(AuthError::SessionNotFound)
    }

    /// Whose session of `tenant` it is, to ask whether the caller may end it in the same transaction.
    ///
    /// # Errors
    /// [`AuthError::SessionNotFound`], [`AuthError::Db`].
    pub async fn session_owner_in(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        id: SessionId,
    ) -> Result<PersonId, AuthError> {
        let found = session::find_in(tx, tenant, id, self.inner.clock.now()).await?;
        found.map(|session| session.person_id).ok_or(AuthError::SessionNotFound)
    }

    /// Ends a session of `tenant`, at once in this process and within a second everywhere. One that has been ended stays
    /// as it is.
    ///
    /// # Errors
    /// [`AuthError::SessionNotFound`], [`AuthError::Db`].
    pub async fn revoke_session_in(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
        id: SessionId,
    ) -> Result<TenantSession, AuthError> {
        let now = self.inner.clock.now();
        let before = session::find_in(tx, tenant, id, now).await?.ok_or(AuthError::SessionNotFound)?;
        if !self.end_session(tx, id, EndReason::Revoked, now).await? {
            return Ok(before);
        }
        let event = AuditEvent::new(ctx, "session.revoke", "session").on(id).in_tenant(Some(tenant));
        tx.audit(event.with("person_id", before.person_id.to_string()));
        session::find_in(tx, tenant, id, now).await?.ok_or(AuthError::SessionNotFound)
    }

    /// Ends the sessions that a person has for `tenant`. Returns how many.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn revoke_sessions_in(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<usize, AuthError> {
        // A session that begins at the same moment comes before or after this as a whole.
        people::lock(tx, person).await?;
        let now = self.inner.clock.now();
        let mut ended = Vec::new();
        for id in session::find_live_ids_in(tx, person, tenant, now).await? {
            if self.end_session(tx, id, EndReason::Revoked, now).await? {
                ended.push(id.to_string());
            }
        }
        let count = ended.len();
        if count > 0 {
            let event = AuditEvent::new(ctx, "session.revoke_all", "person").on(person);
            tx.audit(event.in_tenant(Some(tenant)).with("sessions", ended));
        }
        Ok(count)
    }
}
