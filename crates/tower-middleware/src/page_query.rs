use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use stylobate_core::{Cursor, Direction, PageLimit};

use crate::{ApiError, strict_query::Parameters};

/// The names that belong to paging on every list.
const NAMES: [&str; 5] = ["limit", "cursor", "order_by", "order_dir", "include_total"];

/// Which page of a list: `?limit=&cursor=&order_by=&order_dir=&include_total=`.
///
/// `O` is the list's own enum of orderings, one per indexed column; its default is the list's default. As an extractor of
/// its own it refuses every other parameter; a list with filters takes [`ListQuery`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery<O> {
    /// How many items: 1 to 200, 50 unless asked.
    pub limit: PageLimit,
    /// Where to continue, as the previous page told; see [`cursor_for`](Self::cursor_for).
    pub cursor: Option<String>,
    /// By which column.
    pub order_by: O,
    /// Which way; the list's own default when `None`.
    pub order_dir: Option<Direction>,
    /// Whether to count all items, which costs a query of its own.
    pub include_total: bool,
}

/// The filters of a list beside its [`PageQuery`]. `F` says `deny_unknown_fields`, without the names of paging.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery<F, O> {
    /// What the list is narrowed to.
    pub filter: F,
    /// Which page of it.
    pub page: PageQuery<O>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<O> {
    limit: Option<u16>,
    cursor: Option<String>,
    order_by: Option<O>,
    order_dir: Option<Direction>,
    #[serde(default)]
    include_total: bool,
}

impl<O> PageQuery<O> {
    /// The cursor, held to the ordering it must have been made for (`created_at.desc`).
    ///
    /// # Errors
    /// 422 on `cursor` when it is not one of this list's.
    pub fn cursor_for(&self, order: &str) -> Result<Option<Cursor>, ApiError> {
        let decode = |text: &String| Cursor::decode(text, order);
        let refused = |_| ApiError::field("cursor", "invalid", "does not belong to this list");
        self.cursor.as_ref().map(decode).transpose().map_err(refused)
    }
}

fn page<O: DeserializeOwned + Default>(parameters: Parameters<'_>) -> Result<PageQuery<O>, ApiError> {
    let raw: Raw<O> = parameters.into_type()?;
    let limit = match raw.limit {
        None => PageLimit::default(),
        Some(items) => PageLimit::new(items).ok_or_else(|| {
            ApiError::field("limit", "out_of_range", format!("must be between 1 and {}", PageLimit::MAX))
        })?,
    };
    Ok(PageQuery {
        limit,
        cursor: raw.cursor,
        order_by: raw.order_by.unwrap_or_default(),
        order_dir: raw.order_dir,
        include_total: raw.include_total,
    })
}

impl<O, S> FromRequestParts<S> for PageQuery<O>
where
    O: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        page(Parameters::read(parts.uri.query().unwrap_or_default())?)
    }
}

impl<F, O, S> FromRequestParts<S> for ListQuery<F, O>
where
    F: DeserializeOwned,
    O: DeserializeOwned + Default,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut parameters = Parameters::read(parts.uri.query().unwrap_or_default())?;
        let paging = parameters.take(&NAMES);
        Ok(Self { filter: parameters.into_type()?, page: page(paging)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Order {
        #[default]
        CreatedAt,
        Email,
    }

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        level: Option<u8>,
    }

    async fn list(query: &str) -> Result<ListQuery<Filter, Order>, (u16, String)> {
        let request = http::Request::builder().uri(format!("/people?{query}")).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        ListQuery::from_request_parts(&mut parts, &())
            .await
            .map_err(|error| (error.problem().status, error.problem().errors.first().unwrap().field.clone()))
    }

    #[tokio::test]
    async fn paging_and_filters_are_read_apart() {
        let found = list("limit=5&order_by=email&order_dir=desc&level=3&include_total=true").await.unwrap();
        assert_eq!((found.page.limit.get(), found.page.order_by), (5, Order::Email));
        assert_eq!((found.page.order_dir, found.filter.level), (Some(Direction::Desc), Some(3)));
        assert!(found.page.include_total);
        assert_eq!(list("").await.unwrap(), ListQuery::default());
    }

    #[tokio::test]
    async fn wrong_paging_is_named() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=99999999", "limit"),
            ("order_by=password", "order_by"),
            ("order_dir=up", "order_dir"),
            ("page=2", "page"),
            ("level=x", "level"),
        ] {
            assert_eq!(list(query).await.unwrap_err(), (422, field.into()), "{query}");
        }
    }

    #[tokio::test]
    async fn a_cursor_of_another_list_is_refused_by_name() {
        let page = list("cursor=bm90IGpzb24").await.unwrap().page;
        assert_eq!(page.cursor_for("email.asc").unwrap_err().problem().errors[0].field, "cursor");
        assert_eq!(list("").await.unwrap().page.cursor_for("email.asc").unwrap(), None);
    }
}
