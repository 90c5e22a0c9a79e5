use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a rule does when it applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It allows, unless another rule denies.
    #[default]
    Allow,
    /// It denies, whatever other rules of the same owner allow.
    Deny,
}

impl Effect {
    /// The effect as databases store it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A text that is no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an effect is `allow` or `deny`")]
pub struct EffectInvalid;

impl FromStr for Effect {
    type Err = EffectInvalid;

    fn from_str(text: &str) -> Result<Self, EffectInvalid> {
        [Self::Allow, Self::Deny].into_iter().find(|effect| effect.as_str() == text).ok_or(EffectInvalid)
    }
}
