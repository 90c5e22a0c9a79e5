use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Which way a list runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

/// How many items a page may have: 1 to 200, 50 unless asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u16);

impl PageLimit {
    /// The largest page: what a browser or terminal shows at once, and a bounded amount of memory.
    pub const MAX: u16 = 200;

    /// A limit of `items`, or `None` outside 1 to [`MAX`](Self::MAX).
    #[must_use]
    pub fn new(items: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&items).then_some(Self(items))
    }

    /// The number of items.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(50)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<Cursor>,
    /// How many items there are over all pages, when it was asked for; counting stops at a cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// The same page with each item converted.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
            total: self.total,
        }
    }
}

/// A cursor that was not made by this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to this list")]
pub struct CursorInvalid;

/// The place after the last item of a page: the ordering, that item's key under it, and its id as tie-break.
///
/// On the wire it is opaque (base64url of a small JSON array) and bound to the ordering it was made for. It is not
/// signed: it selects where to continue among rows the caller may see anyway, and every part is a bound parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The ordering it was made for, for example `created_at.desc`.
    pub order: String,
    /// The last item's value of the ordering column: a string or an integer.
    pub key: Value,
    /// The last item's id.
    pub id: Uuid,
}

/// A cursor holds one column value and one id; longer texts are refused before they are decoded.
const CURSOR_CHARS_MAX: usize = 2_048;

impl Cursor {
    /// Reads a cursor and holds it to `order`.
    ///
    /// # Errors
    /// [`CursorInvalid`] when the text is no cursor or was made for another ordering.
    pub fn decode(text: &str, order: &str) -> Result<Self, CursorInvalid> {
        if text.len() > CURSOR_CHARS_MAX {
            return Err(CursorInvalid);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorInvalid)?;
        let (made_for, key, id): (String, Value, Uuid) =
            serde_json::from_slice(&json).map_err(|_| CursorInvalid)?;
        // PostgreSQL refuses NUL in text; refusing it here keeps it a bad cursor instead of a failed query.
        let key_is_sound = match &key {
            Value::String(text) => !text.contains('\0'),
            Value::Number(number) => number.is_i64(),
            _ => false,
        };
        if made_for != order || !key_is_sound {
            return Err(CursorInvalid);
        }
        Ok(Self { order: made_for, key, id })
    }

    /// The text that goes to the caller.
    #[must_use]
    pub fn encode(&self) -> String {
        // Writing strings and numbers as JSON into memory cannot fail.
        let json = serde_json::to_vec(&(&self.order, &self.key, self.id)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor { order: "name.asc".into(), key: Value::from("ada"), id: Uuid::from_u128(7) }
    }

    #[test]
    fn a_cursor_survives_the_wire() {
        assert_eq!(Cursor::decode(&cursor().encode(), "name.asc"), Ok(cursor()));
    }

    #[test]
    fn a_cursor_of_another_ordering_is_refused() {
        assert_eq!(Cursor::decode(&cursor().encode(), "name.desc"), Err(CursorInvalid));
    }

    #[test]
    fn text_that_is_no_cursor_is_refused() {
        let nul = Cursor { key: Value::from("a\0b"), ..cursor() }.encode();
        let float = Cursor { key: Value::from(1.5), ..cursor() }.encode();
        let long = "A".repeat(CURSOR_CHARS_MAX + 1);
        for text in ["", "%%", "bm90IGpzb24", nul.as_str(), float.as_str(), long.as_str()] {
            assert_eq!(Cursor::decode(text, "name.asc"), Err(CursorInvalid), "{text}");
        }
    }

    #[test]
    fn limits_outside_the_range_are_refused() {
        assert_eq!(PageLimit::new(0), None);
        assert_eq!(PageLimit::new(201), None);
        assert_eq!(PageLimit::new(200).map(PageLimit::get), Some(200));
    }
}
