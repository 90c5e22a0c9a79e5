//! By what lists are ordered.

use serde::Deserialize;

/// What a list is ordered by that has one order alone: `created_at`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ByCreation {
    #[default]
    CreatedAt,
}

/// What a list is ordered by that has one order alone: `name`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ByName {
    #[default]
    Name,
}
