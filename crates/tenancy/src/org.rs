use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use stylobate_core::{PersonId, TenantId};

use crate::{LicenseStatus, OrgCode, OrgName};

/// An organisation: a tenant.
///
/// It is *active*, or *inactive*: nobody may act in it, and its rows stay. Once its removal has begun it is inactive for good,
/// and its rows go. The default organisation is always active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Org {
    /// Names it.
    pub id: TenantId,
    /// What it is chosen by at sign-in; unique without regard to case.
    pub code: OrgCode,
    /// What people call it.
    pub name: OrgName,
    /// What has become of its licence.
    pub license_status: LicenseStatus,
    /// When it was bought.
    pub purchase_date: Option<NaiveDate>,
    /// Whether anybody may act in it.
    pub is_active: bool,
    /// Whether it is the one every installation has.
    pub is_default: bool,
    /// Since when it is being deleted.
    pub removal_began_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How often it was changed, from 1.
    pub version: i64,
}

impl Org {
    /// What the audit trail shows of it.
    pub(crate) fn audited(&self) -> Value {
        json!({
            // Not `code`: a field of that name is taken for a one-time code and hidden.
            "org_code": self.code,
            "name": self.name,
            "license_status": self.license_status,
            "purchase_date": self.purchase_date,
            "is_active": self.is_active,
            "removal_began_at": self.removal_began_at,
        })
    }

    /// What a search looks at. Folded here, because `lower()` of the engines disagree beyond ASCII.
    pub(crate) fn search_key(&self) -> String {
        format!("{} {}", self.name, self.code).to_lowercase()
    }
}

/// An organisation to be made.
#[derive(Debug, Clone)]
pub struct NewOrg {
    /// Its code.
    pub code: OrgCode,
    /// Its name.
    pub name: OrgName,
    /// What has become of its licence.
    pub license_status: LicenseStatus,
    /// When it was bought, in the years 1 to 9999.
    pub purchase_date: Option<NaiveDate>,
}

/// What is to change about an organisation; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct OrgChange {
    /// Another code, or another spelling of it.
    pub code: Option<OrgCode>,
    /// Another name.
    pub name: Option<OrgName>,
    /// What has become of the licence.
    pub license_status: Option<LicenseStatus>,
    /// When it was bought, in the years 1 to 9999; `Some(None)` forgets it.
    pub purchase_date: Option<Option<NaiveDate>>,
    /// The version that the change was made from: with another one stored it is refused.
    pub version: Option<i64>,
}

/// Which organisations a list holds; what is `None` matters not.
#[derive(Debug, Clone, Default)]
pub struct OrgFilter {
    /// Active ones, or inactive ones.
    pub is_active: Option<bool>,
    /// Those whose licence has this status.
    pub license_status: Option<LicenseStatus>,
    /// Those whose name or code contains this, in whatever case.
    pub search: Option<String>,
    /// Those that this person is an active member of.
    pub member: Option<PersonId>,
    /// Those with one of these ids.
    pub ids: Option<Vec<TenantId>>,
}
