use std::{fmt, str::FromStr};

use url::Host;

use crate::plain;

/// An e-mail address as servers take it everywhere: one at-sign, a local part of letters, digits and `!#$%&'*+/=?^_{|}~-.`, and a
/// domain, which is kept in its ASCII form (IDNA).
///
/// RFC 5321 allows more: quoted local parts, comments, addresses of machines instead of domains. Nobody has such an address who is
/// not testing how it is handled, so they are refused, and with them every character by which one address becomes two.
///
/// ```
/// # use stylobate_notify::EmailAddress;
/// let address = EmailAddress::parse("ada@bücher.example")?;
/// assert_eq!(address.as_str(), "ada@xn--bcher-kva.example");
/// assert!(EmailAddress::parse("ada@example.test\r\nRCPT TO:<eve@example.test>").is_err());
/// # Ok::<_, stylobate_notify::AddressInvalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    whole: String,
    /// Where the at-sign is.
    at: usize,
}

/// A text that is no address mail can be sent to. It is not repeated: it may be somebody's address all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the e-mail address {0}")]
pub struct AddressInvalid(&'static str);

/// What the mail format's own rules do not take.
pub(super) const UNWRITABLE: AddressInvalid = AddressInvalid("cannot be written into a mail");

impl AddressInvalid {
    /// What is wrong, in words that go after "the e-mail address".
    #[must_use]
    pub fn problem(self) -> &'static str {
        self.0
    }
}

/// How long an address may be (RFC 5321 §4.5.3.1.3, without the brackets).
const CHARS_MAX: usize = 254;
/// How long its local part may be (RFC 5321 §4.5.3.1.1).
const LOCAL_CHARS_MAX: usize = 64;

impl EmailAddress {
    /// Reads it, without spaces around.
    ///
    /// # Errors
    /// [`AddressInvalid`].
    pub fn parse(text: &str) -> Result<Self, AddressInvalid> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressInvalid("has no @"))?;
        if !local.is_ascii() {
            return Err(AddressInvalid("has letters before the @ that few servers take (RFC 6531)"));
        }
        let is_atom = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
        };
        if local.len() > LOCAL_CHARS_MAX || !local.split('.').all(is_atom) {
            return Err(AddressInvalid("has something else than a name before the @"));
        }
        let domain =
            ascii_domain(domain).ok_or(AddressInvalid("has something else than a domain after the @"))?;
        let whole = format!("{local}@{domain}");
        if whole.len() > CHARS_MAX {
            return Err(AddressInvalid("has more than 254 characters"));
        }
        Ok(Self { at: local.len(), whole })
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// What is before the at-sign.
    #[must_use]
    pub fn local(&self) -> &str {
        self.whole.get(..self.at).unwrap_or_default()
    }

    /// What is behind it, in ASCII and lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.whole.get(self.at + 1..).unwrap_or_default()
    }

    /// As logs and lists show it: `a…@example.test`.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}…@{}", self.local().get(..1).unwrap_or_default(), self.domain())
    }
}

fn ascii_domain(text: &str) -> Option<String> {
    // The parser for URLs would decode these, and take what follows a full stop of another script for a label.
    if text.contains('%') || text.ends_with('.') {
        return None;
    }
    let Ok(Host::Domain(domain)) = Host::parse(text) else { return None };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.split('.').all(is_label).then_some(domain)
}

impl FromStr for EmailAddress {
    type Err = AddressInvalid;

    fn from_str(text: &str) -> Result<Self, AddressInvalid> {
        Self::parse(text)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({})", self.masked())
    }
}

/// An address with the name of whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    address: EmailAddress,
}

/// How long a name is shown, in characters.
const NAME_CHARS_MAX: usize = 100;

impl Mailbox {
    /// The address of somebody called `name`, which may be anything: it is brought onto one line, and left out when it is empty.
    #[must_use]
    pub fn new(name: &str, address: EmailAddress) -> Self {
        let name = plain::at_most(plain::one_line(name).trim(), NAME_CHARS_MAX);
        Self { name: Some(name).filter(|name| !name.is_empty()), address }
    }

    /// Reads `Name <address>` or `address`, without control characters: whoever writes one wants something else than a name.
    ///
    /// # Errors
    /// [`AddressInvalid`].
    pub fn parse(text: &str) -> Result<Self, AddressInvalid> {
        let text = text.trim();
        if text.contains(char::is_control) {
            return Err(AddressInvalid("has a line break or another control character in it or its name"));
        }
        let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) else {
            return Ok(Self::new("", EmailAddress::parse(text)?));
        };
        let name = name.trim();
        let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        Ok(Self::new(unquoted, EmailAddress::parse(address)?))
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }
}

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { name: None, address }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // C50
    #[test]
    fn what_is_more_than_one_plain_address_is_refused() {
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.test",
            "ada@example.test ",
            " ada@example.test",
            "ada@exam ple.test",
            "ada @example.test",
            "ada@example.test\r\nBcc: eve@example.test",
            "ada\r\n@example.test",
            "ada@example.test\n",
            "ada@example.test\0",
            "\"ada\"@example.test",
            "\"a\r\nb\"@example.test",
            "\"a@b\"@example.test",
            "ada(comment)@example.test",
            "ada@(comment)example.test",
            "ada@example.test(comment)",
            "Ada <ada@example.test>",
            "<ada@example.test>",
            "ada@example.test>",
            "ada@example.test,eve@example.test",
            "ada@example.test;eve@example.test",
            "ada@evil.test@example.test",
            "@relay.test:ada@example.test",
            "ada..b@example.test",
            ".ada@example.test",
            "ada.@example.test",
            "ada@example..test",
            "ada@.example.test",
            "ada@example.test.",
            "ada@-example.test",
            "ada@exam_ple.test",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "ada@[IPv6:::1]",
            "ada@2130706433",
            "ada@0x7f.1",
            "ada@ex%61mple.test",
            "ada@example.test%0d%0a",
            "ada@example.test\u{2028}",
            "zoë@example.test",
            "ａda@example.test",
            "ada\u{202e}@example.test",
            "ada@exam\u{0}ple.test",
            "ada@example.test:25",
            "ada@example.test/x",
            "ada@example.test?x",
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
        let long = |local: usize, domain: usize| {
            EmailAddress::parse(&format!("{}@{}.test", "a".repeat(local), vec!["b"; domain].join(".")))
        };
        assert!(long(64, 90).is_ok() && long(65, 90).is_err() && long(64, 93).is_err());
    }

    #[test]
    fn addresses_of_people_are_taken() {
        for (text, kept) in [
            ("ada@example.test", "ada@example.test"),
            ("Ada.Lovelace+x_y-z@Sub.EXAMPLE.test", "Ada.Lovelace+x_y-z@sub.example.test"),
            ("o'hara@example.test", "o'hara@example.test"),
            ("ada@localhost", "ada@localhost"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ] {
            let address = EmailAddress::parse(text).unwrap();
            assert_eq!(address.as_str(), kept);
            assert_eq!(format!("{}@{}", address.local(), address.domain()), kept);
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_has_nothing_that_ends_a_line_or_an_address(text in "\\PC{0,20}@\\PC{0,20}|(?s).{0,40}") {
            if let Ok(address) = EmailAddress::parse(&text) {
                let odd = |c: char| !c.is_ascii_graphic() || "<>(),;:\"\\[]".contains(c);
                prop_assert!(!address.as_str().contains(odd), "{address:?}");
                prop_assert_eq!(address.as_str().matches('@').count(), 1);
                prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address));
            }
        }
    }

    #[test]
    fn a_mailbox_has_its_name_on_one_line() {
        let read = |text: &str| {
            let mailbox = Mailbox::parse(text).unwrap();
            (mailbox.name().map(str::to_owned), mailbox.address().as_str().to_owned())
        };
        let address = "a@example.test".to_owned();
        assert_eq!(read("a@example.test"), (None, address.clone()));
        assert_eq!(read("Example, Inc. <a@example.test>"), (Some("Example, Inc.".into()), address.clone()));
        assert_eq!(read("\"Zoë\" <a@example.test>"), (Some("Zoë".into()), address.clone()));
        assert_eq!(read(" Zoë <a@example.test>\n"), (Some("Zoë".into()), address.clone()));
        let named = Mailbox::new("a\r\nBcc: x", EmailAddress::parse(&address).unwrap());
        assert_eq!(named.name(), Some("a Bcc: x"));
        for wrong in [
            "",
            "<>",
            "a <b>",
            "a@b.test <",
            "a <a@b.test> x",
            "a@b.test, c@d.test",
            "a\r\nBcc: x <a@b.test>",
            "a\n<a@b.test>",
            "a\tb <a@b.test>",
            "\"a\0\" <a@b.test>",
            "a\u{85}b <a@b.test>",
        ] {
            assert!(Mailbox::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_is_shown_masked() {
        let address = EmailAddress::parse("canary@example.test").unwrap();
        assert_eq!(address.masked(), "c…@example.test");
        assert!(!format!("{address:?} {:?}", Mailbox::from(address.clone())).contains("canary"));
        let error = EmailAddress::parse("canary").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
