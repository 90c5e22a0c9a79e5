use std::net::IpAddr;

use http::HeaderValue;

use super::{Scheme, address, scheme_named};

/// What one proxy says about its peer (RFC 7239 §4, `forwarded-element`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// `for`, when it is an address; `unknown` and obfuscated names (§6.2, §6.3) are none.
    pub(super) client: Option<IpAddr>,
    /// `proto`.
    pub(super) scheme: Option<Scheme>,
}

/// Reads all lines as one list, or nothing when any part of them is malformed: then nobody knows where an element ends.
pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a HeaderValue>) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    for line in lines {
        let mut rest = line.to_str().ok()?;
        loop {
            let (element, after) = element(rest)?;
            elements.push(element);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return None,
            }
        }
    }
    Some(elements)
}

fn element(mut rest: &str) -> Option<(Element, &str)> {
    let mut found = Element { client: None, scheme: None };
    let mut seen: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let (name, after) = token(rest)?;
        let (value, after) = value(after.strip_prefix('=')?)?;
        let name = name.to_ascii_lowercase();
        // §4: a parameter must not occur twice in an element.
        if seen.contains(&name) {
            return None;
        }
        match name.as_str() {
            "for" => found.client = address(&value),
            "proto" => found.scheme = scheme_named(&value),
            _ => {}
        }
        seen.push(name);
        rest = after.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None => return Some((found, rest)),
        }
    }
}

/// `token` (RFC 9110 §5.6.2).
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `token / quoted-string` (RFC 9110 §5.6.4).
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Many senders leave `for=192.0.2.1:80` unquoted; a colon is no token, and the address is clear.
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (!value.is_empty() && !value.contains(['"', '='])).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Vec<Element>> {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        parse(lines.iter())
    }

    fn of(client: &str, scheme: Option<Scheme>) -> Element {
        Element { client: client.parse().ok(), scheme }
    }

    #[test]
    fn the_examples_of_rfc_7239_section_4_are_read() {
        assert_eq!(read(&[r#"for="_gazonk""#]), Some(vec![of("", None)]));
        assert_eq!(read(&[r#"For="[2001:db8:cafe::17]:4711""#]), Some(vec![of("2001:db8:cafe::17", None)]));
        assert_eq!(
            read(&["for=192.0.2.60;proto=http;by=203.0.113.43"]),
            Some(vec![of("192.0.2.60", Some(Scheme::Http))])
        );
        assert_eq!(
            read(&["for=192.0.2.43, for=198.51.100.17"]),
            Some(vec![of("192.0.2.43", None), of("198.51.100.17", None)])
        );
        assert_eq!(read(&["for=192.0.2.43", "for=198.51.100.17"]).map(|all| all.len()), Some(2));
    }

    #[test]
    fn separators_inside_quotes_do_not_separate() {
        let elements = read(&[r#"by="a, for=1.1.1.1; \"x";for=192.0.2.1"#]);
        assert_eq!(elements, Some(vec![of("192.0.2.1", None)]));
    }

    #[test]
    fn malformed_lists_are_nothing_at_all() {
        for bad in [
            "",
            "for",
            "for=",
            "for=\"",
            "for=1.1.1.1;for=2.2.2.2",
            "=1.1.1.1",
            "for=1.1.1.1,,",
            "for=a\"b",
            "for=1.1.1.1 x",
        ] {
            assert_eq!(read(&["for=192.0.2.1", bad]), None, "{bad}");
        }
    }
}
