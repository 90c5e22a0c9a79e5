use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, TenantId};

use crate::TemplateOverride;

/// Which template a tenant puts in the place of the product's own, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Whose it is; every tenant's that has none of its own, without one.
    pub tenant_id: Option<TenantId>,
    /// The kind of message.
    pub kind: String,
    /// The language it is in (BCP 47).
    pub locale: String,
    /// Goes up with every change.
    pub version: i64,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// By whom.
    pub updated_by: Option<PersonId>,
}

/// What a tenant says instead of the product's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTemplate {
    /// Whose it is; every tenant's that has none of its own, without one.
    pub tenant_id: Option<TenantId>,
    /// The kind of message.
    pub kind: String,
    /// What it says.
    pub template: TemplateOverride,
    /// Goes up with every change.
    pub version: i64,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// By whom.
    pub updated_by: Option<PersonId>,
}
