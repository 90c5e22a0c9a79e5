use serde::{Deserialize, Serialize};
use stylobate_core::TenantId;

use crate::{OrgCode, OrgName};

/// How many organisations an installation serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenancyMode {
    /// Only the default organisation: people never choose one. The default, because most installations start so.
    #[default]
    Single,
    /// Any number; the default organisation is the first of them.
    Multi,
}

/// How tenancy is set up. Unknown fields are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenancyConfig {
    /// How many organisations there are (`TENANCY_MODE`). Default `single`.
    pub mode: TenancyMode,
    /// The organisation every installation has (`DEFAULT_ORG_*`).
    pub default_org: DefaultOrg,
}

/// The organisation that is made when there is none. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultOrg {
    /// Its id (`DEFAULT_ORG_ID`). Unset by default: one is made. Set it to agree with another system; once the
    /// organisation exists, another value stops the start instead of making a second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TenantId>,
    /// Its code (`DEFAULT_ORG_SLUG`). Default `default`. Only used when the organisation is made.
    #[serde(alias = "slug")]
    pub code: OrgCode,
    /// Its name (`DEFAULT_ORG_NAME`). Default `Default organisation`. Only used when the organisation is made.
    pub name: OrgName,
}

impl Default for DefaultOrg {
    #[expect(clippy::expect_used, reason = "both texts are literals that a test parses")]
    fn default() -> Self {
        Self {
            id: None,
            code: "default".parse().expect("a sound code"),
            name: "Default organisation".parse().expect("a sound name"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct ConfigInvalid {
    /// The setting, with dots between the sections.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ConfigInvalid {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "invalid_tenancy_config"
    }
}

impl TenancyConfig {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// Every setting that cannot be used, so that all of them can be mended at once.
    pub fn validate(&self) -> Result<(), Vec<ConfigInvalid>> {
        let mut problems = Vec::new();
        if self.default_org.id.is_some_and(|id| id.as_uuid().is_nil()) {
            // Other systems write the nil UUID for "no organisation".
            problems.push(ConfigInvalid { field: "default_org.id", problem: "must not be the nil UUID" });
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: serde_json::Value) -> Result<TenancyConfig, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn everything_has_a_default() {
        let config = read(json!({})).unwrap();
        assert_eq!(config, TenancyConfig::default());
        assert_eq!(config.mode, TenancyMode::Single);
        assert_eq!((config.default_org.code.as_str(), config.default_org.id), ("default", None));
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn the_slug_is_another_word_for_the_code() {
        let id = "0192d3a0-0000-7000-8000-000000000001";
        let config =
            read(json!({ "mode": "multi", "default_org": { "id": id, "slug": "ACME", "name": "Acme" } }))
                .unwrap();
        assert_eq!(config.mode, TenancyMode::Multi);
        assert_eq!(config.default_org.code.as_str(), "ACME");
        assert_eq!(config.default_org.id.unwrap().to_string(), id);
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused() {
        assert!(read(json!({ "mode": "many" })).is_err());
        assert!(read(json!({ "modes": "multi" })).is_err());
        assert!(read(json!({ "default_org": { "title": "x" } })).is_err());
        assert!(read(json!({ "default_org": { "code": "no blanks" } })).is_err());
        assert!(read(json!({ "default_org": { "name": "" } })).is_err());
        assert!(read(json!({ "default_org": { "id": "1" } })).is_err());
        let nil = read(json!({ "default_org": { "id": "00000000-0000-0000-0000-000000000000" } })).unwrap();
        assert_eq!(nil.validate().unwrap_err()[0].field, "default_org.id");
    }
}
