/// A model or policy that casbin is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CasbinInvalid {
    /// The model is longer than [`CasbinModel::BYTES_MAX`](crate::CasbinModel::BYTES_MAX), or not printable ASCII.
    #[error("the model is too long or has characters other than printable ASCII")]
    Text,
    /// A line of the model is neither a section nor `name = value` in one.
    #[error("line {line} of the model is neither a section nor a definition")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A definition that every model needs is missing.
    #[error("the model does not define `{0}`")]
    Missing(&'static str),
    /// The model defines more than one of a kind, or a kind that is not known.
    #[error("the model defines `{0}`, which is not supported")]
    Unsupported(String),
    /// A definition is not a list of distinct names, or a role definition not one of two or three places.
    #[error("the definition of `{0}` is malformed")]
    Definition(&'static str),
    /// The effect is unknown, allows what no rule allows, or needs an effect that rules do not have.
    #[error("the effect is not one that denies by default")]
    Effect,
    /// The matcher is not in the grammar: `eval`, an unknown name, a wrong number of arguments.
    #[error("the matcher is refused at byte {at}: {why}")]
    Matcher {
        /// Where, from 0.
        at: usize,
        /// What was expected.
        why: &'static str,
    },
    /// A rule that seems to deny cannot be understood. Leaving it out could allow what it denies.
    #[error("rule {rule} denies, but cannot be understood")]
    Denial {
        /// The rule, from 1: its line in a text, its place in a list.
        rule: usize,
    },
    /// There are more rules than [`CasbinRules::RULES_MAX`](crate::CasbinRules::RULES_MAX).
    #[error("there are too many rules")]
    TooManyRules,
    /// casbin itself refuses what passed all checks.
    #[error("casbin refuses the model or policy: {0}")]
    Casbin(String),
}

/// A rule that gives nothing, or less than it says. Everything else works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CasbinProblem {
    /// The rule, from 1: its line in a text, its place in a list.
    pub rule: usize,
    /// What is the matter with it.
    pub kind: CasbinProblemKind,
}

/// What is the matter with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CasbinProblemKind {
    /// It is not `p, …` or `g, …`.
    Syntax,
    /// A value is empty, longer than [`CasbinRules::VALUE_MAX`](crate::CasbinRules::VALUE_MAX), or has other characters
    /// than printable ASCII, or a quotation mark.
    Value,
    /// It has more or fewer values than the model says.
    Arity,
    /// Its effect is neither `allow` nor `deny`; it counts as a denial.
    Effect,
    /// A pattern is no bounded regular expression, or a star in it does not stand for whole segments.
    Pattern,
    /// It says something that native roles cannot say.
    Meaning,
    /// It has a condition, which casbin cannot say: an allowance is left out, a denial becomes unconditional.
    Condition,
    /// It ends at some time, which casbin cannot say: an allowance is left out, a denial stays for good.
    Expiry,
}
