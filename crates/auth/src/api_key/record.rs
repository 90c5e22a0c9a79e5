use std::time::Duration;

use chrono::{DateTime, NaiveDate, SubsecRound as _, TimeDelta, Utc};
use serde::Serialize;
use stylobate_core::{ApiKeyId, Direction, KeyOwner, PageLimit, PersonId, ServiceId, TenantId};

use super::{AllowedNetworks, ApiKeyConfig, ApiKeyError, ApiKeyProblem, ApiKeySecret};
use crate::token::covers;

/// An API key without its secrets. Serialised, it is what callers may see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Names the key.
    pub id: ApiKeyId,
    /// For which tenant it is.
    pub tenant_id: TenantId,
    /// Whose it is, when a person's.
    pub person_id: Option<PersonId>,
    /// Whose it is, when a service account's.
    pub service_account_id: Option<ServiceId>,
    /// What its owner calls it.
    pub label: String,
    /// What its text begins with, to find out where it is in use. It is no secret.
    pub prefix: String,
    /// What it may do of what its owner may; `None` is all of it.
    pub scopes: Option<Vec<String>>,
    /// From where it is accepted; `None` is from everywhere.
    pub allowed_networks: Option<AllowedNetworks>,
    /// How often it may be used within an hour.
    pub requests_per_hour: u32,
    /// Whether it is switched on.
    pub is_active: bool,
    /// Counts up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it last got another secret.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before that one is good.
    pub previous_until: Option<DateTime<Utc>>,
    /// When it was last used, as far as that has been written.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it stops.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why it was revoked: `revoked`, `owner_disabled`, `membership_ended` or `tenant_ended`.
    pub revoke_reason: Option<String>,
}

impl ApiKey {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Option<KeyOwner> {
        match (self.person_id, self.service_account_id) {
            (Some(id), None) => Some(KeyOwner::Person { id }),
            (None, Some(id)) => Some(KeyOwner::Service { id }),
            _ => None,
        }
    }

    /// Whether it may do more than `before`, or is accepted from more places.
    pub(super) fn is_wider_than(&self, before: &Self) -> bool {
        let scopes = match (&before.scopes, &self.scopes) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(had), Some(has)) => !has.iter().all(|new| had.iter().any(|old| covers(old, new))),
        };
        let networks = match (&before.allowed_networks, &self.allowed_networks) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(had), Some(has)) => !has.is_within(had),
        };
        scopes || networks
    }

    /// Whether it is over, so that nothing brings it back.
    #[must_use]
    pub fn is_ended(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_some() || self.expires_at <= now
    }
}

/// A key that was just made or rotated. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct IssuedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its new secret, which nobody can read again.
    pub secret: ApiKeySecret,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// For which tenant. That the owner belongs to it is the caller's to check; of a service account it is checked.
    pub tenant: TenantId,
    /// Whose it will be.
    pub owner: KeyOwner,
    /// What it is called; 1 to 100 characters.
    pub label: String,
    /// What it may do of what its owner may; `None` is all of it. At most 100 scopes of 128 characters.
    pub scopes: Option<Vec<String>>,
    /// From where it is accepted; `None` is from everywhere.
    pub allowed_networks: Option<AllowedNetworks>,
    /// How often it may be used within an hour; `None` is what the configuration says.
    pub requests_per_hour: Option<u32>,
    /// When it stops; `None` is what the configuration says.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What to change of a key; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// What it is called.
    pub label: Option<String>,
    /// What it may do; `Some(None)` is all that its owner may.
    pub scopes: Option<Option<Vec<String>>>,
    /// From where it is accepted; `Some(None)` is from everywhere.
    pub allowed_networks: Option<Option<AllowedNetworks>>,
    /// How often it may be used within an hour.
    pub requests_per_hour: Option<u32>,
    /// Whether it is switched on.
    pub is_active: Option<bool>,
    /// When it stops.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Which keys of a tenant to list.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyQuery {
    /// Only those of this owner.
    pub owner: Option<KeyOwner>,
    /// Only those that are switched on and neither revoked nor expired, or only the others.
    pub is_active: Option<bool>,
    /// In the order they were made, or from the newest.
    pub direction: Direction,
    /// How many.
    pub limit: PageLimit,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether to count them all, up to 10,000.
    pub with_total: bool,
}

/// What a key was used for on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyUsage {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// How many requests it was accepted for.
    pub requests: u64,
    /// How many requests named it and were refused: over its limit, from elsewhere, with a wrong secret, or because it, or its
    /// owner, rests or has ended.
    pub refused: u64,
}

const LABEL_CHARS_MAX: usize = 100;
const SCOPES_MAX: usize = 100;
const SCOPE_CHARS_MAX: usize = 128;

impl NewApiKey {
    /// The row of a key that is made now.
    pub(super) fn into_key(
        self,
        id: ApiKeyId,
        config: &ApiKeyConfig,
        now: DateTime<Utc>,
    ) -> Result<ApiKey, ApiKeyError> {
        let (person_id, service_account_id) = match self.owner {
            KeyOwner::Person { id } => (Some(id), None),
            KeyOwner::Service { id } => (None, Some(id)),
        };
        let key = ApiKey {
            id,
            tenant_id: self.tenant,
            person_id,
            service_account_id,
            prefix: config.environment().visible(id),
            label: self.label,
            scopes: self.scopes,
            allowed_networks: self.allowed_networks,
            requests_per_hour: self.requests_per_hour.unwrap_or(config.requests_per_hour),
            is_active: true,
            version: 1,
            created_at: now,
            updated_at: now,
            rotated_at: None,
            previous_until: None,
            last_used_at: None,
            expires_at: self
                .expires_at
                .unwrap_or(now + TimeDelta::days(config.ttl_days.into()))
                .trunc_subsecs(6),
            revoked_at: None,
            revoke_reason: None,
        };
        check(&key)?;
        check_expiry(key.expires_at, now)?;
        Ok(key)
    }
}

impl ApiKeyChange {
    /// `before` with the change in it.
    pub(super) fn applied_to(self, before: &ApiKey, now: DateTime<Utc>) -> Result<ApiKey, ApiKeyError> {
        let before = before.clone();
        if let Some(expires_at) = self.expires_at {
            check_expiry(expires_at, now)?;
        }
        let key = ApiKey {
            label: self.label.unwrap_or(before.label),
            scopes: self.scopes.unwrap_or(before.scopes),
            allowed_networks: self.allowed_networks.unwrap_or(before.allowed_networks),
            requests_per_hour: self.requests_per_hour.unwrap_or(before.requests_per_hour),
            is_active: self.is_active.unwrap_or(before.is_active),
            // As rows have it.
            expires_at: self.expires_at.unwrap_or(before.expires_at).trunc_subsecs(6),
            ..before
        };
        check(&key)?;
        Ok(key)
    }
}

fn refuse_if(is_wrong: bool, field: &'static str, problem: ApiKeyProblem) -> Result<(), ApiKeyError> {
    if is_wrong { Err(ApiKeyError::Invalid { field, problem }) } else { Ok(()) }
}

fn check(key: &ApiKey) -> Result<(), ApiKeyError> {
    check_name("label", &key.label, LABEL_CHARS_MAX)?;
    if let Some(scopes) = &key.scopes {
        refuse_if(scopes.len() > SCOPES_MAX, "scopes", ApiKeyProblem::TooMany(SCOPES_MAX))?;
        // A key for nothing is more often meant as one for everything.
        refuse_if(scopes.is_empty(), "scopes", ApiKeyProblem::Empty)?;
        refuse_if(!scopes.iter().all(|scope| is_scope(scope)), "scopes", ApiKeyProblem::NotAScope)?;
    }
    if let Some(networks) = &key.allowed_networks {
        let too_many = ApiKeyProblem::TooMany(AllowedNetworks::COUNT_MAX);
        refuse_if(networks.len() > AllowedNetworks::COUNT_MAX, "allowed_networks", too_many)?;
        // An empty list says "from nowhere", and is more often meant as "from everywhere".
        refuse_if(networks.is_empty(), "allowed_networks", ApiKeyProblem::Empty)?;
    }
    let most = ApiKeyConfig::REQUESTS_PER_HOUR_MAX;
    let is_in_range = (1..=most).contains(&key.requests_per_hour);
    refuse_if(!is_in_range, "requests_per_hour", ApiKeyProblem::OutOfRange(1, most))
}

/// A name that people read: of 1 to `max` characters, all of which can be seen.
fn check_name(field: &'static str, text: &str, max: usize) -> Result<(), ApiKeyError> {
    refuse_if(text.trim().is_empty(), field, ApiKeyProblem::Empty)?;
    refuse_if(text.chars().count() > max, field, ApiKeyProblem::TooLong(max))?;
    refuse_if(text.chars().any(stylobate_core::is_invisible), field, ApiKeyProblem::Invisible)
}

fn check_expiry(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), ApiKeyError> {
    let days = ApiKeyConfig::TTL_DAYS_MAX;
    refuse_if(expires_at <= now, "expires_at", ApiKeyProblem::Past)?;
    let is_late = expires_at > now + TimeDelta::days(days.into());
    refuse_if(is_late, "expires_at", ApiKeyProblem::TooLate(days))
}

/// Until when the secret before the present one is good.
pub(super) fn overlap_end(
    key: &ApiKey,
    overlap: Duration,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, ApiKeyError> {
    let most = ApiKeyConfig::OVERLAP_MAX;
    let seconds = u32::try_from(most.as_secs()).unwrap_or(u32::MAX);
    refuse_if(overlap > most, "overlap_seconds", ApiKeyProblem::OutOfRange(0, seconds))?;
    let overlap = TimeDelta::from_std(overlap).unwrap_or(TimeDelta::zero());
    Ok((now + overlap).min(key.expires_at))
}

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope(text: &str) -> bool {
    (1..=SCOPE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_of_the_standard() {
        for scope in ["user.read", "user.*", "*", "read:people", &"a".repeat(128)] {
            assert!(is_scope(scope), "{scope}");
        }
        for text in ["", "a b", "a\"", "a\\", "ä", "a\n", &"a".repeat(129)] {
            assert!(!is_scope(text), "{text}");
        }
    }
}
