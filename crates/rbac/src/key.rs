use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not a permission key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a permission key has 1 to 128 characters of a-z 0-9 _ - in segments joined by . or :, and * only as last segment"
)]
pub struct KeyInvalid;

/// The name of a permission: `user.read`, or `people:read` in the colon spelling.
///
/// 1 to 128 ASCII characters: segments of `a-z 0-9 _ -` joined by `.` or `:`. The last segment may be `*`, which makes
/// the key a *pattern* covering every name with that prefix; `*` alone covers everything. The two spellings
/// are distinct keys; the catalogue says which are synonyms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermissionKey(Box<str>);

impl PermissionKey {
    /// The longest key. Keys appear in tokens as scopes, and tokens in headers.
    pub const CHARS_MAX: usize = 128;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key is a pattern, which can be granted but not asked for.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        is_pattern(&self.0)
    }

    /// Whether holding this key is holding `name`, synonyms left aside.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        covers(&self.0, name)
    }
}

pub(crate) fn is_pattern(key: &str) -> bool {
    key.ends_with('*')
}

/// Whether `held` (a key or pattern) is or covers `name`. `user.*` covers neither `user` nor `users.read`, and malformed
/// text with a star elsewhere covers only itself.
pub(crate) fn covers(held: &str, name: &str) -> bool {
    match held.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with(['.', ':']) && name.len() > prefix.len() && name.starts_with(prefix),
        None => held == name,
    }
}

/// What a name ending in `:own` or `.own` says without that; `None` for other names.
pub(crate) fn without_own(key: &str) -> Option<&str> {
    let strip = |key: &'_ str| -> Option<usize> {
        let base = key.strip_suffix(":own").or_else(|| key.strip_suffix(".own"))?;
        (!base.is_empty()).then_some(base.len())
    };
    let mut base = key.get(..strip(key)?)?;
    while let Some(shorter) = strip(base) {
        base = base.get(..shorter)?;
    }
    Some(base)
}

pub(crate) fn is_valid(key: &str) -> bool {
    if key.is_empty() || key.len() > PermissionKey::CHARS_MAX {
        return false;
    }
    let body = match key.strip_suffix('*') {
        Some("") => return true,
        Some(prefix) => match prefix.strip_suffix(['.', ':']) {
            Some(body) => body,
            None => return false,
        },
        None => key,
    };
    body.split(['.', ':']).all(|segment| {
        !segment.is_empty()
            && segment.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    })
}

impl FromStr for PermissionKey {
    type Err = KeyInvalid;

    fn from_str(text: &str) -> Result<Self, KeyInvalid> {
        if is_valid(text) { Ok(Self(text.into())) } else { Err(KeyInvalid) }
    }
}

impl TryFrom<String> for PermissionKey {
    type Error = KeyInvalid;

    fn try_from(text: String) -> Result<Self, KeyInvalid> {
        if is_valid(&text) { Ok(Self(text.into_boxed_str())) } else { Err(KeyInvalid) }
    }
}

impl From<PermissionKey> for String {
    fn from(key: PermissionKey) -> Self {
        key.0.into_string()
    }
}

impl AsRef<str> for PermissionKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for PermissionKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PermissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_patterns_are_keys() {
        for text in [
            "people.read",
            "read:users",
            "people:read",
            "role.perm.assign",
            "a",
            "*",
            "user.*",
            "audit:*",
            "a-b_c.9",
        ] {
            assert_eq!(text.parse::<PermissionKey>().unwrap().as_str(), text);
        }
        assert!("a".repeat(128).parse::<PermissionKey>().is_ok());
    }

    #[test]
    fn other_text_is_refused() {
        let (long, huge) = ("a".repeat(129), "a".repeat(1 << 20));
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a:.b",
            "User.read",
            "user read",
            "user.réad",
            "user.read\n",
            "a\0",
            "**",
            "a*",
            "*.read",
            "a.*.b",
            "a.**",
            ".*",
            "usеr.read",
            &long,
            &huge,
        ] {
            assert_eq!(text.parse::<PermissionKey>(), Err(KeyInvalid), "{text:.20}");
        }
    }

    #[test]
    fn own_is_a_suffix_of_whole_segments() {
        assert_eq!(without_own("people:read:own"), Some("people:read"));
        assert_eq!(without_own("a.own:own"), Some("a"));
        for key in ["own", ":own", "grown", "own.a", "a.own.b", ""] {
            assert_eq!(without_own(key), None, "{key}");
        }
    }

    #[test]
    fn a_pattern_covers_whole_segments_only() {
        assert!(
            covers("*", "user.read") && covers("user.*", "user.read") && covers("role.*", "role.perm.assign")
        );
        assert!(covers("audit:*", "audit:read"));
        for (held, name) in [
            ("user.*", "user"),
            ("user.*", "users.read"),
            ("user.*", "user."),
            ("user*", "user.read"),
            ("", "a"),
            ("a*b", "axb"),
        ] {
            assert!(!covers(held, name), "{held} {name}");
        }
    }
}
