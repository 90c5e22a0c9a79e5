/// Whether `character` has no look of its own: control characters, soft hyphen, zero-width ones, ends of lines, direction marks, the byte
/// order mark. Two names that differ in them alone would be read as one.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_look_is_told_from_what_has() {
        for character in ['\0', '\n', '\u{7f}', '\u{ad}', '\u{200b}', '\u{2028}', '\u{202e}', '\u{feff}'] {
            assert!(is_invisible(character), "{character:?}");
        }
        for character in ['a', ' ', '-', 'ü', '\u{a0}', '\u{3000}', '\u{301}', '株'] {
            assert!(!is_invisible(character), "{character:?}");
        }
    }
}
