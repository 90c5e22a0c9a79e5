use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{ApiKeyId, PersonId, TenantId};
use stylobate_db::{Error, Tx};
use uuid::Uuid;

use super::tell_changed;
use crate::{Revocations, api_key::ApiKey};

/// Why a key was revoked, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevokeReason {
    Revoked,
    OwnerDisabled,
    MembershipEnded,
}

impl RevokeReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::OwnerDisabled => "owner_disabled",
            Self::MembershipEnded => "membership_ended",
        }
    }
}

/// Revokes the keys that a person has, for `tenant` or for all, in the transaction that ends what they rest on. The
/// person is locked. Returns how many.
pub(crate) async fn revoke_all(
    tx: &mut Tx,
    live: &Revocations,
    (person, tenant): (PersonId, Option<TenantId>),
    reason: RevokeReason,
    now: DateTime<Utc>,
    kept_for: TimeDelta,
) -> Result<usize, Error> {
    let keys: Vec<(Uuid, i64)> = tx
        .q("SELECT k.id, k.version FROM api_keys k WHERE k.owner_person_id = $1 AND ($2 IS NULL OR k.tenant_id = $2) \
            AND k.revoked_at IS NULL ORDER BY k.id")
        .bind(person.as_uuid())
        .bind(tenant.map(|tenant| tenant.as_uuid()))
        .all()
        .await?;
    // One by one in the order of their ids, as uses are written: two transactions with several keys wait for each other in turn.
    for (id, _) in &keys {
        let revoked: Option<i64> = tx
            .q("UPDATE api_keys SET revoked_at = $1, revoke_reason = $2, updated_at = $1, version = version + 1 \
                WHERE id = $3 AND revoked_at IS NULL RETURNING version")
            .bind(now)
            .bind(reason.as_str())
            .bind(*id)
            .scalar_opt()
            .await?;
        // Whoever else ended it meanwhile has told so.
        if let Some(version) = revoked {
            tell_changed(tx, live, (ApiKeyId::from_uuid(*id), version), now, kept_for).await?;
        }
    }
    Ok(keys.len())
}

/// Marks `key` as revoked.
pub(in crate::api_key) fn revoked(key: &ApiKey, now: DateTime<Utc>) -> ApiKey {
    let reason = RevokeReason::Revoked.as_str().to_owned();
    ApiKey {
        revoked_at: Some(now),
        revoke_reason: Some(reason),
        version: key.version + 1,
        updated_at: now,
        ..key.clone()
    }
}
