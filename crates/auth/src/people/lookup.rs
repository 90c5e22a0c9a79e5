use std::fmt;

use super::{Email, Username, identifier::fold};

/// What somebody typed to say who they are: a username or an e-mail address, folded.
///
/// Any text is one, so that signing in with nonsense looks like signing in as somebody unknown. There is no `Debug`
/// of the text: people type passwords into this field.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier {
    key: String,
    kind: IdentifierKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentifierKind {
    Username,
    Email,
    /// Nobody can be called this.
    Nobody,
}

impl Identifier {
    /// Takes what was typed.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // Longer texts name nobody; they are cut rather than folded whole, because folding grows them.
        if typed.len() > Email::BYTES_MAX {
            let mut end = Email::BYTES_MAX;
            while !typed.is_char_boundary(end) {
                end -= 1;
            }
            let key = typed.get(..end).unwrap_or_default().to_owned();
            return Self { key, kind: IdentifierKind::Nobody };
        }
        let named = Username::parse(typed).map(|name| (name.key().to_owned(), IdentifierKind::Username));
        let named = named
            .or_else(|_| Email::parse(typed).map(|email| (email.key().to_owned(), IdentifierKind::Email)));
        let (key, kind) = named.unwrap_or_else(|_| (fold(typed), IdentifierKind::Nobody));
        Self { key, kind }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn kind(&self) -> IdentifierKind {
        self.kind
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_looked_up_by_its_key(text in "[a-z]{1,4}@[a-zü\u{3002}.-]{1,12}") {
            if let Ok(email) = Email::parse(&text) {
                let identifier = Identifier::new(&text);
                prop_assert_eq!(identifier.key(), email.key());
            }
        }

        #[test]
        fn any_text_is_an_identifier(text in any::<String>()) {
            let identifier = Identifier::new(&text);
            prop_assert!(identifier.key().len() <= 254 * 18);
        }
    }
}
