use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use stylobate_core::{ApiKeyId, Credential, KeyOwner, Principal, Subject, TenantId};
use uuid::Uuid;

use super::{AllowedNetworks, store::ReadKey};
use crate::{Revocations, pepper};

/// Keys that this process has read, remembered until there is no room or they are too old.
pub(super) struct KnownKeys(Cache<ApiKeyId, Arc<KnownKey>>);

/// A key as it was read.
pub(super) struct KnownKey {
    principal: Principal,
    pub(super) id: ApiKeyId,
    pub(super) tenant: TenantId,
    version: i64,
    owner: Uuid,
    owner_epoch: i64,
    secret_hash: [u8; 32],
    previous: Option<([u8; 32], DateTime<Utc>)>,
    networks: Option<AllowedNetworks>,
    pub(super) requests_per_hour: u32,
    /// Why it opens nothing, whoever has it.
    barred: Option<Refusal>,
    expires_at: DateTime<Utc>,
    /// When the read began.
    read_at: Instant,
}

/// Why a key is refused; for the trail alone. [`COUNT`](Refusal::COUNT) names the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Secret,
    Revoked,
    Inactive,
    Expired,
    Owner,
    Address,
}

impl Refusal {
    /// How many reasons there are.
    pub(super) const COUNT: usize = Self::Address as usize + 1;

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::Expired => "expired",
            Self::Owner => "owner",
            Self::Address => "address",
        }
    }
}

impl KnownKeys {
    /// How long a key is used without being read again: far shorter than it is remembered that it changed (at least the lifetime
    /// of an access token, a minute), so that no key outlives its revocation in here.
    const FOR: Duration = Duration::from_secs(30);

    pub(super) fn new(entries: usize) -> Self {
        Self(Cache::new(entries))
    }

    pub(super) fn find(&self, id: ApiKeyId) -> Option<Arc<KnownKey>> {
        self.0.get(&id)
    }

    /// Remembers what was read. One that opens nothing is not kept: it is read again each time, and its place is for others.
    pub(super) fn insert(&self, read: ReadKey, read_at: Instant) -> Arc<KnownKey> {
        let known = Arc::new(KnownKey::new(read, read_at));
        if known.barred.is_none() {
            self.0.insert(known.id, Arc::clone(&known));
        } else {
            self.0.remove(&known.id);
        }
        known
    }

    pub(super) fn remove(&self, id: ApiKeyId) {
        self.0.remove(&id);
    }
}

impl KnownKey {
    fn new(read: ReadKey, read_at: Instant) -> Self {
        let ReadKey { key, owner, secret_hash, previous, owner_epoch, is_owner_active } = read;
        let barred = match () {
            () if key.revoked_at.is_some() => Some(Refusal::Revoked),
            () if !is_owner_active => Some(Refusal::Owner),
            () if !key.is_active => Some(Refusal::Inactive),
            () => None,
        };
        let principal = Principal {
            subject: Subject::ApiKey { id: key.id, owner },
            tenant: Some(key.tenant_id),
            scopes: key.scopes,
            credential: Credential::ApiKey,
            ..Principal::anonymous()
        };
        Self {
            principal,
            id: key.id,
            tenant: key.tenant_id,
            version: key.version,
            owner: match owner {
                KeyOwner::Person { id } => id.as_uuid(),
                KeyOwner::Service { id } => id.as_uuid(),
            },
            owner_epoch,
            secret_hash,
            previous,
            networks: key.allowed_networks,
            requests_per_hour: key.requests_per_hour,
            barred,
            expires_at: key.expires_at,
            read_at,
        }
    }

    /// Whether what is remembered may still decide: it is not old, and neither the key nor its owner has changed since.
    pub(super) fn is_current(&self, revocations: &Revocations) -> bool {
        self.read_at.elapsed() < KnownKeys::FOR
            && !revocations.is_older(self.id.as_uuid(), self.version)
            && !revocations.is_older(self.owner, self.owner_epoch)
    }

    /// Whether `digest` is that of a secret which is good at `now`. Both are compared, whatever the first says.
    pub(super) fn is_secret(&self, digest: &[u8; 32], now: DateTime<Utc>) -> bool {
        let is_present = pepper::equal(&self.secret_hash, digest);
        let (previous, until) = self.previous.unwrap_or(([0; 32], DateTime::<Utc>::MIN_UTC));
        let is_previous = pepper::equal(&previous, digest);
        is_present | (is_previous & (until > now))
    }

    /// From when on a secret of this key is refused.
    pub(super) fn good_until(&self, digest: &[u8; 32]) -> DateTime<Utc> {
        match self.previous {
            Some((previous, until)) if pepper::equal(&previous, digest) => until.min(self.expires_at),
            _ => self.expires_at,
        }
    }

    /// Who acts with the key, when it is presented from `address`.
    pub(super) fn open(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Result<&Principal, Refusal> {
        let principal = self.live(now)?;
        match &self.networks {
            Some(networks) if !address.is_some_and(|address| networks.contains(address)) => {
                Err(Refusal::Address)
            }
            _ => Ok(principal),
        }
    }

    /// Who acts with the key, wherever it is presented.
    pub(super) fn live(&self, now: DateTime<Utc>) -> Result<&Principal, Refusal> {
        match self.barred {
            Some(refusal) => Err(refusal),
            None if self.expires_at <= now => Err(Refusal::Expired),
            None => Ok(&self.principal),
        }
    }
}
