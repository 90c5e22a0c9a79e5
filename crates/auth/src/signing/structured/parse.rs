use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Bare, Dictionary, InnerList, Item, Member, Params};

/// More members are refused. RFC 8941 §3.2 asks general readers to take 1,024; fields that are signed, or sign, have a handful, and
/// each is compared with each before any signature has been checked.
const MEMBERS_MAX: usize = 64;
/// As RFC 8941 asks: items of an inner list (§3.1.1) and parameters (§3.1.2).
const INNER_ITEMS_MAX: usize = 256;
const PARAMS_MAX: usize = 64;

/// Reads a dictionary (RFC 8941 §4.2.2). `None` when it is none, or has a key twice.
pub(in crate::signing) fn dictionary(text: &str) -> Option<Dictionary<'_>> {
    // No inner list has no text.
    dictionary_knowing("", text)
}

/// Reads a dictionary as [`dictionary`] does, where `known` is the text of an inner list without its parameters: one that is
/// written like that, letter by letter, is not taken apart again ([`Member::Known`]).
pub(in crate::signing) fn dictionary_knowing<'a>(known: &str, text: &'a str) -> Option<Dictionary<'a>> {
    whole(text, |input| {
        let mut members = Dictionary::default();
        input.separated(|input| {
            let key = input.key()?;
            let member = if input.take('=') {
                input.known_list(known).or_else(|| input.member())?
            } else {
                Member::Item(Item { value: Bare::Boolean(true), params: input.params()? })
            };
            let is_sound = members.len() < MEMBERS_MAX && !members.has(key);
            members.push(key, member);
            is_sound.then_some(())
        })?;
        Some(members)
    })
}

/// Reads a list (RFC 8941 §4.2.1).
pub(in crate::signing) fn list(text: &str) -> Option<Vec<Member<'_>>> {
    whole(text, |input| {
        let mut members = Vec::new();
        input.separated(|input| {
            members.push(input.member()?);
            (members.len() <= MEMBERS_MAX).then_some(())
        })?;
        Some(members)
    })
}

/// Reads an item (RFC 8941 §4.2.3).
pub(in crate::signing) fn item(text: &str) -> Option<Item<'_>> {
    whole(text, Input::item)
}

/// Whether `text` is a key of a dictionary (RFC 8941 §3.1.2), of up to 64 characters.
pub(in crate::signing) fn is_key(text: &str) -> bool {
    let mut input = Input { rest: text };
    text.len() <= 64 && input.key().is_some() && input.rest.is_empty()
}

/// Reads all of `text`, with spaces around it (RFC 8941 §4.2).
fn whole<'a, T>(text: &'a str, read: impl FnOnce(&mut Input<'a>) -> Option<T>) -> Option<T> {
    let mut input = Input { rest: text.trim_matches(' ') };
    read(&mut input).filter(|_| input.rest.is_empty())
}

struct Input<'a> {
    rest: &'a str,
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    fn take(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes what consists of such bytes, which are ASCII.
    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let length = self.rest.bytes().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Reads members with commas between them; none at all is fine, and a comma at the end is not.
    fn separated(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.rest.is_empty() {
            return Some(());
        }
        loop {
            read(self)?;
            self.take_while(|byte| matches!(byte, b' ' | b'\t'));
            if self.rest.is_empty() {
                return Some(());
            }
            if !self.take(',') {
                return None;
            }
            self.take_while(|byte| matches!(byte, b' ' | b'\t'));
        }
    }

    fn member(&mut self) -> Option<Member<'a>> {
        if self.peek() == Some(b'(') {
            self.inner_list().map(Member::InnerList)
        } else {
            self.item().map(Member::Item)
        }
    }

    /// Takes the inner list that is written like `known`, with its parameters; `None`, and nothing is taken, for any other member.
    fn known_list(&mut self, known: &str) -> Option<Member<'a>> {
        if known.is_empty() || !self.rest.starts_with(known) {
            return None;
        }
        let (text, rest) = self.rest.split_at_checked(known.len())?;
        let mut behind = Input { rest };
        let params = behind.params()?;
        *self = behind;
        Some(Member::Known(text, params))
    }

    /// RFC 8941 §4.2.1.2.
    fn inner_list(&mut self) -> Option<InnerList<'a>> {
        let mut items = Vec::new();
        self.take('(').then_some(())?;
        loop {
            self.take_while(|byte| byte == b' ');
            if self.take(')') {
                return Some(InnerList { items, params: self.params()? });
            }
            items.push(self.item()?);
            let is_sound = matches!(self.peek(), Some(b' ' | b')')) && items.len() <= INNER_ITEMS_MAX;
            is_sound.then_some(())?;
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        Some(Item { value: self.bare()?, params: self.params()? })
    }

    /// RFC 8941 §4.2.3.2.
    fn params(&mut self) -> Option<Params<'a>> {
        let mut params = Params::new();
        while self.take(';') {
            self.take_while(|byte| byte == b' ');
            let key = self.key()?;
            let value = if self.take('=') { self.bare()? } else { Bare::Boolean(true) };
            let is_sound = params.len() < PARAMS_MAX && params.iter().all(|(known, _)| *known != key);
            params.push((key, value));
            is_sound.then_some(())?;
        }
        Some(params)
    }

    /// RFC 8941 §4.2.3.3.
    fn key(&mut self) -> Option<&'a str> {
        self.peek().filter(|byte| byte.is_ascii_lowercase() || *byte == b'*')?;
        Some(self.take_while(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
        }))
    }

    fn bare(&mut self) -> Option<Bare<'a>> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                Some(Bare::Token(self.take_while(|byte| is_tchar(byte) || matches!(byte, b':' | b'/'))))
            }
            b':' => self.bytes(),
            b'?' => self.boolean(),
            _ => None,
        }
    }

    /// RFC 8941 §4.2.4.
    fn number(&mut self) -> Option<Bare<'a>> {
        let sign = if self.take('-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if whole.is_empty() {
            return None;
        }
        if !self.take('.') {
            let number: i64 = (whole.len() <= 15).then(|| whole.parse().ok())??;
            return Some(Bare::Integer(sign * number));
        }
        let fraction = self.take_while(|byte| byte.is_ascii_digit());
        if whole.len() > 12 || !(1..=3).contains(&fraction.len()) {
            return None;
        }
        // At most 15 digits in all, so nothing overflows.
        let thousandths: i64 = format!("{whole}{fraction:0<3}").parse().ok()?;
        Some(Bare::Decimal(sign * thousandths))
    }

    /// RFC 8941 §4.2.5.
    fn string(&mut self) -> Option<Bare<'a>> {
        self.take('"').then_some(())?;
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let mut text = Cow::Borrowed(self.take_while(plain));
        loop {
            if self.take('"') {
                return Some(Bare::String(text));
            }
            if !self.take('\\') {
                return None;
            }
            let escaped = self.peek().filter(|byte| matches!(byte, b'"' | b'\\'))?;
            self.take(char::from(escaped));
            text.to_mut().push(char::from(escaped));
            text.to_mut().push_str(self.take_while(plain));
        }
    }

    /// RFC 8941 §4.2.7.
    fn bytes(&mut self) -> Option<Bare<'a>> {
        self.take(':').then_some(())?;
        let (text, rest) = self.rest.split_once(':')?;
        self.rest = rest;
        BASE64_STANDARD.decode(text).ok().map(Bare::Bytes)
    }

    /// RFC 8941 §4.2.8.
    fn boolean(&mut self) -> Option<Bare<'a>> {
        self.take('?').then_some(())?;
        match (self.take('1'), self.take('0')) {
            (true, false) => Some(Bare::Boolean(true)),
            (false, true) => Some(Bare::Boolean(false)),
            _ => None,
        }
    }
}

/// What names of fields and tokens consist of (RFC 9110 §5.6.2).
pub(in crate::signing) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signing::structured::{dictionary_text, list_text};

    #[test]
    fn what_is_no_item_is_refused() {
        for text in [
            "",
            "-",
            "1.",
            ".5",
            "1.2345",
            "1234567890123456",
            "1234567890123.0",
            "--1",
            "1 2",
            "\"",
            "\"a",
            "\"\\a\"",
            "\"\u{e9}\"",
            "\"a\nb\"",
            "\"\t\"",
            ":a",
            ":a:",
            ":YQ:",
            ":YR==:",
            ":YQ===:",
            ":Y Q=:",
            ":YQ==",
            "?",
            "?2",
            "?10",
            "a;",
            "a;X=1",
            "a;x=",
            "a;x=1;x=2",
            "a;x;x",
            "(a)",
            "a b",
            "a,",
            "\u{e9}",
            "\0",
            "{}",
            "@1",
        ] {
            assert_eq!(item(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            "A=1",
            "a=",
            "a=1,",
            ",a=1",
            "a=1,,b=2",
            "a=1 b=2",
            "a=1;",
            "a=(",
            "a=(b",
            "a=(b,c)",
            "a=(b)c",
            "a=(\"x\"\"y\")",
            "a=1, a=2",
            "a, a",
            "a=(b) ;x",
            "1=a",
            "a =1",
            "a= 1",
            "a=1\n",
            "a=(b\tc)",
        ] {
            assert_eq!(dictionary(text), None, "{text:?}");
        }
        assert_eq!(dictionary("  ").unwrap().len(), 0);
    }

    #[test]
    fn sizes_are_bounded() {
        let members = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>();
        assert!(dictionary(&members(MEMBERS_MAX).join(",")).is_some());
        assert!(dictionary(&members(MEMBERS_MAX + 1).join(",")).is_none());
        assert!(list(&members(MEMBERS_MAX + 1).join(",")).is_none());
        assert!(list(&format!("({})", members(256).join(" "))).is_some());
        assert!(list(&format!("({})", members(257).join(" "))).is_none());
        assert!(item(&format!("a;{}", members(64).join(";"))).is_some());
        assert!(item(&format!("a;{}", members(65).join(";"))).is_none());
    }

    /// Texts that are nearly fields, so that many of them are.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,40}",
            r#"([a-c]=)?(\(?("[a-z"\\]{0,3}"|[a-z*][a-z:/]{0,3}|-?[0-9]{1,16}(\.[0-9]{1,4})?|:[A-Za-z0-9+/=]{0,8}:|\?[01])(;[a-z](=1)?)?\)?(, ?| )?){1,4}"#,
        ]
    }

    proptest! {
        #[test]
        fn fuzz_structured_what_is_read_and_written_is_read_as_the_same(text in text()) {
            if let Some(read) = item(&text) {
                let written = read.to_string();
                prop_assert_eq!(item(&written), Some(read));
            }
            if let Some(read) = list(&text) {
                let written = list_text(&read);
                prop_assert_eq!(list(&written), Some(read));
            }
            if let Some(read) = dictionary(&text) {
                let written = dictionary_text(&read);
                prop_assert_eq!(dictionary(&written), Some(read));
            }
        }
    }
}
