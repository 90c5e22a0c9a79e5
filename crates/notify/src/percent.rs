/// Takes the percent-encoding off a name or password; `None` when it is wrong, and for control characters: they would end the
/// command or header that says it.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => *hex::decode([rest.next()?, rest.next()?]).ok()?.first()?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_is_encoded_wrongly_or_ends_a_line_is_none() {
        assert_eq!(decoded("a%40b%C3%a4+").unwrap(), "a@bä+");
        for wrong in ["%", "%4", "%4x", "%+4", "%FF", "a%0d%0ab", "a%00", "\u{7f}"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
