use std::{fmt, str::FromStr};

/// A phone number that messages can be sent to: E.164, `+` and 7 to 15 digits with the country first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// A text that is no phone number with its country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a phone number: `+`, the country, and 7 to 15 digits in all")]
pub struct PhoneInvalid;

impl PhoneNumber {
    /// The number: `+436601234567`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`, as some gateways want them.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneInvalid;

    /// Spaces, hyphens, dots, slashes and brackets between digits are how people write; nothing else is taken.
    fn from_str(text: &str) -> Result<Self, PhoneInvalid> {
        let rest = text.trim().strip_prefix('+').ok_or(PhoneInvalid)?;
        // Longer than any way of writing 15 digits.
        if rest.len() > 40 {
            return Err(PhoneInvalid);
        }
        let mut digits = String::with_capacity(15);
        for one in rest.chars() {
            match one {
                '0'..='9' => digits.push(one),
                ' ' | '-' | '.' | '/' | '(' | ')' => {}
                _ => return Err(PhoneInvalid),
            }
        }
        // No country begins with 0 (ITU-T E.164 §6).
        if !(7..=15).contains(&digits.len()) || digits.starts_with('0') {
            return Err(PhoneInvalid);
        }
        Ok(Self(format!("+{digits}")))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for text in ["+436601234567", "+43 660 123-4567", " +43 (660) 123.45/67 "] {
            assert_eq!(text.parse::<PhoneNumber>().unwrap().as_str(), "+436601234567", "{text}");
        }
        assert_eq!("+1 555 0100".parse::<PhoneNumber>().unwrap().digits(), "15550100");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "+",
            "436601234567",
            "00436601234567",
            "+0436601234567",
            "+123456",
            "+1234567890123456",
            "+43660\n1234567",
            "+43660;1234567",
            "+43x6601234567",
            "+٤٣٦٦٠١٢٣٤",
            "+43 660\t1234567",
            "++436601234567",
        ] {
            assert_eq!(text.parse::<PhoneNumber>(), Err(PhoneInvalid), "{text}");
        }
        let long = format!("+{}", " ".repeat(50));
        assert_eq!(long.parse::<PhoneNumber>(), Err(PhoneInvalid));
    }
}
