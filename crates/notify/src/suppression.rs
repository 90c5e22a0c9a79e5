use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{SuppressionId, TenantId};

use crate::Medium;

/// An address that nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Names it.
    pub id: SuppressionId,
    /// Whose it is; everybody's without one.
    pub tenant_id: Option<TenantId>,
    /// What carries no message there.
    pub medium: Medium,
    /// The address, with most of it hidden.
    pub destination: String,
    /// Why: `bad_recipient`, or in words of whoever made it.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when; for ever without.
    pub expires_at: Option<DateTime<Utc>>,
}
