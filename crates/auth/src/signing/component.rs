use std::{borrow::Cow, fmt, str::FromStr};

use super::{
    SignatureFault, digest,
    structured::{self, Bare, Item},
};

/// The longest name of a field, query parameter or dictionary member that a component may have, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a signature covers of a message: a field, or something derived from the message (RFC 9421 §2).
///
/// Written as in `Signature-Input`, without quotes around the whole: `"@method"`, `"content-type"`,
/// `"@query-param";name="page"`, `"example-dict";key="a"`. Two are the same when name and parameters are, in whatever order
/// the parameters stand; the order itself is kept, because it is signed.
///
/// Trailers (`tr`) are not seen here, so a component that asks for one is refused.
#[derive(Debug, Clone)]
pub struct SignatureComponent {
    source: Source,
    flags: Vec<Flag>,
}

/// Where the value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
    /// The parameter's name, encoded (§2.2.8).
    QueryParam(Box<str>),
    Status,
    /// The field's name in lower case.
    Field(Cow<'static, str>),
}

/// A parameter other than `name`, which belongs to its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flag {
    /// Where `name` stood among the others.
    Name,
    /// Strict serialization of a structured field (§2.1.1).
    Strict,
    /// One member of a dictionary (§2.1.2).
    Key(Box<str>),
    /// Each field line wrapped as bytes (§2.1.3).
    Bytes,
    /// From the request that a response answers (§2.4).
    Request,
}

impl SignatureComponent {
    /// `@method` (§2.2.1).
    #[must_use]
    pub fn method() -> Self {
        Self::plain(Source::Method)
    }

    /// `@target-uri` (§2.2.2).
    #[must_use]
    pub fn target_uri() -> Self {
        Self::plain(Source::TargetUri)
    }

    /// `@authority` (§2.2.3).
    #[must_use]
    pub fn authority() -> Self {
        Self::plain(Source::Authority)
    }

    /// `content-digest` (RFC 9530 §2).
    #[must_use]
    pub fn content_digest() -> Self {
        Self::plain(Source::Field(Cow::Borrowed(digest::FIELD)))
    }

    /// The field called `name`, in lower case (§2.1).
    ///
    /// # Errors
    /// [`SignatureFault::ComponentMalformed`] when that is no name of a field in lower case.
    pub fn field(name: &str) -> Result<Self, SignatureFault> {
        let component = Self::plain(Source::read(name, None)?);
        if component.is_derived() { Err(SignatureFault::ComponentMalformed) } else { Ok(component) }
    }

    fn plain(source: Source) -> Self {
        Self { source, flags: Vec::new() }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn flags(&self) -> &[Flag] {
        &self.flags
    }

    pub(super) fn is_of_request(&self) -> bool {
        self.flags.contains(&Flag::Request)
    }

    fn is_derived(&self) -> bool {
        !matches!(self.source, Source::Field(_))
    }

    /// Reads one item of the list of covered components.
    pub(super) fn read(item: Item<'_>) -> Result<Self, SignatureFault> {
        let Bare::String(name) = item.value else { return Err(SignatureFault::ComponentMalformed) };
        let mut flags = Vec::with_capacity(item.params.len());
        let mut parameter = None;
        for (key, value) in item.params {
            flags.push(match (key, value) {
                ("sf", Bare::Boolean(true)) => Flag::Strict,
                ("bs", Bare::Boolean(true)) => Flag::Bytes,
                ("req", Bare::Boolean(true)) => Flag::Request,
                ("key", Bare::String(member)) if member.len() <= NAME_BYTES_MAX => Flag::Key(member.into()),
                ("name", Bare::String(name)) if name.len() <= NAME_BYTES_MAX => {
                    parameter = Some(name);
                    Flag::Name
                }
                _ => return Err(SignatureFault::ComponentMalformed),
            });
        }
        let component = Self { source: Source::read(&name, parameter.as_deref())?, flags };
        if component.is_sound() { Ok(component) } else { Err(SignatureFault::ComponentMalformed) }
    }

    /// Whether the parameters go together and with the source (§2.1, §2.5 step 2.5.2).
    fn is_sound(&self) -> bool {
        let has = |wanted: fn(&Flag) -> bool| self.flags.iter().any(wanted);
        let of_structure = has(|flag| matches!(flag, Flag::Strict | Flag::Key(_)));
        let of_bytes = has(|flag| matches!(flag, Flag::Bytes));
        let is_consistent = !(of_structure && of_bytes);
        match self.source {
            Source::Field(_) => is_consistent,
            // It describes the response itself.
            Source::Status => self.flags.is_empty(),
            _ => !of_structure && !of_bytes,
        }
    }
}

impl Source {
    fn read(name: &str, parameter: Option<&str>) -> Result<Self, SignatureFault> {
        let source = match (name, parameter) {
            ("@method", None) => Self::Method,
            ("@target-uri", None) => Self::TargetUri,
            ("@authority", None) => Self::Authority,
            ("@scheme", None) => Self::Scheme,
            ("@request-target", None) => Self::RequestTarget,
            ("@path", None) => Self::Path,
            ("@query", None) => Self::Query,
            ("@query-param", Some(parameter)) => Self::QueryParam(parameter.into()),
            ("@status", None) => Self::Status,
            (digest::FIELD, None) => Self::Field(Cow::Borrowed(digest::FIELD)),
            (field, None) if is_field_name(field) => Self::Field(Cow::Owned(field.to_owned())),
            _ => return Err(SignatureFault::ComponentMalformed),
        };
        Ok(source)
    }

    fn name(&self) -> &str {
        match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::Authority => "@authority",
            Self::Scheme => "@scheme",
            Self::RequestTarget => "@request-target",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::QueryParam(_) => "@query-param",
            Self::Status => "@status",
            Self::Field(name) => name,
        }
    }
}

/// A name of a field in lower case. `@` is no part of one, so nothing derived is ever taken for a field (§7.5.1).
fn is_field_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| structured::is_tchar(byte) && !byte.is_ascii_uppercase())
}

impl PartialEq for SignatureComponent {
    fn eq(&self, other: &Self) -> bool {
        // No flag occurs twice, so two lists of one length with the same flags are the same set.
        self.source == other.source
            && self.flags.len() == other.flags.len()
            && self.flags.iter().all(|flag| other.flags.contains(flag))
    }
}

impl Eq for SignatureComponent {}

impl SignatureComponent {
    /// Its identifier, as it is signed.
    pub(super) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        structured::write_string(out, self.source.name())?;
        for flag in &self.flags {
            match (flag, &self.source) {
                (Flag::Name, Source::QueryParam(name)) => {
                    out.write_str(";name=")?;
                    structured::write_string(out, name)?;
                }
                (Flag::Name, _) => {}
                (Flag::Strict, _) => out.write_str(";sf")?,
                (Flag::Bytes, _) => out.write_str(";bs")?,
                (Flag::Request, _) => out.write_str(";req")?,
                (Flag::Key(key), _) => {
                    out.write_str(";key=")?;
                    structured::write_string(out, key)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for SignatureComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for SignatureComponent {
    type Err = SignatureFault;

    fn from_str(text: &str) -> Result<Self, SignatureFault> {
        structured::item(text).ok_or(SignatureFault::ComponentMalformed).and_then(Self::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_written_as_it_was_read() {
        for text in [
            r#""@method""#,
            r#""@authority";req"#,
            r#""@query-param";name="fa%C3%A7ade""#,
            r#""@query-param";req;name="a""#,
            r#""content-type""#,
            r#""example-dict";key="a\"b""#,
            r#""example-dict";req;sf"#,
            r#""cookie";bs"#,
        ] {
            assert_eq!(text.parse::<SignatureComponent>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_order_of_parameters_is_kept_and_does_not_tell_components_apart() {
        let one: SignatureComponent = r#""a";req;key="k""#.parse().unwrap();
        let other: SignatureComponent = r#""a";key="k";req"#.parse().unwrap();
        assert_eq!(one, other);
        assert_ne!(one.to_string(), other.to_string());
        assert_ne!(one, r#""a";key="k""#.parse().unwrap());
        assert_ne!(one, r#""a";key="l";req"#.parse().unwrap());
    }

    #[test]
    fn wrong_names_and_parameters_are_refused() {
        let long = format!("\"{}\"", "a".repeat(257));
        for text in [
            "",
            "method",
            "@method",
            r#""""#,
            r#""@""#,
            r#""@Method""#,
            r#""@signature-params""#,
            r#""@unknown""#,
            r#""Content-Type""#,
            r#""content type""#,
            r#""a:b""#,
            r#""@method";name="a""#,
            r#""@method";sf"#,
            r#""@path";bs"#,
            r#""@query-param""#,
            r#""@query-param";name=a"#,
            r#""@query-param";name"#,
            r#""@status";req"#,
            r#""a";sf;bs"#,
            r#""a";bs;key="k""#,
            r#""a";key"#,
            r#""a";key=1"#,
            r#""a";sf=?0"#,
            r#""a";req="yes""#,
            r#""a";tr"#,
            r#""a";unknown"#,
            r#""a";sf;sf"#,
            "1",
            ":YQ==:",
            long.as_str(),
        ] {
            assert_eq!(text.parse::<SignatureComponent>(), Err(SignatureFault::ComponentMalformed), "{text}");
        }
        assert!(SignatureComponent::field("@method").is_err());
        assert!(SignatureComponent::field("Date").is_err());
        assert!(SignatureComponent::field("date").is_ok());
    }
}
