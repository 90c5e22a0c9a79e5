//! Fields of bodies that may be left out, and may be `null`.

use serde::{Deserialize, Deserializer};

/// Tells `null` from nothing; beside `#[serde(default)]`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
