use std::{fmt, time::Duration};

/// How access tokens are issued and checked. Everything that issues or checks them is made from the same values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// `iss`: who issues, compared character by character. 1 to 255 bytes; in production an https address.
    pub issuer: String,
    /// `aud`: whom tokens are for; a token may name others beside. 1 to 255 bytes.
    pub audience: String,
    /// How long a token lives; 1 second to 24 hours, in whole seconds, default 15 minutes. It also bounds what is
    /// accepted: a token made to live longer is refused. A revocation has to be remembered this long.
    pub lifetime: Duration,
    /// How far clocks may disagree; 0 to 30 s, default 5 s.
    pub leeway: Duration,
    /// How many verified tokens are remembered; at least 1, default 10,000, roughly 1 KiB each.
    pub cache_entries: usize,
}

impl TokenConfig {
    const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
    const LEEWAY_MAX: Duration = Duration::from_secs(30);
    const NAME_BYTES_MAX: usize = 255;

    /// Tokens of `issuer` for `audience`, with the defaults for the rest.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: Duration::from_secs(15 * 60),
            leeway: Duration::from_secs(5),
            cache_entries: 10_000,
        }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self) -> Result<(), TokenConfigProblems> {
        let name_is_sound = |name: &str| (1..=Self::NAME_BYTES_MAX).contains(&name.len());
        let lifetime_is_sound = (Duration::from_secs(1)..=Self::LIFETIME_MAX).contains(&self.lifetime)
            && self.lifetime.subsec_nanos() == 0;
        let checks = [
            (name_is_sound(&self.issuer), TokenConfigProblem::Issuer),
            (name_is_sound(&self.audience), TokenConfigProblem::Audience),
            (lifetime_is_sound, TokenConfigProblem::Lifetime),
            (self.leeway <= Self::LEEWAY_MAX, TokenConfigProblem::Leeway),
            (self.cache_entries > 0, TokenConfigProblem::CacheEntries),
        ];
        let problems: Vec<_> =
            checks.into_iter().filter(|(sound, _)| !sound).map(|(_, problem)| problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(TokenConfigProblems(problems)) }
    }
}

/// What is wrong with one value of a [`TokenConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenConfigProblem {
    /// The issuer is empty or too long.
    #[error("the token issuer needs 1 to 255 bytes")]
    Issuer,
    /// The audience is empty or too long.
    #[error("the token audience needs 1 to 255 bytes")]
    Audience,
    /// The lifetime is out of range.
    #[error("the token lifetime is 1 second to 24 hours, in whole seconds")]
    Lifetime,
    /// The leeway is out of range.
    #[error("the token leeway is at most 30 seconds")]
    Leeway,
    /// The cache has no room.
    #[error("the token cache needs room for at least one token")]
    CacheEntries,
}

impl TokenConfigProblem {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Issuer => "token_issuer_invalid",
            Self::Audience => "token_audience_invalid",
            Self::Lifetime => "token_lifetime_invalid",
            Self::Leeway => "token_leeway_invalid",
            Self::CacheEntries => "token_cache_invalid",
        }
    }
}

/// Everything that is wrong with a [`TokenConfig`]; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfigProblems(pub Vec<TokenConfigProblem>);

impl fmt::Display for TokenConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TokenConfigProblems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(TokenConfig::new("https://id.example.test", "api").validate(), Ok(()));
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let config = TokenConfig {
            issuer: String::new(),
            audience: "a".repeat(256),
            lifetime: Duration::from_millis(1_500),
            leeway: Duration::from_secs(31), // A7
            cache_entries: 0,
        };
        let problems = config.validate().unwrap_err();
        let codes: Vec<_> = problems.0.iter().map(|problem| problem.code()).collect();
        assert_eq!(
            codes,
            [
                "token_issuer_invalid",
                "token_audience_invalid",
                "token_lifetime_invalid",
                "token_leeway_invalid",
                "token_cache_invalid"
            ]
        );
        assert!(problems.to_string().contains("; "));
    }
}
