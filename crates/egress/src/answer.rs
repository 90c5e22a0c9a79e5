use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode, header};

use crate::Error;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it was read.
    Whole,
    /// There is more than was to be read.
    TooLarge {
        /// How much was to be read.
        bytes_max: usize,
    },
    /// The time was up.
    TimedOut,
    /// It broke off.
    Broken,
}

/// What the other side answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status. Redirects are answers like others: none is followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// Whether that is all of it.
    pub ending: Ending,
}

impl Answer {
    /// The body, if it was read to its end.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Timeout`], [`Error::Broken`].
    pub fn whole(self) -> Result<Bytes, Error> {
        match self.ending {
            Ending::Whole => Ok(self.body),
            Ending::TooLarge { bytes_max } => Err(Error::TooLarge { bytes_max }),
            Ending::TimedOut => Err(Error::Timeout),
            Ending::Broken => Err(Error::Broken(None)),
        }
    }

    /// How the body begins, for people: up to `bytes_max` bytes of text, with `U+FFFD` for what is no text.
    #[must_use]
    pub fn excerpt(&self, bytes_max: usize) -> String {
        let mut excerpt = String::new();
        for one in String::from_utf8_lossy(&self.body).chars() {
            let shown = if one.is_control() && !matches!(one, '\n' | '\t') { '\u{fffd}' } else { one };
            if excerpt.len() + shown.len_utf8() > bytes_max {
                break;
            }
            excerpt.push(shown);
        }
        excerpt
    }

    /// How long the other side asks to be left alone from `now` on: `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date.
    #[must_use]
    pub fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let at = DateTime::parse_from_rfc2822(text).ok()?;
        at.with_timezone(&Utc).signed_duration_since(now).to_std().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static [u8], ending: Ending) -> Answer {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from_static(body), ending }
    }

    #[test]
    fn an_excerpt_is_text_of_that_length() {
        let body = "a\0b\u{1b}[1mäöü".as_bytes();
        assert_eq!(answer(body, Ending::Whole).excerpt(100), "a\u{fffd}b\u{fffd}[1mäöü");
        assert_eq!(answer("ää".as_bytes(), Ending::Whole).excerpt(3), "ä");
        assert_eq!(answer(b"\xff\xfe", Ending::Whole).excerpt(5), "\u{fffd}");
        assert_eq!(answer(b"", Ending::Whole).excerpt(5), "");
    }

    #[test]
    fn half_a_body_is_not_taken_for_the_whole() {
        assert_eq!(answer(b"a", Ending::Whole).whole().unwrap(), "a");
        for (ending, code) in [
            (Ending::TooLarge { bytes_max: 1 }, "egress_too_large"),
            (Ending::TimedOut, "egress_timeout"),
            (Ending::Broken, "egress_answer_broken"),
        ] {
            assert_eq!(answer(b"a", ending).whole().unwrap_err().code(), code);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let read = |text: &str| {
            let mut answer = answer(b"", Ending::Whole);
            answer.headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            answer.retry_after(now).map(|wait| wait.as_secs())
        };
        assert_eq!(
            (read("120"), read(" 7 "), read("Sun, 01 Mar 2026 12:01:00 GMT")),
            (Some(120), Some(7), Some(60))
        );
        assert_eq!(read("99999999999999999999"), Some(u64::MAX));
        for none in ["", "-1", "soon", "1.5", "Sun, 01 Mar 2026 11:59:00 GMT", "2026-03-01T12:01:00Z"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(answer(b"", Ending::Whole).retry_after(now), None);
    }
}
