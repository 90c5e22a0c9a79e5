use std::{fmt, sync::Arc, time::Duration};

use super::{KeySource, SignatureComponent, structured};

/// What requests have to be like whose signatures are accepted.
///
/// `@method`, `@authority`, `@target-uri` and `content-digest` are always covered, and `created`, `nonce` and `keyid` always
/// there; nothing here takes that away.
#[derive(Debug, Clone)]
pub struct RequestVerifierConfig {
    /// What has to be covered beside. Default none.
    pub also_required: Vec<SignatureComponent>,
    /// How far `created` may be from the present, either way; 1 s to 60 s, default 60 s.
    pub created_skew: Duration,
    /// The label of the signature that counts, where a request may have several. `None`, the default, accepts requests with
    /// exactly one, whatever it is called.
    pub label: Option<String>,
    /// The `tag` that a signature has to have. `None`, the default, accepts those without one.
    pub tag: Option<String>,
    /// The most of a body that is hashed, in bytes; at most 64 MiB, default 1 MiB.
    pub body_bytes_max: usize,
    /// Signatures as the replaced systems made them. Default `None`: they are not looked at.
    pub legacy: Option<LegacyConfig>,
}

/// What signatures of the replaced systems have to be like.
#[derive(Debug, Clone)]
pub struct LegacyConfig {
    /// Whose they are: keys of `HS256` under the names that [`LegacySigner::verifying_key`](super::LegacySigner::verifying_key)
    /// gives them.
    pub callers: Arc<dyn KeySource>,
    /// How far `X-Timestamp` may be from the present, either way; 1 s to 300 s, default 300 s.
    pub skew: Duration,
}

impl Default for RequestVerifierConfig {
    fn default() -> Self {
        Self {
            also_required: Vec::new(),
            created_skew: Self::CREATED_SKEW_MAX,
            label: None,
            tag: None,
            body_bytes_max: 1_024 * 1_024,
            legacy: None,
        }
    }
}

impl LegacyConfig {
    const SKEW_MAX: Duration = Duration::from_secs(300);

    /// Accepts the signatures of `callers`, with the default skew.
    #[must_use]
    pub fn new(callers: Arc<dyn KeySource>) -> Self {
        Self { callers, skew: Self::SKEW_MAX }
    }
}

impl RequestVerifierConfig {
    const CREATED_SKEW_MAX: Duration = Duration::from_secs(60);
    const BODY_BYTES_MAX: usize = 64 * 1_024 * 1_024;
    const TAG_BYTES_MAX: usize = 256;

    /// Checks all values.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self) -> Result<(), RequestVerifierConfigProblems> {
        let second = Duration::from_secs(1);
        let tag_is_sound = |tag: &String| {
            (1..=Self::TAG_BYTES_MAX).contains(&tag.len())
                && tag.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let checks = [
            (
                (second..=Self::CREATED_SKEW_MAX).contains(&self.created_skew),
                RequestVerifierConfigProblem::CreatedSkew,
            ),
            (self.label.as_deref().is_none_or(structured::is_key), RequestVerifierConfigProblem::Label),
            (self.tag.as_ref().is_none_or(tag_is_sound), RequestVerifierConfigProblem::Tag),
            (self.body_bytes_max <= Self::BODY_BYTES_MAX, RequestVerifierConfigProblem::BodyBytesMax),
            (
                self.legacy
                    .as_ref()
                    .is_none_or(|legacy| (second..=LegacyConfig::SKEW_MAX).contains(&legacy.skew)),
                RequestVerifierConfigProblem::LegacySkew,
            ),
        ];
        let problems: Vec<_> =
            checks.into_iter().filter(|(sound, _)| !sound).map(|(_, problem)| problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(RequestVerifierConfigProblems(problems)) }
    }
}

/// What is wrong with one value of a [`RequestVerifierConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestVerifierConfigProblem {
    /// `created_skew` is not 1 s to 60 s.
    #[error("the skew of signed requests is 1 s to 60 s")]
    CreatedSkew,
    /// `label` is no key of a dictionary.
    #[error("a label of signatures begins with a-z or `*` and has a-z, 0-9, `_`, `-`, `.`, `*` after that")]
    Label,
    /// `tag` is empty, longer than 256 bytes, or has other characters than printable ASCII.
    #[error("a tag of signatures has 1 to 256 characters of printable ASCII")]
    Tag,
    /// `body_bytes_max` is above 64 MiB.
    #[error("the body of a signed request has at most 64 MiB")]
    BodyBytesMax,
    /// `legacy.skew` is not 1 s to 300 s.
    #[error("the skew of requests signed as in replaced systems is 1 s to 300 s")]
    LegacySkew,
}

/// Everything that is wrong with a [`RequestVerifierConfig`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RequestVerifierConfigProblems(pub Vec<RequestVerifierConfigProblem>);

impl fmt::Display for RequestVerifierConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FixedKeys;

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        assert!(RequestVerifierConfig::default().validate().is_ok());
        let legacy = LegacyConfig::new(Arc::new(FixedKeys::new()));
        let config = RequestVerifierConfig {
            created_skew: Duration::from_secs(61),
            label: Some("Sig 1".to_owned()),
            tag: Some(String::new()),
            body_bytes_max: usize::MAX,
            legacy: Some(LegacyConfig { skew: Duration::from_secs(301), ..legacy }),
            ..RequestVerifierConfig::default()
        };
        let problems = config.validate().unwrap_err();
        assert_eq!(problems.0.len(), 5, "{problems}");
        let instant =
            RequestVerifierConfig { created_skew: Duration::ZERO, ..RequestVerifierConfig::default() };
        assert_eq!(instant.validate().unwrap_err().0, [RequestVerifierConfigProblem::CreatedSkew]);
    }
}
