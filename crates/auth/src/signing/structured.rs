//! Structured field values (RFC 8941), as far as signatures need them, read strictly.
//!
//! Where the RFC lets the last of several members or parameters of one name win, this reader refuses: whoever checks a
//! signature must not see another message than whoever uses it. Base64 is canonical, with its padding.

use std::{borrow::Cow, fmt};

mod parse;

pub(super) use parse::{dictionary, dictionary_knowing, is_key, is_tchar, item, list};

/// A single value without parameters (RFC 8941 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bare<'a> {
    Integer(i64),
    /// In thousandths: the three digits that a decimal may have behind the point.
    Decimal(i64),
    String(Cow<'a, str>),
    Token(&'a str),
    Bytes(Vec<u8>),
    Boolean(bool),
}

/// Parameters in the order in which they came (RFC 8941 §3.1.2).
pub(super) type Params<'a> = Vec<(&'a str, Bare<'a>)>;

/// A value with its parameters (RFC 8941 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item<'a> {
    pub(super) value: Bare<'a>,
    pub(super) params: Params<'a>,
}

/// Items in brackets (RFC 8941 §3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InnerList<'a> {
    pub(super) items: Vec<Item<'a>>,
    pub(super) params: Params<'a>,
}

/// What a list or a dictionary holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member<'a> {
    Item(Item<'a>),
    InnerList(InnerList<'a>),
    /// The inner list that its reader was told to know, with its text.
    Known(&'a str, Params<'a>),
}

/// Members by their keys, in the order in which they came (RFC 8941 §3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dictionary<'a> {
    /// By itself, because it is mostly the only one, and then nothing is allocated.
    first: Option<(&'a str, Member<'a>)>,
    others: Vec<(&'a str, Member<'a>)>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'a str, Member<'a>)> {
        self.first.iter().chain(&self.others)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.iter().any(|(known, _)| *known == key)
    }

    pub(super) fn take(self, key: &str) -> Option<Member<'a>> {
        self.into_iter().find(|(known, _)| *known == key).map(|(_, member)| member)
    }

    fn push(&mut self, key: &'a str, member: Member<'a>) {
        match &self.first {
            None => self.first = Some((key, member)),
            Some(_) => self.others.push((key, member)),
        }
    }
}

impl<'a> IntoIterator for Dictionary<'a> {
    type Item = (&'a str, Member<'a>);
    type IntoIter = std::iter::Chain<
        std::option::IntoIter<(&'a str, Member<'a>)>,
        std::vec::IntoIter<(&'a str, Member<'a>)>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

impl fmt::Display for Bare<'_> {
    /// RFC 8941 §4.1.3.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Decimal(thousandths) => {
                let sign = if *thousandths < 0 { "-" } else { "" };
                let (whole, rest) = (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
                let digits = format!("{rest:03}");
                let digits = digits.trim_end_matches('0');
                write!(f, "{sign}{whole}.{}", if digits.is_empty() { "0" } else { digits })
            }
            Self::String(text) => write_string(f, text),
            Self::Token(token) => f.write_str(token),
            Self::Bytes(bytes) => write_bytes(f, bytes),
            Self::Boolean(value) => f.write_str(if *value { "?1" } else { "?0" }),
        }
    }
}

/// A string in quotes (RFC 8941 §4.1.6).
pub(super) fn write_string(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    let is_special = |byte: u8| matches!(byte, b'"' | b'\\');
    let mut rest = text;
    out.write_char('"')?;
    while let Some((plain, special)) =
        rest.bytes().position(is_special).and_then(|at| rest.split_at_checked(at))
    {
        out.write_str(plain)?;
        out.write_char('\\')?;
        let (special, behind) = special.split_at_checked(1).unwrap_or((special, ""));
        out.write_str(special)?;
        rest = behind;
    }
    out.write_str(rest)?;
    out.write_char('"')
}

/// Bytes between colons (RFC 8941 §4.1.8).
pub(super) fn write_bytes(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    use base64::{display::Base64Display, prelude::BASE64_STANDARD};

    write!(out, ":{}:", Base64Display::new(bytes, &BASE64_STANDARD))
}

/// RFC 8941 §4.1.1.2.
fn write_params(f: &mut fmt::Formatter<'_>, params: &Params<'_>) -> fmt::Result {
    for (key, value) in params {
        write!(f, ";{key}")?;
        if *value != Bare::Boolean(true) {
            write!(f, "={value}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        write_params(f, &self.params)
    }
}

impl fmt::Display for InnerList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (place, item) in self.items.iter().enumerate() {
            write!(f, "{}{item}", if place == 0 { "" } else { " " })?;
        }
        f.write_str(")")?;
        write_params(f, &self.params)
    }
}

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => item.fmt(f),
            Self::InnerList(list) => list.fmt(f),
            Self::Known(text, params) => {
                f.write_str(text)?;
                write_params(f, params)
            }
        }
    }
}

/// RFC 8941 §4.1.1.
pub(super) fn list_text(members: &[Member<'_>]) -> String {
    members.iter().map(Member::to_string).collect::<Vec<_>>().join(", ")
}

/// RFC 8941 §4.1.2.
pub(super) fn dictionary_text(members: &Dictionary<'_>) -> String {
    let text = |(key, member): &(&str, Member<'_>)| match member {
        Member::Item(Item { value: Bare::Boolean(true), params }) => {
            let bare = Item { value: Bare::Boolean(true), params: params.clone() }.to_string();
            format!("{key}{}", bare.strip_prefix("?1").unwrap_or_default())
        }
        other => format!("{key}={other}"),
    };
    members.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_rfc_8941_section_4_1_says() {
        for (read, written) in [
            ("1", "1"),
            ("-0", "0"),
            ("0042", "42"),
            ("999999999999999", "999999999999999"),
            ("4.50", "4.5"),
            ("-0.250", "-0.25"),
            ("1.0", "1.0"),
            ("123456789012.345", "123456789012.345"),
            (r#""a \"quoted\" \\ text""#, r#""a \"quoted\" \\ text""#),
            ("*tok/en:1", "*tok/en:1"),
            (":aGVsbG8=:", ":aGVsbG8=:"),
            ("::", "::"),
            ("?0", "?0"),
            ("a;x;y=?0;z=?1", "a;x;y=?0;z"),
            ("  a;  x ", "a;x"),
        ] {
            assert_eq!(item(read).unwrap().to_string(), written, "{read}");
        }
    }

    #[test]
    fn members_are_written_as_rfc_8941_section_4_1_says() {
        let read = "a=1,    b=2;x=1;y=2,\tc=(a   b   c), d, e;q=1.10, f=?0, g=()";
        let members = dictionary(read).unwrap();
        assert_eq!(dictionary_text(&members), "a=1, b=2;x=1;y=2, c=(a b c), d, e;q=1.1, f=?0, g=()");
        assert_eq!(list_text(&list("a ,b,( \"x\";y  z );p").unwrap()), "a, b, (\"x\";y z);p");
        assert_eq!(list_text(&list("").unwrap()), "");
    }
}
