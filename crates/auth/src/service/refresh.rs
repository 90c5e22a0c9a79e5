use chrono::{DateTime, Utc};
use stylobate_core::{
    Actor, ActorKind, Assurance, AuditEvent, AuthenticatorAssurance, Outcome, PersonId, RequestContext,
    SessionId, TenantId,
};
use stylobate_db::Tx;

use super::{Auth, AuthError, SCOPE, TokenPair, session::Grant};
use crate::{
    Family, RefreshStep, RefreshToken, refresh,
    session::{self, EndReason},
};

/// How a renewal ended, once it is committed. A reuse commits too: it ends the session.
enum Renewal {
    Done(Grant),
    Refused,
    InProgress,
    Reused,
}

impl Auth {
    /// Redeems a refresh token for a new pair. `session`, when the client names one, must be the token's.
    ///
    /// # Errors
    /// [`AuthError::RefreshInvalid`]; [`AuthError::RefreshInProgress`] when another request has just redeemed it, which
    /// ends nothing; [`AuthError::RefreshReused`] when it had been redeemed before, which ends its session;
    /// [`AuthError::Db`], [`AuthError::Token`].
    pub async fn refresh(
        &self,
        ctx: &RequestContext,
        token: &str,
        session: Option<SessionId>,
    ) -> Result<TokenPair, AuthError> {
        let Some(token) = RefreshToken::parse(&self.inner.pepper, token) else {
            return Err(AuthError::RefreshInvalid);
        };
        if session.is_some_and(|asserted| asserted != token.session()) {
            return Err(AuthError::RefreshInvalid);
        }
        let next =
            RefreshToken::issue(&self.inner.pepper, token.session(), token.presented().generation + 1)?;
        let now = self.inner.clock.now();
        let (auth, ctx, next_hash) = (self.clone(), ctx.clone(), next.hash());
        let renew = async move |tx: &mut Tx| auth.renew(tx, &ctx, &token, next_hash, now).await;
        match self.inner.db.transact(SCOPE, renew).await? {
            Renewal::Done(grant) => self.token_pair(&grant, &next, now),
            Renewal::Refused => Err(AuthError::RefreshInvalid),
            Renewal::InProgress => Err(AuthError::RefreshInProgress),
            Renewal::Reused => Err(AuthError::RefreshReused),
        }
    }

    /// One statement where all is well. The access token is signed after the commit, to hold no lock meanwhile.
    async fn renew(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        token: &RefreshToken,
        next_hash: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Renewal, AuthError> {
        let (id, presented) = (token.session(), token.presented());
        if let Some(redeemed) = refresh::redeem(tx, id, &presented, next_hash, now).await? {
            return Ok(Renewal::Done(grant(id, redeemed)));
        }
        let Some(row) = refresh::find(tx, id).await? else { return Ok(Renewal::Refused) };
        match Family::judge(Some(&row.family()?), &presented, now) {
            RefreshStep::Reuse => {
                self.end_reused(tx, ctx, id, &row, now).await?;
                Ok(Renewal::Reused)
            }
            RefreshStep::InProgress => Ok(Renewal::InProgress),
            // The live one that was not redeemed: its session or its person may not go on.
            RefreshStep::Rotate { .. } | RefreshStep::Unknown | RefreshStep::Expired => Ok(Renewal::Refused),
        }
    }

    async fn end_reused(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: SessionId,
        row: &refresh::FamilyRow,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        if !self.end_session(tx, id, EndReason::RefreshReuse, now).await? {
            return Ok(());
        }
        tracing::warn!(session = %id, "a refresh token was used twice; its session has been ended");
        let person = PersonId::from_uuid(row.person_id);
        let mut event = AuditEvent::new(ctx, "session.reuse_detected", "session")
            .on(id)
            .outcome(Outcome::Denied)
            .in_tenant(row.tenant_id.map(TenantId::from_uuid));
        event.actor = Actor { kind: ActorKind::User, id: Some(person.to_string()) };
        event.session_id = Some(id);
        tx.audit(event);
        Ok(())
    }
}

fn grant(session: SessionId, redeemed: refresh::Redeemed) -> Grant {
    Grant {
        person: PersonId::from_uuid(redeemed.person_id),
        session,
        tenant: redeemed.tenant_id.map(TenantId::from_uuid),
        epoch: redeemed.epoch,
        assurance: Assurance {
            amr: session::methods(&redeemed.amr),
            aal: AuthenticatorAssurance::Aal1,
            // Renewing proves nothing anew.
            auth_time: Some(redeemed.auth_time),
        },
        expires_at: redeemed.expires_at,
    }
}
