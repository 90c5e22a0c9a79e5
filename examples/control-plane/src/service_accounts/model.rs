use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    auth::{
        Jwk, NewServiceAccount, NewServiceKey, ServiceAccount, ServiceAccountChange, ServiceAccountStatus,
        ServiceGrant, ServiceKey, SigningAlgorithm, VerifyingKey,
    },
    core::FieldProblem,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    given::given,
    refused::{Refused, invalid},
};

/// A program that acts for itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ServiceAccountView {
    id: Uuid,
    name: String,
    description: Option<String>,
    /// Off, nothing of it works and its keys rest.
    is_active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<ServiceAccount> for ServiceAccountView {
    fn from(account: ServiceAccount) -> Self {
        Self {
            id: account.id.as_uuid(),
            is_active: account.is_active(),
            name: account.name,
            description: account.description,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

/// A service account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceAccountInput {
    /// 1 to 100 characters, unique in the organisation whatever the case.
    name: String,
    /// At most 500 characters.
    #[serde(default)]
    description: Option<String>,
}

impl From<ServiceAccountInput> for NewServiceAccount {
    fn from(input: ServiceAccountInput) -> Self {
        Self { name: input.name, description: input.description }
    }
}

/// What to change of a service account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceAccountPatch {
    #[serde(default)]
    name: Option<String>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[serde(default)]
    is_active: Option<bool>,
}

impl From<ServiceAccountPatch> for ServiceAccountChange {
    fn from(patch: ServiceAccountPatch) -> Self {
        Self { name: patch.name, description: patch.description, status: patch.is_active.map(status) }
    }
}

pub(super) fn status(is_active: bool) -> ServiceAccountStatus {
    if is_active { ServiceAccountStatus::Active } else { ServiceAccountStatus::Disabled }
}

/// What a service account may do at one audience.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantView {
    /// Whom it may call: what the receiver expects as `aud`, often its address. 1 to 255 printable ASCII characters.
    audience: String,
    /// What for: names, or patterns such as `invoice.*`. At this installation they are permissions, and narrow what the
    /// account's roles allow.
    operations: Vec<String>,
}

/// All that a service account may do where.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantsView {
    grants: Vec<GrantView>,
}

impl From<Vec<ServiceGrant>> for GrantsView {
    fn from(grants: Vec<ServiceGrant>) -> Self {
        let view = |ServiceGrant { audience, operations }| GrantView { audience, operations };
        Self { grants: grants.into_iter().map(view).collect() }
    }
}

impl From<GrantsView> for Vec<ServiceGrant> {
    fn from(view: GrantsView) -> Self {
        let grant = |GrantView { audience, operations }| ServiceGrant { audience, operations };
        view.grants.into_iter().map(grant).collect()
    }
}

/// A public key whose signatures of requests are those of a service account.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ServiceKeyView {
    /// Also the `keyid` of its signatures.
    id: Uuid,
    service_account_id: Uuid,
    label: String,
    /// A JSON Web Key (RFC 7517).
    #[schema(value_type = Object)]
    public_key: Jwk,
    not_before: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<ServiceKey> for ServiceKeyView {
    fn from(key: ServiceKey) -> Self {
        Self {
            id: key.id.as_uuid(),
            service_account_id: key.service_account_id.as_uuid(),
            label: key.label,
            public_key: key.public_key,
            not_before: key.not_before,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            created_at: key.created_at,
        }
    }
}

/// The keys of a service account, in the order they were registered.
#[derive(Serialize, ToSchema)]
pub(super) struct ServiceKeys {
    pub(super) items: Vec<ServiceKeyView>,
}

/// A public key to be registered, as `pem` or `jwk`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceKeyInput {
    /// 1 to 100 characters.
    label: String,
    /// `-----BEGIN PUBLIC KEY-----…`, with `algorithm`.
    #[serde(default)]
    pem: Option<String>,
    /// What the key of `pem` signs with: `EdDSA`, `ES256` or `PS512`.
    #[serde(default)]
    algorithm: Option<String>,
    /// A JSON Web Key (RFC 7517); one of RSA with `alg`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    jwk: Option<serde_json::Map<String, serde_json::Value>>,
    /// From when on its signatures are accepted; now unless given.
    #[serde(default)]
    not_before: Option<DateTime<Utc>>,
    /// Until when, at most 730 days from now; 365 unless given.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl ServiceKeyInput {
    pub(super) fn read(self) -> Result<NewServiceKey, Refused> {
        let wrong = |field, code, message: &str| -> Refused {
            invalid(vec![FieldProblem::new(field, code, message)]).into()
        };
        let key = match (self.pem, self.jwk) {
            (Some(pem), None) => {
                let algorithm =
                    self.algorithm.ok_or_else(|| wrong("algorithm", "required", "is required"))?;
                let algorithm: SigningAlgorithm =
                    algorithm.parse().map_err(|_| wrong("algorithm", "invalid", "is no algorithm"))?;
                VerifyingKey::from_pem(algorithm, &pem)
                    .map_err(|_| wrong("pem", "invalid", "is no public key of this algorithm"))?
            }
            (None, Some(_)) if self.algorithm.is_some() => {
                return Err(wrong("algorithm", "contradicts", "contradicts `jwk`"));
            }
            (None, Some(jwk)) => {
                let text = serde_json::Value::Object(jwk).to_string();
                VerifyingKey::from_jwk(text.as_bytes())
                    .map_err(|_| wrong("jwk", "invalid", "is no public key for signatures"))?
            }
            (Some(_), Some(_)) => return Err(wrong("jwk", "contradicts", "contradicts `pem`")),
            (None, None) => return Err(wrong("pem", "required", "is required")),
        };
        Ok(NewServiceKey { label: self.label, key, not_before: self.not_before, expires_at: self.expires_at })
    }
}
