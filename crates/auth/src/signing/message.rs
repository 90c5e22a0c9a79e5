use std::{borrow::Cow, fmt};

use super::{TargetUri, structured};

/// The fields of a message, borrowed: each line by itself, in the order in which they came. Names in any case.
#[derive(Clone, Default)]
pub struct MessageFields<'a>(Vec<(&'a str, &'a [u8])>);

/// A request, as far as a signature may cover it.
#[derive(Debug, Clone)]
pub struct RequestParts<'a> {
    /// The method as it was sent: its case counts.
    pub method: &'a str,
    /// What it is for.
    pub target: &'a TargetUri,
    /// Its fields.
    pub fields: MessageFields<'a>,
}

/// A response, as far as a signature may cover it.
#[derive(Debug, Clone)]
pub struct ResponseParts<'a> {
    /// The status, 100 to 599.
    pub status: u16,
    /// Its fields.
    pub fields: MessageFields<'a>,
    /// The request it answers, for components with `req` (RFC 9421 §2.4).
    pub request: Option<&'a RequestParts<'a>>,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub enum SignedMessage<'a> {
    /// A request.
    Request(&'a RequestParts<'a>),
    /// A response.
    Response(&'a ResponseParts<'a>),
}

impl<'a> MessageFields<'a> {
    /// The values of the field called `name`, which is in lower case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        // Servers hand most names over in lower case.
        let is_named = move |known: &str| known == name || known.eq_ignore_ascii_case(name);
        self.0.iter().filter(move |(known, _)| is_named(known)).map(|(_, value)| *value)
    }

    /// Whether there is a field called `name`, which is in lower case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The same fields with one value of `name` in the place of all others.
    pub(super) fn with_only(mut self, name: &'a str, value: &'a [u8]) -> Self {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.0.push((name, value));
        self
    }

    /// All lines of a field as one text of at most `bytes_max` bytes (RFC 9421 §2.1). `None` when there is none.
    pub(super) fn combined(&self, name: &str, bytes_max: usize) -> Result<Option<Cow<'a, str>>, Uncombined> {
        let mut text = None::<Cow<'a, str>>;
        for value in self.values(name) {
            if text.as_ref().map_or(0, |text| text.len()) + value.len() > bytes_max {
                return Err(Uncombined::TooLong);
            }
            let line = canonical(value).ok_or(Uncombined::Malformed)?;
            match &mut text {
                None => text = Some(line),
                Some(text) => {
                    let text = text.to_mut();
                    text.push_str(", ");
                    text.push_str(&line);
                }
            }
        }
        Ok(text)
    }

    /// Each line as bytes (RFC 9421 §2.1.3). `None` when there is no line, or one that cannot be in a message.
    pub(super) fn wrapped(&self, name: &str) -> Option<String> {
        let mut out = String::new();
        for value in self.values(name) {
            if !out.is_empty() {
                out.push_str(", ");
            }
            structured::write_bytes(&mut out, &unfolded(value)?).ok()?;
        }
        (!out.is_empty()).then_some(out)
    }
}

/// Why the lines of a field are no one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uncombined {
    TooLong,
    Malformed,
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for MessageFields<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl fmt::Debug for MessageFields<'_> {
    /// The names alone: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Whitespace around values (RFC 9110 §5.6.3).
fn is_whitespace(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What a line consists of, once it is unfolded. No byte ends the loop, so that many are looked at together.
fn is_text(line: &[u8]) -> bool {
    line.iter().fold(true, |is_text, byte| is_text & matches!(byte, b' '..=b'~' | b'\t'))
}

/// One line of a field as it is signed (RFC 9421 §2.1 steps 2 and 3). `None` for what is not ASCII text (§2.5 step 4), or holds
/// a line break that folds nothing.
fn canonical(value: &[u8]) -> Option<Cow<'_, str>> {
    match unfolded(value)? {
        line if !is_text(&line) => None,
        Cow::Borrowed(line) => std::str::from_utf8(line).ok().map(Cow::Borrowed),
        Cow::Owned(line) => String::from_utf8(line).ok().map(Cow::Owned),
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let begin = value.iter().position(|byte| !is_whitespace(*byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_whitespace(*byte)).map_or(begin, |last| last + 1);
    value.get(begin..end).unwrap_or_default()
}

/// A line without the whitespace around it, and with one space for each obsolete fold (RFC 9112 §5.2).
fn unfolded(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let value = trimmed(value);
    let has_break =
        |line: &[u8]| line.iter().fold(false, |has, byte| has | matches!(byte, b'\r' | b'\n' | 0));
    if !has_break(value) {
        return Some(value.into());
    }
    let mut lines = value.split(|byte| *byte == b'\n');
    let mut out = lines.next()?.strip_suffix(b"\r")?.to_vec();
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        let line = if lines.peek().is_some() { line.strip_suffix(b"\r")? } else { line };
        let text = line.iter().position(|byte| !is_whitespace(*byte)).filter(|indent| *indent > 0)?;
        while out.last().is_some_and(|byte| is_whitespace(*byte)) {
            out.pop();
        }
        out.push(b' ');
        out.extend_from_slice(line.get(text..)?);
    }
    (!has_break(&out)).then(|| out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_canonical_as_rfc_9421_section_2_1_says() {
        for (value, expected) in [
            (&b"www.example.com"[..], "www.example.com"),
            (b"  Leading and trailing whitespace. ", "Leading and trailing whitespace."),
            (b"Obsolete\r\n    line folding.", "Obsolete line folding."),
            (b"Obsolete \t\r\n\tline\r\n  folding.", "Obsolete line folding."),
            (b"a=1,    b=2;x=1;y=2,   c=(a   b   c)", "a=1,    b=2;x=1;y=2,   c=(a   b   c)"),
            (b"inner\ttab", "inner\ttab"),
            (b"", ""),
            (b" \t ", ""),
        ] {
            assert_eq!(canonical(value).unwrap(), expected);
        }
    }

    #[test]
    fn line_breaks_that_fold_nothing_and_other_bytes_are_refused() {
        for value in [
            &b"a\nb"[..],
            b"a\rb",
            b"a\r\nb",
            b"a\n b",
            b"a\r\n \r\nb",
            b"a\r\n b\rc",
            b"a\r\n",
            b"\na",
            b"a\0b",
            b"caf\xe9",
            "caf\u{e9}".as_bytes(),
            b"a\x7fb",
            b"a\x1bb",
        ] {
            assert_eq!(canonical(value), None, "{value:?}");
        }
    }

    #[test]
    fn lines_are_combined_in_their_order() {
        let fields: MessageFields<'_> = [
            ("Cache-Control", &b"max-age=60"[..]),
            ("date", b"now"),
            ("cache-control", b"   must-revalidate"),
        ]
        .into_iter()
        .collect();
        let combined = fields.combined("cache-control", 100).unwrap();
        assert_eq!(combined.unwrap(), "max-age=60, must-revalidate");
        assert_eq!(fields.combined("expires", 100).unwrap(), None);
        assert_eq!(fields.combined("cache-control", 20), Err(Uncombined::TooLong));
        // A line that is canonical already is not copied.
        let date = |value| [("Date", value)].into_iter().collect::<MessageFields<'_>>().combined("date", 100);
        assert!(matches!(date(b"  now "), Ok(Some(Cow::Borrowed("now")))));
        assert!(matches!(date(b"no\r\n w"), Ok(Some(Cow::Owned(text))) if text == "no w"));
        let only = fields.with_only("cache-control", b"no-store");
        assert_eq!(only.combined("cache-control", 100).unwrap().unwrap(), "no-store");
        assert!(only.has("date"));
    }

    #[test]
    fn lines_with_commas_are_told_apart_when_wrapped() {
        let two = [("example-header", &b"value, with, lots"[..]), ("example-header", b" of, commas")];
        let two: MessageFields<'_> = two.into_iter().collect();
        assert_eq!(two.wrapped("example-header").unwrap(), ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:");
        let one: MessageFields<'_> =
            [("example-header", &b"value, with, lots, of, commas"[..])].into_iter().collect();
        assert_eq!(one.wrapped("example-header").unwrap(), ":dmFsdWUsIHdpdGgsIGxvdHMsIG9mLCBjb21tYXM=:");
        assert_eq!(one.wrapped("other"), None);
        let bytes: MessageFields<'_> = [("a", &b"\xe9"[..])].into_iter().collect();
        assert_eq!(bytes.wrapped("a").unwrap(), ":6Q==:");
    }

    #[test]
    fn values_of_fields_are_not_printed() {
        let fields: MessageFields<'_> = [("authorization", &b"Bearer s3cret"[..])].into_iter().collect();
        assert!(!format!("{fields:?}").contains("s3cret"));
    }
}
