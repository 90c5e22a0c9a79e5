//! Query parameters as `application/x-www-form-urlencoded` has them (WHATWG URL §5), which RFC 9421 §2.2.8 refers to.

use std::fmt::Write as _;

/// The value of the one parameter called `name`, both encoded. `None` when there is none, or more than one.
pub(super) fn param(query: &str, name: &str) -> Option<String> {
    let mut found = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if encoded(key) == name && found.replace(value).is_some() {
            return None;
        }
    }
    found.map(encoded)
}

/// Decodes a part of a query, and encodes it in the one way that is signed.
fn encoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind.split_at_checked(2)) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some((&[high, low], behind))) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(high) * 16 + digit(low));
                rest = behind;
            }
            _ => bytes.push(byte),
        }
    }
    let mut out = String::with_capacity(part.len());
    // What is no UTF-8 is decoded to U+FFFD.
    for byte in String::from_utf8_lossy(&bytes).bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What a hexadecimal digit stands for.
fn digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_rfc_9421_section_2_2_8_shows() {
        let query = "param=value&foo=bar&baz=batman&qux=";
        for (name, value) in [("baz", "batman"), ("qux", ""), ("param", "value")] {
            assert_eq!(param(query, name).unwrap(), value);
        }
        let query = "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
        for (name, value) in [
            ("var", "this%20is%20a%20big%0Amultiline%20value"),
            ("bar", "with%20plus%20whitespace"),
            ("fa%C3%A7ade%22%3A%20", "something"),
        ] {
            assert_eq!(param(query, name).unwrap(), value);
        }
    }

    #[test]
    fn a_parameter_that_is_missing_or_there_twice_has_no_value() {
        assert_eq!(param("a=1&b=2", "c"), None);
        assert_eq!(param("a=1&b=2&a=3", "a"), None);
        // Two spellings of one name are two of it.
        assert_eq!(param("a=1&%61=3", "a"), None);
        assert_eq!(param("", "a"), None);
        assert_eq!(param("a=1&&a", ""), None);
        assert_eq!(param("a&=x", ""), Some("x".to_owned()));
        assert_eq!(param("%zz=%4&b=%", "%25zz"), Some("%254".to_owned()));
        assert_eq!(param("a=%ff", "a"), Some("%EF%BF%BD".to_owned()));
    }
}
