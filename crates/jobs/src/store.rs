//! The statements, each beside the states that it may begin and end in.

pub(crate) mod claim;
pub(crate) mod counts;
pub(crate) mod finish;
pub(crate) mod jobs;
pub(crate) mod places;
pub(crate) mod queues;
pub(crate) mod schedules;
pub(crate) mod upkeep;

use stylobate_core::TenantId;
use uuid::Uuid;

/// What claims take turns by.
pub(crate) fn lane(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid())
}
