use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::FieldProblem,
    tenancy::{LicenseStatus, NewOrg, Org, OrgChange, OrgCode, OrgFilter, OrgName},
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    given::given,
    refused::{Refused, invalid},
};

/// An organisation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct OrgView {
    id: Uuid,
    /// What it is chosen by at sign-in.
    code: String,
    name: String,
    /// `active`, `suspended` or `expired`: what the operator has on record. Whether anybody may act is `is_active`.
    #[schema(value_type = String)]
    license_status: LicenseStatus,
    purchase_date: Option<NaiveDate>,
    /// Off, nobody may act in it: it has no sessions, and its keys have ended.
    is_active: bool,
    /// Whether it is the one that every installation has.
    is_default: bool,
    /// Since when it is being deleted.
    removal_began_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl From<Org> for OrgView {
    fn from(org: Org) -> Self {
        Self {
            id: org.id.as_uuid(),
            code: org.code.into(),
            name: org.name.into(),
            license_status: org.license_status,
            purchase_date: org.purchase_date,
            is_active: org.is_active,
            is_default: org.is_default,
            removal_began_at: org.removal_began_at,
            created_at: org.created_at,
            updated_at: org.updated_at,
            version: org.version,
        }
    }
}

/// An organisation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgInput {
    /// 1 to 200 characters. Older spellings: `organization_name`, `org_name`.
    #[serde(alias = "organization_name", alias = "org_name")]
    name: String,
    /// 1 to 64 letters, digits, `-` and `_` of ASCII, unique whatever the case; made of the name unless given. Older spelling:
    /// `org_code`.
    #[serde(default, alias = "org_code")]
    code: Option<String>,
    /// `active` unless given, `suspended` or `expired`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    license_status: Option<LicenseStatus>,
    #[serde(default)]
    purchase_date: Option<NaiveDate>,
    /// Whether anybody may act in it; `true` unless given.
    #[serde(default)]
    is_active: Option<bool>,
}

impl OrgInput {
    pub(super) fn read(self) -> Result<OrgDraft, Refused> {
        let mut problems = Vec::new();
        let name = name("name", &self.name, &mut problems);
        let code = self.code.and_then(|text| code(&text, &mut problems));
        check_date(self.purchase_date, &mut problems);
        match name {
            Some(name) if problems.is_empty() => Ok(OrgDraft {
                name,
                code,
                license_status: self.license_status.unwrap_or_default(),
                purchase_date: self.purchase_date,
                is_active: self.is_active.unwrap_or(true),
            }),
            _ => Err(invalid(problems).into()),
        }
    }
}

/// An organisation to be made, checked.
#[derive(Debug, Clone)]
pub(super) struct OrgDraft {
    pub(super) name: OrgName,
    /// Made of the name when there is none.
    pub(super) code: Option<OrgCode>,
    pub(super) license_status: LicenseStatus,
    pub(super) purchase_date: Option<NaiveDate>,
    pub(super) is_active: bool,
}

impl OrgDraft {
    pub(super) fn with_code(&self, code: OrgCode) -> NewOrg {
        NewOrg {
            code,
            name: self.name.clone(),
            license_status: self.license_status,
            purchase_date: self.purchase_date,
        }
    }
}

/// What to change of an organisation; what is left out stays. Licence, purchase and whether anybody may act are the operator's to
/// change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgPatch {
    /// Older spellings: `organization_name`, `org_name`.
    #[serde(default, alias = "organization_name", alias = "org_name")]
    name: Option<String>,
    /// Older spelling: `org_code`.
    #[serde(default, alias = "org_code")]
    code: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    license_status: Option<LicenseStatus>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = Date)]
    purchase_date: Option<Option<NaiveDate>>,
    /// `false` does what `DELETE` does, `true` what `POST …/activate` does.
    #[serde(default)]
    is_active: Option<bool>,
    /// The version that the change was made from: with another one stored it is refused.
    #[serde(default)]
    version: Option<i64>,
}

impl OrgPatch {
    /// Whether it names what the platform decides about.
    pub(super) fn is_of_platform(&self) -> bool {
        self.license_status.is_some() || self.purchase_date.is_some() || self.is_active.is_some()
    }

    /// The change, and whether anybody may act in the organisation after it.
    pub(super) fn read(self) -> Result<(OrgChange, Option<bool>), Refused> {
        let mut problems = Vec::new();
        let name = self.name.and_then(|text| name("name", &text, &mut problems));
        let code = self.code.and_then(|text| code(&text, &mut problems));
        check_date(self.purchase_date.flatten(), &mut problems);
        if !problems.is_empty() {
            return Err(invalid(problems).into());
        }
        let change = OrgChange {
            code,
            name,
            license_status: self.license_status,
            purchase_date: self.purchase_date,
            version: self.version,
        };
        Ok((change, self.is_active))
    }
}

pub(super) fn name(field: &str, text: &str, problems: &mut Vec<FieldProblem>) -> Option<OrgName> {
    let name = text.parse::<OrgName>();
    name.map_err(|error| problems.push(FieldProblem::new(field, "invalid", error.to_string()))).ok()
}

pub(super) fn code(text: &str, problems: &mut Vec<FieldProblem>) -> Option<OrgCode> {
    let code = text.parse::<OrgCode>();
    code.map_err(|error| problems.push(FieldProblem::new("code", "invalid", error.to_string()))).ok()
}

fn check_date(date: Option<NaiveDate>, problems: &mut Vec<FieldProblem>) {
    if date.is_some_and(|date| !(1..=9_999).contains(&date.year())) {
        problems.push(FieldProblem::new("purchase_date", "invalid", "is not in the years 1 to 9999"));
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgQuery {
    /// Only those in which somebody may act, or only the others.
    is_active: Option<bool>,
    /// Only those whose licence is `active`, `suspended` or `expired`.
    #[param(value_type = Option<String>)]
    license_status: Option<LicenseStatus>,
    /// Only those with this text in name or code.
    search: Option<String>,
}

impl From<OrgQuery> for OrgFilter {
    fn from(query: OrgQuery) -> Self {
        Self {
            is_active: query.is_active,
            license_status: query.license_status,
            search: query.search.filter(|text| !text.is_empty()),
            ..Self::default()
        }
    }
}
