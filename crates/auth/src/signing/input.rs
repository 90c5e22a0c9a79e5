use std::fmt;

use super::{
    SignatureComponent, SignatureFault,
    structured::{self, Bare, InnerList, Member},
};

/// The longest texts of parameters, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The most components of one signature.
const COMPONENTS_MAX: usize = 24;

/// What a signature says about itself: the components it covers and its parameters, in their order (RFC 9421 §2.3).
///
/// It is one member of the field `Signature-Input`, and the last line of what is signed; so nobody changes it afterwards,
/// not even the order. `Display` is that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInput {
    components: Vec<SignatureComponent>,
    params: Vec<SignatureParam>,
}

/// A parameter of a signature (RFC 9421 §2.3). Others are refused: who does not know a parameter cannot keep to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureParam {
    /// `created`: when it was made, in seconds since 1970.
    Created(i64),
    /// `expires`: when its maker no longer stands by it, in seconds since 1970.
    Expires(i64),
    /// `nonce`: what makes it one of a kind; up to 256 bytes.
    Nonce(Box<str>),
    /// `alg`: the algorithm, as the HTTP Signature Algorithms registry names it.
    Alg(Box<str>),
    /// `keyid`: which key made it; up to 256 bytes.
    KeyId(Box<str>),
    /// `tag`: what it is for; up to 256 bytes.
    Tag(Box<str>),
}

impl SignatureInput {
    /// A signature that covers `components` and has `params`.
    ///
    /// # Errors
    /// [`SignatureFault::ComponentRepeated`], [`SignatureFault::ComponentsTooMany`] above 64,
    /// [`SignatureFault::ParamInvalid`] for a parameter that occurs twice, is too long, or has other characters than printable
    /// ASCII.
    pub fn new(
        components: Vec<SignatureComponent>,
        params: Vec<SignatureParam>,
    ) -> Result<Self, SignatureFault> {
        if components.len() > COMPONENTS_MAX {
            return Err(SignatureFault::ComponentsTooMany);
        }
        for (place, component) in components.iter().enumerate() {
            if components.iter().take(place).any(|earlier| earlier == component) {
                return Err(SignatureFault::ComponentRepeated(component.to_string().into()));
            }
        }
        for (place, param) in params.iter().enumerate() {
            let is_repeated = params.iter().take(place).any(|earlier| earlier.name() == param.name());
            if is_repeated || !param.is_sound() {
                return Err(SignatureFault::ParamInvalid(param.name()));
            }
        }
        Ok(Self { components, params })
    }

    /// Reads the text of one member of `Signature-Input`, without its label.
    ///
    /// # Errors
    /// [`SignatureFault::FieldMalformed`], [`SignatureFault::ComponentMalformed`], [`SignatureFault::ParamUnknown`], and as
    /// [`new`](Self::new).
    pub fn parse(text: &str) -> Result<Self, SignatureFault> {
        match structured::list(text).map(|mut members| (members.pop(), members.is_empty())) {
            Some((Some(member), true)) => Self::read(member),
            _ => Err(SignatureFault::FieldMalformed(super::INPUT_FIELD)),
        }
    }

    pub(super) fn read(member: Member<'_>) -> Result<Self, SignatureFault> {
        let Member::InnerList(InnerList { items, params }) = member else {
            return Err(SignatureFault::FieldMalformed(super::INPUT_FIELD));
        };
        if items.len() > COMPONENTS_MAX {
            return Err(SignatureFault::ComponentsTooMany);
        }
        let components = items.into_iter().map(SignatureComponent::read).collect::<Result<_, _>>()?;
        let params = params.into_iter().map(|(key, value)| SignatureParam::read(key, value));
        Self::new(components, params.collect::<Result<_, _>>()?)
    }

    /// The components it covers.
    #[must_use]
    pub fn components(&self) -> &[SignatureComponent] {
        &self.components
    }

    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &[SignatureParam] {
        &self.params
    }

    /// When it was made, in seconds since 1970.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Created(at) => Some(*at),
            _ => None,
        })
    }

    /// When its maker no longer stands by it, in seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Expires(at) => Some(*at),
            _ => None,
        })
    }

    /// What makes it one of a kind.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Nonce(nonce) => Some(&**nonce),
            _ => None,
        })
    }

    /// The algorithm that it claims to be made with.
    #[must_use]
    pub fn alg(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Alg(alg) => Some(&**alg),
            _ => None,
        })
    }

    /// The key that it claims to be made with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::KeyId(key_id) => Some(&**key_id),
            _ => None,
        })
    }

    /// What it is for.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Tag(tag) => Some(&**tag),
            _ => None,
        })
    }
}

impl SignatureParam {
    fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Expires(_) => "expires",
            Self::Nonce(_) => "nonce",
            Self::Alg(_) => "alg",
            Self::KeyId(_) => "keyid",
            Self::Tag(_) => "tag",
        }
    }

    fn read(key: &str, value: Bare<'_>) -> Result<Self, SignatureFault> {
        match (key, value) {
            ("created", Bare::Integer(at)) => Ok(Self::Created(at)),
            ("created", _) => Err(SignatureFault::ParamInvalid("created")),
            ("expires", Bare::Integer(at)) => Ok(Self::Expires(at)),
            ("expires", _) => Err(SignatureFault::ParamInvalid("expires")),
            ("nonce", Bare::String(nonce)) => Ok(Self::Nonce(nonce.into())),
            ("nonce", _) => Err(SignatureFault::ParamInvalid("nonce")),
            ("alg", Bare::String(alg)) => Ok(Self::Alg(alg.into())),
            ("alg", _) => Err(SignatureFault::ParamInvalid("alg")),
            ("keyid", Bare::String(key_id)) => Ok(Self::KeyId(key_id.into())),
            ("keyid", _) => Err(SignatureFault::ParamInvalid("keyid")),
            ("tag", Bare::String(tag)) => Ok(Self::Tag(tag.into())),
            ("tag", _) => Err(SignatureFault::ParamInvalid("tag")),
            _ => Err(SignatureFault::ParamUnknown),
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            // What an Integer may hold (RFC 8941 §3.3.1).
            Self::Created(at) | Self::Expires(at) => (0..1_000_000_000_000_000).contains(at),
            Self::Nonce(text) | Self::Alg(text) | Self::KeyId(text) | Self::Tag(text) => {
                (1..=TEXT_BYTES_MAX).contains(&text.len())
                    && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            }
        }
    }
}

impl fmt::Display for SignatureInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (place, component) in self.components.iter().enumerate() {
            write!(f, "{}{component}", if place == 0 { "" } else { " " })?;
        }
        f.write_str(")")?;
        for param in &self.params {
            write!(f, ";{}=", param.name())?;
            match param {
                SignatureParam::Created(at) | SignatureParam::Expires(at) => write!(f, "{at}")?,
                SignatureParam::Nonce(text)
                | SignatureParam::Alg(text)
                | SignatureParam::KeyId(text)
                | SignatureParam::Tag(text) => structured::write_string(f, text)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_written_in_its_own_order_and_without_spare_spaces() {
        let read = r#"( "@target-uri"   "@authority" "date";req );keyid="k";  alg="ed25519";created=1;expires=2;tag="t";nonce="n""#;
        let written = r#"("@target-uri" "@authority" "date";req);keyid="k";alg="ed25519";created=1;expires=2;tag="t";nonce="n""#;
        let input = SignatureInput::parse(read).unwrap();
        assert_eq!(input.to_string(), written);
        assert_eq!((input.created(), input.expires(), input.nonce()), (Some(1), Some(2), Some("n")));
        assert_eq!((input.alg(), input.key_id(), input.tag()), (Some("ed25519"), Some("k"), Some("t")));
        assert_eq!(SignatureInput::parse("()").unwrap().to_string(), "()");
    }

    #[test]
    fn unknown_repeated_and_wrong_parameters_are_refused() {
        for (text, fault) in [
            ("();created=1;created=1", SignatureFault::FieldMalformed("signature-input")),
            ("();unknown=1", SignatureFault::ParamUnknown),
            ("();context=\"a\"", SignatureFault::ParamUnknown),
            ("();created", SignatureFault::ParamInvalid("created")),
            ("();created=1.5", SignatureFault::ParamInvalid("created")),
            ("();created=\"1\"", SignatureFault::ParamInvalid("created")),
            ("();created=-1", SignatureFault::ParamInvalid("created")),
            ("();expires=?1", SignatureFault::ParamInvalid("expires")),
            ("();nonce=abc", SignatureFault::ParamInvalid("nonce")),
            ("();nonce=\"\"", SignatureFault::ParamInvalid("nonce")),
            ("();alg=1", SignatureFault::ParamInvalid("alg")),
            ("();keyid=:YQ==:", SignatureFault::ParamInvalid("keyid")),
            ("();tag=1", SignatureFault::ParamInvalid("tag")),
            ("(\"a\" \"a\")", SignatureFault::ComponentRepeated("\"a\"".into())),
            ("(\"a\";sf;req \"a\";req;sf)", SignatureFault::ComponentRepeated("\"a\";req;sf".into())),
            ("(a)", SignatureFault::ComponentMalformed),
            ("\"a\"", SignatureFault::FieldMalformed("signature-input")),
            ("", SignatureFault::FieldMalformed("signature-input")),
            ("(), ()", SignatureFault::FieldMalformed("signature-input")),
        ] {
            assert_eq!(SignatureInput::parse(text), Err(fault), "{text}");
        }
        let long = format!("();nonce=\"{}\"", "a".repeat(257));
        assert_eq!(SignatureInput::parse(&long), Err(SignatureFault::ParamInvalid("nonce")));
        let many: Vec<String> = (0..65).map(|n| format!("\"a{n}\"")).collect();
        let refused = SignatureInput::parse(&format!("({})", many.join(" ")));
        assert_eq!(refused, Err(SignatureFault::ComponentsTooMany));
    }

    #[test]
    fn a_made_input_keeps_to_the_same_rules_as_a_read_one() {
        let twice = vec![SignatureParam::Created(1), SignatureParam::Created(2)];
        assert!(SignatureInput::new(Vec::new(), twice).is_err());
        let line = vec![SignatureParam::Tag("a\nb".into())];
        assert_eq!(SignatureInput::new(Vec::new(), line), Err(SignatureFault::ParamInvalid("tag")));
        let method = || SignatureComponent::method();
        assert!(SignatureInput::new(vec![method(), method()], Vec::new()).is_err());
    }
}
