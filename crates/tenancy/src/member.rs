use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::PersonId;

use crate::MembershipStatus;

/// One person who belongs to an organisation, as the organisation sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Who.
    pub person_id: PersonId,
    /// Whether they may act in it.
    pub status: MembershipStatus,
    /// Since when they belong to it.
    pub created_at: DateTime<Utc>,
    /// When their status last changed.
    pub updated_at: DateTime<Utc>,
}

/// How many people belong to an organisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemberCounts {
    /// Those who may act in it.
    pub active: u64,
    /// Those who may not.
    pub suspended: u64,
}
