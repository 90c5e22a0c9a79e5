/// The pattern of `LIKE … ESCAPE '\'` for "contains `text`", on a column that is in lower case.
pub(crate) fn contains(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // PostgreSQL has no NUL in text; no row has one either, so nothing is found, as it should be.
        pattern.push(if character == '\0' { '\u{fffd}' } else { character });
    }
    pattern.push('%');
    pattern
}
