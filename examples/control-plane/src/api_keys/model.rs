use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    auth::{AllowedNetworks, ApiKey, ApiKeyChange, ApiKeyUsage, IssuedApiKey, NewApiKey},
    core::{FieldProblem, KeyOwner, PersonId, ServiceId, TenantId},
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    given::given,
    refused::{Refused, invalid},
};

/// What a key is called whose maker did not say.
const UNNAMED: &str = "API key";
/// How long both secrets of a rotated key are good, unless said otherwise.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// An API key, without what it is checked against.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ApiKeyView {
    id: Uuid,
    /// Whose it is, when a person's.
    person_id: Option<Uuid>,
    /// Whose it is, when a service account's.
    service_account_id: Option<Uuid>,
    label: String,
    /// What its text begins with. It is no secret.
    prefix: String,
    /// What it may do of what its owner may; `null` is all of it.
    scopes: Option<Vec<String>>,
    /// From where it is accepted, in CIDR notation; `null` is from everywhere.
    #[schema(value_type = Option<Vec<String>>)]
    allowed_networks: Option<AllowedNetworks>,
    /// How often it may be used within an hour of the clock.
    requests_per_hour: u32,
    is_active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// When it last got another secret.
    rotated_at: Option<DateTime<Utc>>,
    /// Until when the secret before that one is good.
    previous_until: Option<DateTime<Utc>>,
    /// To within 10 s.
    last_used_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    /// `revoked`, `owner_disabled`, `membership_ended` or `tenant_ended`.
    revoke_reason: Option<String>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.as_uuid(),
            person_id: key.person_id.map(|id| id.as_uuid()),
            service_account_id: key.service_account_id.map(|id| id.as_uuid()),
            label: key.label,
            prefix: key.prefix,
            scopes: key.scopes,
            allowed_networks: key.allowed_networks,
            requests_per_hour: key.requests_per_hour,
            is_active: key.is_active,
            created_at: key.created_at,
            updated_at: key.updated_at,
            rotated_at: key.rotated_at,
            previous_until: key.previous_until,
            last_used_at: key.last_used_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            revoke_reason: key.revoke_reason,
        }
    }
}

/// A key that was just made or rotated.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedKeyView {
    #[serde(flatten)]
    view: ApiKeyView,
    /// The key itself: shown now and never again.
    key: String,
}

impl From<IssuedApiKey> for IssuedKeyView {
    fn from(issued: IssuedApiKey) -> Self {
        Self { view: issued.key.into(), key: issued.secret.expose_secret().to_owned() }
    }
}

/// What a key was used for on one day, in UTC.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageView {
    day: NaiveDate,
    /// How many requests it was accepted for.
    requests: u64,
    /// How many named it and were refused: over its limit, from elsewhere, with a wrong secret, or because it rests or has ended.
    refused: u64,
}

impl From<ApiKeyUsage> for UsageView {
    fn from(usage: ApiKeyUsage) -> Self {
        Self { day: usage.day, requests: usage.requests, refused: usage.refused }
    }
}

/// The days on which a key was used, the latest first.
#[derive(Serialize, ToSchema)]
pub(super) struct UsagePage {
    pub(super) items: Vec<UsageView>,
}

/// What one's own key is made with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnKeyInput {
    /// What it is called, up to 100 characters.
    #[serde(default)]
    label: Option<String>,
    /// What it may do of what its owner may; all of it unless given.
    #[serde(default)]
    scopes: Option<Vec<String>>,
    /// From where it is accepted, in CIDR notation; from everywhere unless given.
    #[serde(default)]
    allowed_networks: Option<Vec<String>>,
    /// How often it may be used within an hour.
    #[serde(default)]
    requests_per_hour: Option<u32>,
    /// When it stops, at most 365 days from now; 90 days unless given.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl OwnKeyInput {
    pub(super) fn read(self, tenant: TenantId, owner: KeyOwner) -> Result<NewApiKey, Refused> {
        Ok(NewApiKey {
            tenant,
            owner,
            label: self.label.unwrap_or_else(|| UNNAMED.to_owned()),
            scopes: self.scopes,
            allowed_networks: self.allowed_networks.map(networks).transpose()?,
            requests_per_hour: self.requests_per_hour,
            expires_at: self.expires_at,
        })
    }
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyInput {
    /// Whose it will be; the caller's unless given.
    #[serde(default)]
    person_id: Option<Uuid>,
    /// Whose it will be, instead of a person's.
    #[serde(default)]
    service_account_id: Option<Uuid>,
    /// What it is called, up to 100 characters.
    #[serde(default)]
    label: Option<String>,
    /// What it may do of what its owner may; all of it unless given.
    #[serde(default)]
    scopes: Option<Vec<String>>,
    /// From where it is accepted, in CIDR notation; from everywhere unless given.
    #[serde(default)]
    allowed_networks: Option<Vec<String>>,
    /// How often it may be used within an hour.
    #[serde(default)]
    requests_per_hour: Option<u32>,
    /// When it stops, at most 365 days from now; 90 days unless given.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyInput {
    /// The key to be made for `tenant`, by `caller` when a person asks.
    pub(super) fn read(self, tenant: TenantId, caller: Option<PersonId>) -> Result<NewApiKey, Refused> {
        let owner = match (self.person_id, self.service_account_id) {
            (Some(_), Some(_)) => {
                let problem =
                    FieldProblem::new("service_account_id", "contradicts", "contradicts `person_id`");
                return Err(invalid(vec![problem]).into());
            }
            (None, Some(id)) => KeyOwner::Service { id: ServiceId::from_uuid(id) },
            (Some(id), None) => KeyOwner::Person { id: PersonId::from_uuid(id) },
            (None, None) => match caller {
                Some(id) => KeyOwner::Person { id },
                None => {
                    let problem = FieldProblem::new("person_id", "required", "is required");
                    return Err(invalid(vec![problem]).into());
                }
            },
        };
        let own = OwnKeyInput {
            label: self.label,
            scopes: self.scopes,
            allowed_networks: self.allowed_networks,
            requests_per_hour: self.requests_per_hour,
            expires_at: self.expires_at,
        };
        own.read(tenant, owner)
    }
}

/// What to change of a key; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyPatch {
    #[serde(default)]
    label: Option<String>,
    /// `null` is all that its owner may.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<Option<Vec<String>>>,
    /// `null` is from everywhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_networks: Option<Option<Vec<String>>>,
    #[serde(default)]
    requests_per_hour: Option<u32>,
    /// Off, it is refused until it is switched on again.
    #[serde(default)]
    is_active: Option<bool>,
    /// At most 365 days from now.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyPatch {
    pub(super) fn read(self) -> Result<ApiKeyChange, Refused> {
        let allowed_networks = match self.allowed_networks {
            Some(texts) => Some(texts.map(networks).transpose()?),
            None => None,
        };
        Ok(ApiKeyChange {
            label: self.label,
            scopes: self.scopes,
            allowed_networks,
            requests_per_hour: self.requests_per_hour,
            is_active: self.is_active,
            expires_at: self.expires_at,
        })
    }
}

/// How to give a key another secret.
#[derive(Deserialize, ToSchema)]
#[schema(as = RotateApiKeyInput)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateInput {
    /// For how long the secret before is good as well; 86,400 unless given, at most 2,592,000. 0 ends every earlier secret at once.
    #[serde(default)]
    overlap_seconds: Option<u64>,
}

impl RotateInput {
    pub(super) fn overlap(&self) -> Duration {
        self.overlap_seconds.map_or(OVERLAP, Duration::from_secs)
    }
}

fn networks(texts: Vec<String>) -> Result<AllowedNetworks, Refused> {
    AllowedNetworks::parse(&texts).map_err(|error| {
        invalid(vec![FieldProblem::new("allowed_networks", "invalid", format!("has an item that {error}"))])
            .into()
    })
}
