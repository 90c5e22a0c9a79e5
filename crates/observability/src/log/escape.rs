use std::fmt;

use crate::LogFormat;

/// The longest value that is written, in bytes: enough for any error chain, and no caller can fill a disk with one line.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Writes text so that it stays on its line and cannot steer a terminal (SECURITY C39).
pub(super) struct Escaped<'a> {
    out: &'a mut String,
    format: LogFormat,
    left: usize,
}

impl<'a> Escaped<'a> {
    pub(super) fn new(out: &'a mut String, format: LogFormat) -> Self {
        Self { out, format, left: VALUE_BYTES_MAX }
    }
}

/// Characters that end a line, steer a terminal, or reorder the text around them (Unicode UAX #9 §2).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                return Ok(());
            }
            self.left = self.left.saturating_sub(c.len_utf8());
            if self.left == 0 {
                self.out.push('…');
                return Ok(());
            }
            match (self.format, c) {
                (_, '\n') => self.out.push_str("\\n"),
                (_, '\r') => self.out.push_str("\\r"),
                (_, '\t') => self.out.push_str("\\t"),
                (LogFormat::Json, '"') => self.out.push_str("\\\""),
                (LogFormat::Json, '\\') => self.out.push_str("\\\\"),
                // All of them are in the basic plane, so four digits suffice (RFC 8259 §7).
                (LogFormat::Json, c) if is_unsafe(c) => write!(self.out, "\\u{:04x}", u32::from(c))?,
                (LogFormat::Pretty, c) if is_unsafe(c) => write!(self.out, "\\u{{{:x}}}", u32::from(c))?,
                (_, c) => self.out.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn escaped(format: LogFormat, text: &str) -> String {
        let mut out = String::new();
        Escaped::new(&mut out, format).write_str(text).unwrap();
        out
    }

    #[test]
    fn every_character_that_steers_a_terminal_or_a_line_is_escaped() {
        for c in (0..=0x11_0000).filter_map(char::from_u32).filter(|c| is_unsafe(*c)) {
            for format in [LogFormat::Json, LogFormat::Pretty] {
                assert!(escaped(format, &c.to_string()).is_ascii(), "{c:?}");
            }
        }
        // A24, C39
        assert_eq!(
            escaped(LogFormat::Pretty, "a\u{1b}[31m\r\n\u{2028}\u{9b}"),
            r"a\u{1b}[31m\r\n\u{2028}\u{9b}"
        );
    }

    #[test]
    fn json_escapes_read_back_as_the_text() {
        let text = "q\" b\\ n\n t\t \u{1b}[0m \u{7f} \u{85} \u{2029} \u{202e} é 🦀";
        let json = format!("\"{}\"", escaped(LogFormat::Json, text));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_value_without_end_is_cut() {
        let out = escaped(LogFormat::Json, &"é".repeat(100_000));
        assert!(out.ends_with('…') && out.len() <= VALUE_BYTES_MAX + 4);
    }
}
