use chrono::{DateTime, Utc};
use stylobate_core::{KeyOwner, TenantId};
use stylobate_db::{Error, Sql, Tx};

use super::KeyRow;
use crate::api_key::{ApiKey, ApiKeyEnvironment};

/// Why a key was revoked, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevokeReason {
    Revoked,
    OwnerDisabled,
    /// Its row goes with the owner's: only the trail says so.
    OwnerDeleted,
    MembershipEnded,
    /// With everything of the tenant that it is for.
    TenantEnded,
}

impl RevokeReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::OwnerDisabled => "owner_disabled",
            Self::OwnerDeleted => "owner_deleted",
            Self::MembershipEnded => "membership_ended",
            Self::TenantEnded => "tenant_ended",
        }
    }
}

/// Reads the keys of an owner that are not revoked, for `tenant` or for all, and keeps others from changing them until the
/// transaction ends. In the order of their ids, as uses are written: two transactions with several keys wait for each other in
/// turn.
pub(in crate::api_key) async fn lock_of_owner(
    tx: &mut Tx,
    owner: KeyOwner,
    tenant: Option<TenantId>,
    environment: ApiKeyEnvironment,
) -> Result<Vec<ApiKey>, Error> {
    macro_rules! select {
        ($owner:literal, $end:literal) => {
            concat!(
                "SELECT ",
                columns!(),
                " FROM api_keys k WHERE k.",
                $owner,
                " = $1 AND ($2 IS NULL OR k.tenant_id = $2) AND k.revoked_at IS NULL ORDER BY k.id",
                $end
            )
        };
    }
    let (sql, id) = match owner {
        KeyOwner::Person { id } => {
            let pg = select!("owner_person_id", " FOR NO KEY UPDATE");
            (Sql::Per { pg, lite: select!("owner_person_id", "") }, id.as_uuid())
        }
        KeyOwner::Service { id } => {
            let pg = select!("owner_service_id", " FOR NO KEY UPDATE");
            (Sql::Per { pg, lite: select!("owner_service_id", "") }, id.as_uuid())
        }
    };
    let rows: Vec<KeyRow> = tx.q(sql).bind(id).bind(tenant.map(|tenant| tenant.as_uuid())).all().await?;
    rows.into_iter().map(|row| row.into_key(environment)).collect()
}

/// Revokes the keys of a tenant, whoever owns them. Returns how many. The caller keeps others from being made, and tells every
/// process not to rely on what it remembers of them.
pub(in crate::api_key) async fn revoke_of_tenant(
    tx: &mut Tx,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    macro_rules! revoke {
        ($end:literal) => {
            concat!(
                "UPDATE api_keys SET revoked_at = $1, revoke_reason = $2, version = version + 1, updated_at = $1 \
                 WHERE id IN (SELECT k.id FROM api_keys k WHERE k.tenant_id = $3 AND k.revoked_at IS NULL",
                $end,
                ")"
            )
        };
    }
    // In the order of their ids, as above.
    tx.q(Sql::Per { pg: revoke!(" ORDER BY k.id FOR NO KEY UPDATE"), lite: revoke!("") })
        .bind(now)
        .bind(RevokeReason::TenantEnded.as_str())
        .bind(tenant.as_uuid())
        .run()
        .await
}

/// Marks `key` as revoked.
pub(in crate::api_key) fn revoked(key: &ApiKey, reason: RevokeReason, now: DateTime<Utc>) -> ApiKey {
    ApiKey {
        revoked_at: Some(now),
        revoke_reason: Some(reason.as_str().to_owned()),
        version: key.version + 1,
        updated_at: now,
        ..key.clone()
    }
}
