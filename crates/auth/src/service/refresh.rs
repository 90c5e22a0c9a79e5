use chrono::{DateTime, Utc};
use serde_json::json;
use stylobate_core::{
    Actor, ActorKind, Assurance, AuditEvent, AuthenticatorAssurance, Message, Outcome, PersonId,
    RequestContext, SessionId, TenantId,
};
use stylobate_db::Tx;

use super::{
    Auth, AuthError, SCOPE, TokenPair,
    session::Grant,
    told::{ToldSession, tell_session},
};
use crate::{
    Family, IdempotencyKey, Presented, RefreshStep, RefreshToken, refresh,
    session::{self, EndReason},
};

/// How a renewal ended, once it is committed. A reuse commits too: it ends the session.
enum Renewal {
    Done(Grant),
    /// The successor that the same request was given before.
    Repeated(Grant, RefreshToken),
    Refused,
    InProgress,
    Reused(Owner),
}

/// Whose token was used twice.
struct Owner {
    person: PersonId,
    tenant: Option<TenantId>,
}

/// A token that is to become the live one, and its sealed copy for a request that may come again.
struct Successor {
    hash: [u8; 32],
    sealed: Option<Vec<u8>>,
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
        self.refresh_once(ctx, token, session, None).await
    }

    /// Redeems a refresh token as [`refresh`](Self::refresh) does. The same token with the same `key` within
    /// [`Family::REPEAT`], before the successor is used, is given the same successor again (with a new access token), also
    /// when both requests arrive at once.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub async fn refresh_idempotent(
        &self,
        ctx: &RequestContext,
        token: &str,
        session: Option<SessionId>,
        key: IdempotencyKey,
    ) -> Result<TokenPair, AuthError> {
        self.refresh_once(ctx, token, session, Some(key)).await
    }

    async fn refresh_once(
        &self,
        ctx: &RequestContext,
        token: &str,
        session: Option<SessionId>,
        key: Option<IdempotencyKey>,
    ) -> Result<TokenPair, AuthError> {
        let Some(token) = RefreshToken::parse(&self.inner.pepper, token) else {
            return Err(AuthError::RefreshInvalid);
        };
        let id = token.session();
        if session.is_some_and(|asserted| asserted != id) {
            return Err(AuthError::RefreshInvalid);
        }
        let next = RefreshToken::issue(&self.inner.pepper, id, token.presented().generation + 1)?;
        let sealed = match &key {
            Some(key) => Some(refresh::seal(key, &token, &next)?),
            None => None,
        };
        let successor = Successor { hash: next.hash(), sealed };
        let now = self.inner.clock.now();
        let (auth, context) = (self.clone(), ctx.clone());
        let renew =
            async move |tx: &mut Tx| auth.renew(tx, &context, &token, key.as_ref(), &successor, now).await;
        match self.inner.db.transact(SCOPE, renew).await? {
            Renewal::Done(grant) => self.token_pair(&grant, &next, now),
            Renewal::Repeated(grant, given) => self.token_pair(&grant, &given, now),
            Renewal::Refused => Err(AuthError::RefreshInvalid),
            Renewal::InProgress => Err(AuthError::RefreshInProgress),
            Renewal::Reused(owner) => {
                self.tell_owner(ctx, id, &owner, now);
                Err(AuthError::RefreshReused)
            }
        }
    }

    /// One statement where all is well. The access token is signed after the commit, to hold no lock meanwhile.
    async fn renew(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        token: &RefreshToken,
        key: Option<&IdempotencyKey>,
        successor: &Successor,
        now: DateTime<Utc>,
    ) -> Result<Renewal, AuthError> {
        let (id, presented) = (token.session(), token.presented());
        let sealed = successor.sealed.clone();
        if let Some(redeemed) = refresh::redeem(tx, id, &presented, successor.hash, sealed, now).await? {
            return Ok(Renewal::Done(grant(id, redeemed)));
        }
        let Some(row) = refresh::find(tx, id).await? else { return Ok(Renewal::Refused) };
        let given = key.zip(row.sealed_answer.as_deref()).and_then(|(key, sealed)| {
            RefreshToken::parse(&self.inner.pepper, &refresh::open(key, token, sealed)?)
        });
        let presented = Presented { is_repeat: given.is_some(), ..presented };
        match Family::judge(Some(&row.family()?), &presented, now) {
            RefreshStep::Reuse => self.end_reused(tx, ctx, id, &row, now).await,
            RefreshStep::InProgress => Ok(Renewal::InProgress),
            RefreshStep::Repeat if row.may_go_on => Ok(match given {
                Some(given) => Renewal::Repeated(grant(id, row.grant), given),
                None => Renewal::InProgress,
            }),
            // The live one that was not redeemed: its session or its person may not go on.
            RefreshStep::Rotate { .. }
            | RefreshStep::Repeat
            | RefreshStep::Unknown
            | RefreshStep::Expired => Ok(Renewal::Refused),
        }
    }

    async fn end_reused(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: SessionId,
        row: &refresh::FamilyRow,
        now: DateTime<Utc>,
    ) -> Result<Renewal, AuthError> {
        let person = PersonId::from_uuid(row.grant.person_id);
        let tenant = row.grant.tenant_id.map(TenantId::from_uuid);
        if !self.end_session(tx, id, EndReason::RefreshReuse, now).await? {
            return Ok(Renewal::Refused);
        }
        tracing::warn!(session = %id, "a refresh token was used twice; its session has been ended");
        let mut event = AuditEvent::new(ctx, "session.reuse_detected", "session")
            .on(id)
            .outcome(Outcome::Denied)
            .in_tenant(tenant);
        event.actor = Actor { kind: ActorKind::User, id: Some(person.to_string()) };
        event.session_id = Some(id);
        tx.audit(event);
        tell_session(tx, ctx, "session.reuse_detected", ToldSession { id, person, tenant }, now);
        Ok(Renewal::Reused(Owner { person, tenant }))
    }

    /// Tells the owner, off the request's path: whoever presented the token learns nothing from how long it takes.
    fn tell_owner(&self, ctx: &RequestContext, session: SessionId, owner: &Owner, now: DateTime<Utc>) {
        let Some(sender) = self.inner.messages.clone() else { return };
        let values = json!({
            "session_id": session,
            "address": ctx.address,
            "user_agent": ctx.user_agent,
            "occurred_at": now,
        });
        let message = Message::to_person("refresh_reuse_detected", owner.person)
            .in_tenant(owner.tenant)
            .with(values)
            .key(format!("refresh_reuse_detected:{session}"));
        tokio::spawn(async move {
            if let Err(error) = sender.send(message).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%session, error, "the owner of a reused refresh token could not be told");
            }
        });
    }
}

fn grant(session: SessionId, row: refresh::GrantRow) -> Grant {
    Grant {
        person: PersonId::from_uuid(row.person_id),
        session,
        tenant: row.tenant_id.map(TenantId::from_uuid),
        epoch: row.epoch,
        assurance: Assurance {
            amr: session::methods(&row.amr),
            aal: AuthenticatorAssurance::Aal1,
            // Renewing proves nothing anew.
            auth_time: Some(row.auth_time),
        },
        expires_at: row.expires_at,
    }
}
