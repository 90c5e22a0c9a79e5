use std::{net::IpAddr, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, Outcome, Principal, RequestContext};
use stylobate_db::Error;

use super::ApiKeys;
use crate::{
    ApiKey, AuthenticateError,
    api_key::{
        known::{KnownKey, Refusal},
        store,
        text::PresentedKey,
    },
};

/// A key that was found by its text.
pub(crate) struct FoundKey {
    pub(crate) key: ApiKey,
    /// From when on the text is refused: a secret from before a rotation ends before its key.
    pub(crate) good_until: DateTime<Utc>,
    /// Who acts with it; nobody while it rests, or its owner does.
    pub(crate) principal: Option<Principal>,
}

impl ApiKeys {
    /// Checks a key against what this process has read of it and the revocations in memory: no waiting and no database.
    /// `address` is the client's, after trusted proxies have been taken off. The use is counted.
    ///
    /// # Errors
    /// [`AuthenticateError::Stale`] when memory cannot tell; call [`authenticate_slow`](Self::authenticate_slow) then.
    /// [`AuthenticateError::UnknownKey`] and [`AuthenticateError::KeyThrottled`] are final.
    pub fn authenticate(&self, text: &str, address: Option<IpAddr>) -> Result<Principal, AuthenticateError> {
        let presented = self.read(text)?;
        let known = self.remembered(&presented)?;
        self.open(&known, address, true)
    }

    /// Checks a key as [`authenticate`](Self::authenticate) does, and reads its row when memory cannot tell.
    ///
    /// # Errors
    /// [`AuthenticateError::UnknownKey`], [`AuthenticateError::KeyThrottled`]; [`AuthenticateError::Unavailable`] when the row
    /// cannot be read.
    pub async fn authenticate_slow(
        &self,
        text: &str,
        address: Option<IpAddr>,
    ) -> Result<Principal, AuthenticateError> {
        let presented = self.read(text)?;
        let known = self.remembered_or_read(&presented, address).await?;
        self.open(&known, address, true)
    }

    /// Checks whether a key would still do, without using it: for connections that stay open.
    ///
    /// # Errors
    /// As [`authenticate_slow`](Self::authenticate_slow), the limit aside.
    pub async fn still_holds(&self, text: &str, address: Option<IpAddr>) -> Result<(), AuthenticateError> {
        let presented = self.read(text)?;
        let known = self.remembered_or_read(&presented, address).await?;
        self.open(&known, address, false).map(|_| ())
    }

    fn read(&self, text: &str) -> Result<PresentedKey, AuthenticateError> {
        PresentedKey::parse(&self.0.parts.pepper, self.0.environment, text)
            .ok_or(AuthenticateError::UnknownKey)
    }

    /// What memory says of a key, if it may decide. A secret that it does not know may be new: the row decides.
    fn remembered(&self, presented: &PresentedKey) -> Result<Arc<KnownKey>, AuthenticateError> {
        let known = self.0.known.find(presented.id).ok_or(AuthenticateError::Stale)?;
        let revocations = &self.0.parts.revocations;
        let is_decided = revocations.may_decide(Some(known.tenant))
            && known.is_current(revocations)
            && known.is_secret(&presented.digest, self.0.parts.clock.now());
        if is_decided { Ok(known) } else { Err(AuthenticateError::Stale) }
    }

    async fn remembered_or_read(
        &self,
        presented: &PresentedKey,
        address: Option<IpAddr>,
    ) -> Result<Arc<KnownKey>, AuthenticateError> {
        if let Ok(known) = self.remembered(presented) {
            return Ok(known);
        }
        let began = Instant::now();
        let mut conn = self.0.parts.db.read().await.map_err(AuthenticateError::Unavailable)?;
        let read = store::find_to_check(&mut conn, presented.id, self.0.environment).await;
        drop(conn);
        let Some(read) = read.map_err(AuthenticateError::Unavailable)? else {
            self.0.known.remove(presented.id);
            return Err(AuthenticateError::UnknownKey);
        };
        let known = self.0.known.insert(read, began);
        if !known.is_secret(&presented.digest, self.0.parts.clock.now()) {
            return Err(self.refused(&known, Refusal::Secret, address));
        }
        Ok(known)
    }

    /// The key of a text as its row is at this moment; `None` when the text opens none that is not over. From where it is
    /// presented is not asked, and it is no use of the key.
    pub(crate) async fn look_up(&self, text: &str) -> Result<Option<FoundKey>, Error> {
        let Ok(presented) = self.read(text) else { return Ok(None) };
        let began = Instant::now();
        let mut conn = self.0.parts.db.read().await?;
        let read = store::find_to_check(&mut conn, presented.id, self.0.environment).await?;
        drop(conn);
        let Some(read) = read else { return Ok(None) };
        let key = read.key.clone();
        let known = self.0.known.insert(read, began);
        let now = self.0.parts.clock.now();
        if key.is_ended(now) || !known.is_secret(&presented.digest, now) {
            return Ok(None);
        }
        let good_until = known.good_until(&presented.digest);
        Ok(Some(FoundKey { key, good_until, principal: known.live(now).ok().cloned() }))
    }

    /// Lets the holder of a secret act, as far as the key goes.
    fn open(
        &self,
        known: &KnownKey,
        address: Option<IpAddr>,
        is_use: bool,
    ) -> Result<Principal, AuthenticateError> {
        let now = self.0.parts.clock.now();
        let principal = known.open(address, now).map_err(|refusal| self.refused(known, refusal, address))?;
        if is_use {
            let taken = self.0.uses.take(known.id, known.requests_per_hour, now);
            taken.map_err(|retry_after| AuthenticateError::KeyThrottled { retry_after })?;
        }
        Ok(principal.clone())
    }

    /// Counts a refusal and records it, once in a while for each reason and beside the request: whoever has a key that ended can
    /// repeat it.
    fn refused(&self, known: &KnownKey, refusal: Refusal, address: Option<IpAddr>) -> AuthenticateError {
        let is_due = self.0.uses.refuse(known.id, refusal, self.0.parts.clock.now());
        if is_due && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let context = RequestContext { address, ..RequestContext::new(Principal::anonymous()) };
            let event = AuditEvent::new(&context, "api_key.refuse", "api_key")
                .on(known.id)
                .in_tenant(Some(known.tenant))
                .outcome(Outcome::Denied)
                .with("reason", refusal.as_str());
            let keys = self.clone();
            runtime.spawn(async move {
                if let Err(error) = keys.0.parts.audit.record(event).await
                    && let Some(unsaid) = keys.0.unrecorded.say()
                {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, unsaid, "that an API key was refused could not be recorded");
                }
            });
        }
        AuthenticateError::UnknownKey
    }
}
