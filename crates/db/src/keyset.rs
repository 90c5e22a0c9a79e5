use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use stylobate_core::{Cursor, CursorInvalid, Direction, Page, PageLimit};
use uuid::Uuid;

use crate::SqlBuilder;

/// The value of an ordering column, as a cursor carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysetKey {
    /// A text column; `COLLATE "C"` on PostgreSQL, so that both engines order alike.
    Text(String),
    /// A time column.
    Time(DateTime<Utc>),
}

/// Where a page of a list begins and how long it is: keyset pagination, so that page 10,000 costs what page 1 costs.
///
/// `column` and `id` are expressions of the statement, `column` NOT NULL and both indexed together.
#[derive(Debug, Clone)]
pub struct Keyset {
    name: &'static str,
    column: &'static str,
    id: &'static str,
    direction: Direction,
    limit: PageLimit,
    after: Option<(KeysetKey, Uuid)>,
}

impl Keyset {
    /// A page of a list ordered by `column` (called `name` on the wire) and then by `id`; the column is a time when
    /// `is_time`, otherwise text.
    ///
    /// # Errors
    /// [`CursorInvalid`] when `cursor` was not made by this ordering.
    pub fn new(
        name: &'static str,
        column: &'static str,
        id: &'static str,
        is_time: bool,
        direction: Direction,
        limit: PageLimit,
        cursor: Option<&str>,
    ) -> Result<Self, CursorInvalid> {
        let mut keyset = Self { name, column, id, direction, limit, after: None };
        if let Some(text) = cursor {
            let cursor = Cursor::decode(text, &keyset.order())?;
            let key = match cursor.key {
                Value::String(text) if is_time => KeysetKey::Time(
                    DateTime::parse_from_rfc3339(&text).map_err(|_| CursorInvalid)?.with_timezone(&Utc),
                ),
                // PostgreSQL has no text with a NUL in it, and refuses to compare one.
                Value::String(text) if !text.contains('\0') => KeysetKey::Text(text),
                // Whoever forges a cursor must not choose the type that the column is compared with.
                _ => return Err(CursorInvalid),
            };
            keyset.after = Some((key, cursor.id));
        }
        Ok(keyset)
    }

    fn order(&self) -> String {
        let direction = match self.direction {
            Direction::Asc => "asc",
            Direction::Desc => "desc",
        };
        format!("{}.{direction}", self.name)
    }

    /// Adds ` AND (column, id) > (…) ORDER BY column, id LIMIT n` to a statement that already has a `WHERE`.
    pub fn push(&self, sql: &mut SqlBuilder) {
        let (compare, order) = match self.direction {
            Direction::Asc => (" > ", " ASC"),
            Direction::Desc => (" < ", " DESC"),
        };
        if let Some((key, id)) = &self.after {
            sql.push(" AND (").push(self.column).push(", ").push(self.id).push(")").push(compare).push("(");
            match key {
                KeysetKey::Text(text) => sql.value(text.clone()),
                KeysetKey::Time(time) => sql.value(*time),
            };
            sql.push(", ").value(*id).push(")");
        }
        sql.push(" ORDER BY ").push(self.column).push(order).push(", ").push(self.id).push(order);
        // One more than asked tells whether there is another page.
        sql.limit(i64::from(self.limit.get()) + 1);
    }

    /// Makes the page of the rows that the statement returned; `key` reads the ordering column and the id of a row.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl FnOnce(&T) -> (KeysetKey, Uuid)) -> Page<T> {
        let limit = usize::from(self.limit.get());
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| {
            let (key, id) = key(last);
            let key = match key {
                KeysetKey::Text(text) => Value::String(text),
                KeysetKey::Time(time) => Value::String(time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            };
            Cursor { order: self.order(), key, id }
        });
        Page { items: rows, next_cursor, total: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keyset(is_time: bool, key: Value) -> Result<Keyset, CursorInvalid> {
        let cursor = Cursor { order: "name.asc".to_owned(), key, id: Uuid::nil() }.encode();
        let limit = PageLimit::default();
        Keyset::new("name", "name", "id", is_time, Direction::Asc, limit, Some(&cursor))
    }

    #[test]
    fn cursors_of_the_type_of_the_column_are_taken() {
        assert!(keyset(false, json!("anna")).is_ok());
        assert!(keyset(true, json!("2026-03-01T12:00:00Z")).is_ok());
    }

    #[test]
    fn cursors_of_another_type_are_refused() {
        for key in
            [json!(5), json!(0.5), json!(true), json!(null), json!(["a"]), json!({"a": 1}), json!("a\0b")]
        {
            assert!(keyset(false, key.clone()).is_err(), "{key} passed for text");
            assert!(keyset(true, key.clone()).is_err(), "{key} passed for a time");
        }
        assert!(keyset(true, json!("anna")).is_err());
    }
}
