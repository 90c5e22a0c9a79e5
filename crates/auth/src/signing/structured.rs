//! Structured field values (RFC 8941), as far as signatures need them, read strictly.
//!
//! Where the RFC lets the last of several members or parameters of one name win, this reader refuses: whoever checks a
//! signature must not see another message than whoever uses it. Base64 is canonical, with its padding.

use std::{borrow::Cow, fmt};

mod parse;

pub(super) use parse::{dictionary, is_key, is_tchar, item, list};

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
}

/// Members by their keys, in the order in which they came (RFC 8941 §3.2).
pub(super) type Dictionary<'a> = Vec<(&'a str, Member<'a>)>;

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
    out.write_char('"')?;
    for part in text.split_inclusive(['"', '\\']) {
        match part.char_indices().next_back() {
            Some((at, special @ ('"' | '\\'))) => {
                out.write_str(part.split_at(at).0)?;
                out.write_char('\\')?;
                out.write_char(special)?;
            }
            _ => out.write_str(part)?,
        }
    }
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
