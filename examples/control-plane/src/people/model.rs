use crate::refused::{Refused, invalid};
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use stylobate::core::FieldProblem;
use utoipa::ToSchema;
use uuid::Uuid;

/// Whether a person takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    Active,
    Inactive,
    Archived,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Archived => "archived",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Archived].into_iter().find(|status| status.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gender {
    #[default]
    Unknown,
    Female,
    Male,
    NonBinary,
    Other,
}

impl Gender {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Female => "female",
            Self::Male => "male",
            Self::NonBinary => "non_binary",
            Self::Other => "other",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Unknown, Self::Female, Self::Male, Self::NonBinary, Self::Other]
            .into_iter()
            .find(|gender| gender.as_str() == text)
    }
}

/// What is known about a person beyond who it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Profile {
    pub(crate) first_name: String,
    pub(crate) middle_name: Option<String>,
    pub(crate) last_name: String,
    pub(crate) display_name: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) phone: Option<String>,
    /// Whom to call in an emergency.
    pub(crate) emergency_number: Option<String>,
    pub(crate) date_of_birth: Option<NaiveDate>,
    pub(crate) gender: Gender,
    /// As it was typed.
    pub(crate) nationality: Option<String>,
    pub(crate) preferred_contact_method: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) address_line1: Option<String>,
    pub(crate) address_line2: Option<String>,
    pub(crate) city: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) postal_code: Option<String>,
    pub(crate) country_code: Option<String>,
    /// The country as it was typed, where that was no code.
    pub(crate) country: Option<String>,
    pub(crate) marketing_opt_in: bool,
}

/// What an organisation notes about somebody: its own, and of no other that they belong to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Noted {
    pub(crate) notes: Option<String>,
    pub(crate) metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The membership by which an organisation sees somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenBy {
    pub(crate) joined_at: DateTime<Utc>,
    pub(crate) is_suspended: bool,
}

/// A person as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PersonView {
    pub(crate) id: Uuid,
    pub(crate) username: Option<String>,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    #[serde(flatten)]
    pub(crate) profile: Profile,
    #[serde(flatten)]
    pub(crate) noted: Noted,
    pub(crate) status: Status,
    pub(crate) is_active: bool,
    pub(crate) must_change_password: bool,
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    #[serde(skip)]
    pub(crate) seen_by: SeenBy,
}

impl PersonView {
    /// Whether the person takes part in the organisation that sees them.
    pub(crate) fn takes_part(&self) -> bool {
        self.is_active && !self.seen_by.is_suspended
    }
}

/// A person to be made, or all of what a person shall be.
///
/// `PATCH` is a JSON merge patch (RFC 7396) on this shape.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonInput {
    pub(crate) first_name: String,
    #[serde(default)]
    pub(crate) middle_name: Option<String>,
    pub(crate) last_name: String,
    pub(crate) email: String,
    /// A name to sign in with beside the e-mail address.
    #[serde(default)]
    pub(crate) username: Option<String>,
    /// A first password. Without one the person cannot sign in yet. Only when making a person.
    #[serde(default)]
    pub(crate) password: Option<String>,
    /// Whether the next sign-in asks for a new password first. Stays as it is unless given.
    #[serde(default)]
    pub(crate) must_change_password: Option<bool>,
    /// Whether the address is known to be the person's. The platform says so, and links that were mailed there; what everybody else
    /// says counts as nothing, and of another address nothing is known.
    #[serde(default)]
    pub(crate) email_verified: bool,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) avatar_url: Option<String>,
    #[serde(default)]
    pub(crate) bio: Option<String>,
    #[serde(default)]
    pub(crate) phone: Option<String>,
    /// Whom to call in an emergency.
    #[serde(default)]
    pub(crate) emergency_number: Option<String>,
    #[serde(default)]
    pub(crate) date_of_birth: Option<NaiveDate>,
    #[serde(default)]
    pub(crate) gender: Gender,
    #[serde(default)]
    pub(crate) nationality: Option<String>,
    #[serde(default)]
    pub(crate) preferred_contact_method: Option<String>,
    #[serde(default)]
    pub(crate) locale: Option<String>,
    #[serde(default)]
    pub(crate) timezone: Option<String>,
    #[serde(default)]
    pub(crate) address_line1: Option<String>,
    #[serde(default)]
    pub(crate) address_line2: Option<String>,
    #[serde(default)]
    pub(crate) city: Option<String>,
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) postal_code: Option<String>,
    #[serde(default)]
    pub(crate) country_code: Option<String>,
    /// The country as it was typed, where that is no code.
    #[serde(default)]
    pub(crate) country: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<Status>,
    #[serde(default)]
    pub(crate) is_active: Option<bool>,
    #[serde(default)]
    pub(crate) marketing_opt_in: bool,
    /// What the organisation notes about the person; no other sees it.
    #[serde(default)]
    pub(crate) notes: Option<String>,
    /// The same for programs of the organisation.
    #[serde(default, alias = "metadata_")]
    pub(crate) metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// The version that was read; another one in the database refuses the change.
    #[serde(default)]
    pub(crate) version: Option<i64>,
}

/// Longest text of an ordinary field, in characters; names and addresses of real people stay far below.
const TEXT_CHARS_MAX: usize = 255;
const LONG_TEXT_CHARS_MAX: usize = 4_000;
/// Largest `metadata`, as JSON.
const METADATA_BYTES_MAX: usize = 16 * 1024;
const CONTACT_METHODS: [&str; 4] = ["email", "phone", "sms", "push"];

impl PersonInput {
    /// A person of whom only name, identifiers and password are known.
    pub(crate) fn named(
        first_name: String,
        last_name: String,
        email: String,
        username: String,
        password: String,
    ) -> Self {
        Self {
            first_name,
            middle_name: None,
            last_name,
            email,
            username: Some(username),
            password: Some(password),
            must_change_password: None,
            email_verified: false,
            display_name: None,
            avatar_url: None,
            bio: None,
            phone: None,
            emergency_number: None,
            date_of_birth: None,
            gender: Gender::Unknown,
            nationality: None,
            preferred_contact_method: None,
            locale: None,
            timezone: None,
            address_line1: None,
            address_line2: None,
            city: None,
            region: None,
            postal_code: None,
            country_code: None,
            country: None,
            status: None,
            is_active: None,
            marketing_opt_in: false,
            notes: None,
            metadata: None,
            version: None,
        }
    }

    /// The status asked for; `is_active` alone means active or inactive.
    ///
    /// # Errors
    /// 422 when the two contradict each other.
    pub(super) fn wanted_status(&self) -> Result<Option<Status>, Refused> {
        match (self.status, self.is_active) {
            (Some(status), Some(is_active)) if (status == Status::Active) != is_active => {
                Err(invalid(vec![FieldProblem::new("is_active", "contradiction", "contradicts `status`")])
                    .into())
            }
            (Some(status), _) => Ok(Some(status)),
            (None, Some(true)) => Ok(Some(Status::Active)),
            (None, Some(false)) => Ok(Some(Status::Inactive)),
            (None, None) => Ok(None),
        }
    }

    /// The profile part, held to its rules.
    ///
    /// # Errors
    /// 422 with every field that breaks one.
    pub(super) fn profile(&self) -> Result<Profile, Refused> {
        let mut problems = Vec::new();
        for (field, value) in [("first_name", &self.first_name), ("last_name", &self.last_name)] {
            if value.trim().is_empty() {
                problems.push(FieldProblem::new(field, "required", "is missing"));
            }
            check_text(field, value, TEXT_CHARS_MAX, &mut problems);
            check_name(field, value, &mut problems);
        }
        for (field, name) in [("middle_name", &self.middle_name), ("display_name", &self.display_name)] {
            if let Some(name) = name {
                check_name(field, name, &mut problems);
            }
        }
        for (field, value, chars_max) in [
            ("middle_name", &self.middle_name, TEXT_CHARS_MAX),
            ("display_name", &self.display_name, TEXT_CHARS_MAX),
            ("avatar_url", &self.avatar_url, 2_048),
            ("bio", &self.bio, LONG_TEXT_CHARS_MAX),
            ("phone", &self.phone, 40),
            ("emergency_number", &self.emergency_number, TEXT_CHARS_MAX),
            ("nationality", &self.nationality, TEXT_CHARS_MAX),
            ("preferred_contact_method", &self.preferred_contact_method, 20),
            ("locale", &self.locale, 35),
            ("timezone", &self.timezone, 64),
            ("address_line1", &self.address_line1, TEXT_CHARS_MAX),
            ("address_line2", &self.address_line2, TEXT_CHARS_MAX),
            ("city", &self.city, TEXT_CHARS_MAX),
            ("region", &self.region, TEXT_CHARS_MAX),
            ("postal_code", &self.postal_code, 20),
            ("country", &self.country, TEXT_CHARS_MAX),
            ("notes", &self.notes, LONG_TEXT_CHARS_MAX),
        ] {
            if let Some(value) = value {
                check_text(field, value, chars_max, &mut problems);
            }
        }
        self.check_forms(&mut problems);
        if problems.is_empty() { Ok(self.to_profile()) } else { Err(invalid(problems).into()) }
    }

    fn check_forms(&self, problems: &mut Vec<FieldProblem>) {
        let mut wrong = |field, message: &str| problems.push(FieldProblem::new(field, "invalid", message));
        if self
            .phone
            .as_ref()
            .is_some_and(|phone| !phone.chars().all(|c| c.is_ascii_digit() || "+-() .x".contains(c)))
        {
            wrong("phone", "has characters other than digits and + - ( ) . x");
        }
        if self.country_code.as_ref().is_some_and(|code| !is_country_code(code)) {
            wrong("country_code", "is not two capital letters (ISO 3166-1 alpha-2)");
        }
        if self.preferred_contact_method.as_deref().is_some_and(|method| !CONTACT_METHODS.contains(&method)) {
            wrong("preferred_contact_method", "is none of `email`, `phone`, `sms`, `push`");
        }
        if self.avatar_url.as_ref().is_some_and(|url| !url.starts_with("https://") && !is_path(url)) {
            wrong("avatar_url", "is neither an https address nor a path");
        }
        if self.date_of_birth.is_some_and(|date| !(1..=9_999).contains(&date.year())) {
            wrong("date_of_birth", "is not in the years 1 to 9999");
        }
        let metadata = self.metadata.as_ref().and_then(|metadata| serde_json::to_string(metadata).ok());
        if metadata.is_some_and(|json| json.len() > METADATA_BYTES_MAX) {
            problems.push(FieldProblem::new("metadata", "too_long", "is larger than 16 KiB"));
        }
    }

    fn to_profile(&self) -> Profile {
        Profile {
            first_name: self.first_name.clone(),
            middle_name: self.middle_name.clone(),
            last_name: self.last_name.clone(),
            display_name: self.display_name.clone(),
            avatar_url: self.avatar_url.clone(),
            bio: self.bio.clone(),
            phone: self.phone.clone(),
            emergency_number: self.emergency_number.clone(),
            date_of_birth: self.date_of_birth,
            gender: self.gender,
            nationality: self.nationality.clone(),
            preferred_contact_method: self.preferred_contact_method.clone(),
            locale: self.locale.clone(),
            timezone: self.timezone.clone(),
            address_line1: self.address_line1.clone(),
            address_line2: self.address_line2.clone(),
            city: self.city.clone(),
            region: self.region.clone(),
            postal_code: self.postal_code.clone(),
            country_code: self.country_code.clone(),
            country: self.country.clone(),
            marketing_opt_in: self.marketing_opt_in,
        }
    }

    /// The part that is the organisation's, held to its rules by [`profile`](Self::profile).
    pub(super) fn noted(&self) -> Noted {
        Noted { notes: self.notes.clone(), metadata: self.metadata.clone() }
    }
}

impl From<&PersonView> for PersonInput {
    fn from(view: &PersonView) -> Self {
        let profile = view.profile.clone();
        let noted = view.noted.clone();
        Self {
            first_name: profile.first_name,
            middle_name: profile.middle_name,
            last_name: profile.last_name,
            email: view.email.clone(),
            username: view.username.clone(),
            password: None,
            must_change_password: None,
            email_verified: view.email_verified,
            display_name: profile.display_name,
            avatar_url: profile.avatar_url,
            bio: profile.bio,
            phone: profile.phone,
            emergency_number: profile.emergency_number,
            date_of_birth: profile.date_of_birth,
            gender: profile.gender,
            nationality: profile.nationality,
            preferred_contact_method: profile.preferred_contact_method,
            locale: profile.locale,
            timezone: profile.timezone,
            address_line1: profile.address_line1,
            address_line2: profile.address_line2,
            city: profile.city,
            region: profile.region,
            postal_code: profile.postal_code,
            country_code: profile.country_code,
            country: profile.country,
            status: None,
            is_active: None,
            marketing_opt_in: profile.marketing_opt_in,
            notes: noted.notes,
            metadata: noted.metadata,
            version: None,
        }
    }
}

/// A country as code and text: it is kept as one of them.
pub(crate) fn country_of(typed: Option<String>) -> (Option<String>, Option<String>) {
    match typed {
        Some(code) if is_country_code(&code) => (Some(code), None),
        other => (None, other),
    }
}

/// Whether a country is spelt as ISO 3166-1 alpha-2 does.
fn is_country_code(country: &str) -> bool {
    country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A path on this site: `//host` and `/\\host` are other sites to a browser.
fn is_path(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\")
}

/// A name is one line of characters that are seen, in the order in which they are written: it must not pass for other text in a list.
fn check_name(field: &'static str, name: &str, problems: &mut Vec<FieldProblem>) {
    let breaks_or_hides = |character: char| matches!(character, '\n' | '\r' | '\t' | '\u{200B}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    if name.chars().any(breaks_or_hides) {
        problems.push(FieldProblem::new(
            field,
            "invalid",
            "has line breaks or characters that cannot be seen",
        ));
    }
}

fn check_text(field: &'static str, value: &str, chars_max: usize, problems: &mut Vec<FieldProblem>) {
    if value.chars().count() > chars_max {
        problems.push(FieldProblem::new(field, "too_long", format!("has more than {chars_max} characters")));
    }
    if value.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
        problems.push(FieldProblem::new(field, "invalid", "has control characters"));
    }
}
