//! By what lists are ordered.

use serde::Deserialize;
use stylobate::{
    core::Direction,
    middleware::{ApiError, ApiResult, PageQuery},
};
use utoipa::IntoParams;

/// What a list is narrowed to that cannot be.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

/// The page of a list that goes from the newest back and is not counted.
pub(crate) fn newest_first<O>(page: PageQuery<O>) -> ApiResult<PageQuery<O>> {
    if page.order_dir == Some(Direction::Asc) {
        return Err(ApiError::field("order_dir", "unsupported", "is `desc` for this list"));
    }
    if page.include_total {
        return Err(ApiError::field("include_total", "unsupported", "is not counted for this list"));
    }
    Ok(page)
}

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
