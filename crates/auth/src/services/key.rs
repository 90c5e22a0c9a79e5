use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde::Serialize;
use stylobate_core::{AuditEvent, RequestContext, ServiceId, ServiceKeyId, TenantId};
use stylobate_db::Tx;

use super::{
    ServiceAccount, ServiceAccountError, ServiceAccountProblem, ServiceAccounts, account, grant::refuse_if,
    key_store, store,
};
use crate::{Jwk, Kid, SigningAlgorithm, VerifyingKey};

/// A public key whose signatures of requests are those of a service account. Serialised, it is what callers may see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceKey {
    /// Names the key, also in signatures (`keyid`): a [`RequestSigner`](crate::RequestSigner) signs with a
    /// [`SigningKey`](crate::SigningKey) of this name.
    pub id: ServiceKeyId,
    /// Whose it is.
    pub service_account_id: ServiceId,
    /// What its owner calls it.
    pub label: String,
    /// The key.
    pub public_key: Jwk,
    /// From when on its signatures are accepted.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// A key to be registered.
#[derive(Debug, Clone)]
pub struct NewServiceKey {
    /// What it is called; 1 to 100 characters.
    pub label: String,
    /// The key, of [`ServiceKey::ALGORITHMS`]. Its own name is not kept.
    pub key: VerifyingKey,
    /// From when on its signatures are accepted; `None` is now.
    pub not_before: Option<DateTime<Utc>>,
    /// Until when, at most [`TTL_DAYS_MAX`](ServiceKey::TTL_DAYS_MAX) days from now; `None` is a year from now.
    pub expires_at: Option<DateTime<Utc>>,
}

const LABEL_CHARS_MAX: usize = 100;
const TTL_DAYS: i64 = 365;
/// How many keys of an account are neither revoked nor over: more than any rotation needs.
pub(super) const KEYS_MAX: usize = 10;

impl ServiceKey {
    /// What keys may sign with: Ed25519, ECDSA with P-256, and RSA-PSS with SHA-512 (RFC 9421 §3.3). Nobody shares a secret with
    /// a service, and RSA with PKCS#1 v1.5 is for the systems that have nothing else.
    pub const ALGORITHMS: [SigningAlgorithm; 3] =
        [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Ps512];
    /// The most days from now until a key ends.
    pub const TTL_DAYS_MAX: u32 = 730;
}

impl NewServiceKey {
    fn into_key(
        self,
        service: ServiceId,
        now: DateTime<Utc>,
    ) -> Result<(ServiceKey, VerifyingKey), ServiceAccountError> {
        account::check_name("label", &self.label, LABEL_CHARS_MAX)?;
        let is_allowed = ServiceKey::ALGORITHMS.contains(&self.key.algorithm());
        refuse_if(!is_allowed, "public_key", ServiceAccountProblem::NotAKey)?;
        let id = ServiceKeyId::new(now);
        let not_a_key =
            ServiceAccountError::Invalid { field: "public_key", problem: ServiceAccountProblem::NotAKey };
        let Ok(name) = id.to_string().parse::<Kid>() else { return Err(not_a_key) };
        let key = self.key.with_kid(name);
        let not_before = self.not_before.unwrap_or(now).trunc_subsecs(6);
        let expires_at = self.expires_at.unwrap_or(now + TimeDelta::days(TTL_DAYS)).trunc_subsecs(6);
        refuse_if(expires_at <= now.max(not_before), "expires_at", ServiceAccountProblem::Past)?;
        let latest = now + TimeDelta::days(ServiceKey::TTL_DAYS_MAX.into());
        refuse_if(
            expires_at > latest,
            "expires_at",
            ServiceAccountProblem::TooLate(ServiceKey::TTL_DAYS_MAX),
        )?;
        let registered = ServiceKey {
            id,
            service_account_id: service,
            label: self.label,
            public_key: key.to_jwk().ok_or(not_a_key)?,
            not_before,
            expires_at,
            revoked_at: None,
            created_at: now,
        };
        Ok((registered, key))
    }
}

impl ServiceAccounts {
    /// The keys of an account of `tenant`, in the order they were registered.
    ///
    /// # Errors
    /// [`ServiceAccountError::NotFound`], [`ServiceAccountError::Db`].
    pub async fn keys(
        &self,
        tenant: TenantId,
        id: ServiceId,
    ) -> Result<Vec<ServiceKey>, ServiceAccountError> {
        let mut conn = self.parts().db.read().await?;
        let account = store::find(&mut conn, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        Ok(key_store::list(&mut conn, account.id).await?)
    }

    /// Registers a key of an account of `tenant`: whoever has the other half acts for the account from then on. One of another
    /// account with the same key is another key: signatures name it, and what is named is what is signed.
    ///
    /// # Errors
    /// [`ServiceAccountError::Invalid`], [`ServiceAccountError::NotFound`]; [`ServiceAccountError::TooManyKeys`];
    /// [`ServiceAccountError::Db`].
    pub async fn insert_key(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
        new: NewServiceKey,
    ) -> Result<ServiceKey, ServiceAccountError> {
        let now = self.parts().clock.now();
        let account = store::lock(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        let (registered, key) = new.into_key(account.id, now)?;
        let live = key_store::list(tx, id).await?;
        let live = live.iter().filter(|key| key.revoked_at.is_none() && key.expires_at > now).count();
        if live >= KEYS_MAX {
            return Err(ServiceAccountError::TooManyKeys { max: KEYS_MAX });
        }
        key_store::insert(tx, &registered, key.algorithm()).await?;
        let event = AuditEvent::new(ctx, "service_key.create", "service_key").on(registered.id);
        tx.audit(event.in_tenant(Some(tenant)).change(None::<()>, Some(&registered)));
        Ok(registered)
    }

    /// Revokes a key of an account of `tenant`, at once in this process and within a second everywhere; the account's tokens are
    /// over with it. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`ServiceAccountError::NotFound`], also for a key of another account; [`ServiceAccountError::Db`].
    pub async fn revoke_key(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
        key: ServiceKeyId,
    ) -> Result<ServiceKey, ServiceAccountError> {
        let account = store::lock(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        let keys = key_store::list(tx, id).await?;
        let before = keys.into_iter().find(|known| known.id == key).ok_or(ServiceAccountError::NotFound)?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let now = self.parts().clock.now();
        let after = ServiceKey { revoked_at: Some(now), ..before.clone() };
        key_store::revoke(tx, key, now).await?;
        let account = ServiceAccount { version: account.version + 1, updated_at: now, ..account };
        store::update(tx, &account).await?;
        self.tell_changed(tx, id, account.version).await?;
        let event = AuditEvent::new(ctx, "service_key.revoke", "service_key").on(key);
        tx.audit(event.in_tenant(Some(tenant)).change(Some(&before), Some(&after)));
        Ok(after)
    }
}
