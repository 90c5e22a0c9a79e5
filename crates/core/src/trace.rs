use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct TraceParentInvalid;

/// Which trace something belongs to, and after which span of it (W3C Trace Context §3.2, the header `traceparent`).
///
/// It is read once and written as version 00. Of later versions the parts that 00 knows are taken (§3.2.4). Texts with capitals,
/// with ids of zeros only, or with more parts than 00 has are refused, as the standard has it.
///
/// ```
/// use stylobate_core::TraceParent;
///
/// let trace: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// `00-` and 32, 16 and 2 digits with dashes between them.
const CHARS: usize = 55;
/// The one flag that later versions keep the meaning of.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// The trace.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The span of it that comes before.
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// Whether whoever began the trace keeps it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// The digits of `part` without signs, blanks and capitals, which the standard library would let pass.
fn digits(part: &str, length: usize) -> Option<u128> {
    let is_sound = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_sound { u128::from_str_radix(part, 16).ok() } else { None }
}

fn parse(text: &str) -> Option<TraceParent> {
    let (known, rest) = text.split_at_checked(CHARS)?;
    let mut parts = known.split('-');
    let version = digits(parts.next()?, 2)?;
    let trace_id = digits(parts.next()?, 32)?;
    let parent_id = u64::try_from(digits(parts.next()?, 16)?).ok()?;
    let flags = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    let is_sound = match version {
        0 => rest.is_empty(),
        // Forbidden.
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    if !is_sound || parts.next().is_some() || trace_id == 0 || parent_id == 0 {
        return None;
    }
    let flags = if version == 0 { flags } else { flags & SAMPLED };
    Some(TraceParent { trace_id, parent_id, flags })
}

impl FromStr for TraceParent {
    type Err = TraceParentInvalid;

    fn from_str(text: &str) -> Result<Self, TraceParentInvalid> {
        parse(text).ok_or(TraceParentInvalid)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_that_of_the_standard_and_nothing_else() {
        let trace: TraceParent = TRACE.parse().unwrap();
        assert_eq!((trace.to_string().as_str(), trace.is_sampled()), (TRACE, true));
        for wrong in [
            "",
            "00",
            "a trace",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é1-01",
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(TraceParentInvalid), "{wrong}");
        }
    }

    #[test]
    fn of_a_later_version_is_taken_what_is_known() {
        for later in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what",
        ] {
            assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), TRACE);
        }
    }

    #[test]
    fn it_is_a_text_in_json() {
        let trace: TraceParent = TRACE.parse().unwrap();
        let json = serde_json::to_string(&trace).unwrap();
        assert_eq!(json, format!("\"{TRACE}\""));
        assert_eq!(serde_json::from_str::<TraceParent>(&json).unwrap(), trace);
        assert!(serde_json::from_str::<TraceParent>("\"00\"").is_err());
    }
}
