use std::time::Duration;

/// What a message is about, declared once: what it is called, how much it matters, where it may go, and what it says.
///
/// A kind is data, so catalogues are constants:
///
/// ```
/// use stylobate_notify::{Category, MessageKind, Severity, TemplateText};
///
/// const WELCOME: MessageKind = MessageKind {
///     templates: &[TemplateText {
///         locale: "en",
///         subject: "Welcome to {{ product.name }}",
///         text: "Hello {{ recipient.name }},\n\nbegin here: {{ link('/start', plan=plan) }}\n",
///         html: None,
///     }],
///     sample: r#"{ "plan": "free" }"#,
///     ..MessageKind::new("welcome", Category::Account, Severity::Info)
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageKind {
    /// What it is called: 1 to 64 characters of `a-z 0-9 . _`.
    pub name: &'static str,
    /// What it is about, by which people mute it.
    pub category: Category,
    /// How much it matters.
    pub severity: Severity,
    /// It holds a code or a single-use link: what was rendered is not kept once it is delivered, and goes to nobody but the recipient's
    /// own address, by e-mail or SMS.
    pub is_confidential: bool,
    /// It is about an account, which is the person's and no tenant's: it is sent outside of all tenants, whoever hands it over. No
    /// tenant sees its deliveries, or has words of its own for it.
    pub is_platform_wide: bool,
    /// Where it goes when nobody chose otherwise.
    pub media: Media,
    /// How many of it one recipient gets at most; `None` leaves it to the recipient's budget over all kinds.
    pub budget: Option<Budget>,
    /// A second one to the same recipient within this time is dropped.
    pub one_within: Option<Duration>,
    /// It is not sent when it is older than this: a code of ten minutes helps nobody after ten minutes.
    pub expires_after: Option<Duration>,
    /// What it says, in each locale. The first is for people whose locale is not there.
    pub templates: &'static [TemplateText],
    /// Values of such a message, a JSON object. Its keys are the values that every message of the kind has, and all that templates see.
    pub sample: &'static str,
}

impl MessageKind {
    /// A kind that goes by e-mail and into the product, without limits of its own, templates and values: for `..MessageKind::new(…)`.
    #[must_use]
    pub const fn new(name: &'static str, category: Category, severity: Severity) -> Self {
        Self {
            name,
            category,
            severity,
            is_confidential: false,
            is_platform_wide: false,
            media: Media { email: true, sms: false, in_app: true },
            budget: None,
            one_within: None,
            expires_after: None,
            templates: &[],
            sample: "{}",
        }
    }
}

/// What a kind of message says in one locale. The three parts are templates; see [the rules](crate#templates).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateText {
    /// The language it is in (BCP 47): `en`, `de-AT`.
    pub locale: &'static str,
    /// One line.
    pub subject: &'static str,
    /// What everybody can read.
    pub text: &'static str,
    /// The same with formats, for mail.
    pub html: Option<&'static str>,
}

/// What messages are about. People mute categories, except the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Who may get in: codes, resets, odd sign-ins. Never muted, never late.
    Security,
    /// The person's account and memberships.
    Account,
    /// Something is wrong, or right again.
    Alert,
    /// Backups.
    Backup,
    /// Deployments.
    Deploy,
    /// The product itself.
    System,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Security, Self::Account, Self::Alert, Self::Backup, Self::Deploy, Self::System];

    /// How it is written in tables and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Account => "account",
            Self::Alert => "alert",
            Self::Backup => "backup",
            Self::Deploy => "deploy",
            Self::System => "system",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// How much a message matters, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something went well.
    Success,
    /// Somebody should look.
    Warning,
    /// Something failed.
    Error,
    /// Somebody must look now: no quiet hours.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Info, Self::Success, Self::Warning, Self::Error, Self::Critical];

    /// How it is written in tables and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Where a message of a kind goes when nobody chose otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Media {
    /// The recipient's e-mail address.
    pub email: bool,
    /// The recipient's phone, if it is proven to be theirs.
    pub sms: bool,
    /// The list of notifications in the product.
    pub in_app: bool,
}

impl Media {
    /// E-mail and nothing else.
    pub const EMAIL: Self = Self { email: true, sms: false, in_app: false };
}

/// At most so many within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many.
    pub most: u32,
    /// Within which time, up to the present.
    pub within: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire_and_are_found_again() {
        for category in Category::ALL {
            assert_eq!(serde_json::to_value(category).unwrap(), category.name());
            assert_eq!(Category::named(category.name()), Some(category));
        }
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
            assert_eq!(Severity::named(severity.name()), Some(severity));
        }
        assert_eq!((Category::named("Alert"), Severity::named("")), (None, None));
    }
}
