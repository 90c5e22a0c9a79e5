use std::{borrow::Cow, fmt, mem, sync::Arc};

use super::{
    SignatureComponent, SignatureFault,
    structured::{self, Bare, InnerList, Member, Params},
};

/// The longest texts of parameters, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// The most components of one signature.
const COMPONENTS_MAX: usize = 24;

/// What a signature says about itself: the components it covers and its parameters, in their order (RFC 9421 §2.3).
///
/// It is one member of the field `Signature-Input`, and the last line of what is signed; so nobody changes it afterwards,
/// not even the order. `Display` is that text.
///
/// It borrows what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInput<'a> {
    covered: Cow<'a, Covered>,
    params: Vec<SignatureParam<'a>>,
}

/// Components that are covered together, and the text of their list, which is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    components: Arc<[SignatureComponent]>,
    text: Box<str>,
}

/// A parameter of a signature (RFC 9421 §2.3). Others are refused: who does not know a parameter cannot keep to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureParam<'a> {
    /// `created`: when it was made, in seconds since 1970.
    Created(i64),
    /// `expires`: when its maker no longer stands by it, in seconds since 1970.
    Expires(i64),
    /// `nonce`: what makes it one of a kind; up to 256 bytes.
    Nonce(Cow<'a, str>),
    /// `alg`: the algorithm, as the HTTP Signature Algorithms registry names it.
    Alg(Cow<'a, str>),
    /// `keyid`: which key made it; up to 256 bytes.
    KeyId(Cow<'a, str>),
    /// `tag`: what it is for; up to 256 bytes.
    Tag(Cow<'a, str>),
}

impl Covered {
    /// The list of `components`, each of which is there once.
    pub(super) fn new(components: Vec<SignatureComponent>) -> Self {
        let mut text = String::from("(");
        for (place, component) in components.iter().enumerate() {
            if place > 0 {
                text.push(' ');
            }
            // Writing to a text does not fail.
            let _ = component.write(&mut text);
        }
        text.push(')');
        Self { components: components.into(), text: text.into() }
    }

    pub(super) fn components(&self) -> &Arc<[SignatureComponent]> {
        &self.components
    }

    /// The list as it is signed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl<'a> SignatureInput<'a> {
    /// A signature that covers `components` and has `params`.
    ///
    /// # Errors
    /// [`SignatureFault::ComponentRepeated`], [`SignatureFault::ComponentsTooMany`] above 24,
    /// [`SignatureFault::ParamInvalid`] for a parameter that occurs twice, is too long, or has other characters than printable
    /// ASCII.
    pub fn new(
        components: Vec<SignatureComponent>,
        params: Vec<SignatureParam<'a>>,
    ) -> Result<Self, SignatureFault> {
        // Each is compared with each.
        if components.len() > COMPONENTS_MAX {
            return Err(SignatureFault::ComponentsTooMany);
        }
        for (place, component) in components.iter().enumerate() {
            if components.iter().take(place).any(|earlier| earlier == component) {
                return Err(SignatureFault::ComponentRepeated(component.to_string().into()));
            }
        }
        Self::covering(Cow::Owned(Covered::new(components)), params)
    }

    /// A signature that covers these components, of which none is there twice.
    pub(super) fn covering(
        covered: Cow<'a, Covered>,
        params: Vec<SignatureParam<'a>>,
    ) -> Result<Self, SignatureFault> {
        if covered.components.len() > COMPONENTS_MAX {
            return Err(SignatureFault::ComponentsTooMany);
        }
        for (place, param) in params.iter().enumerate() {
            let is_same =
                |earlier| mem::discriminant::<SignatureParam<'a>>(earlier) == mem::discriminant(param);
            if params.iter().take(place).any(is_same) || !param.is_sound() {
                return Err(SignatureFault::ParamInvalid(param.name()));
            }
        }
        Ok(Self { covered, params })
    }

    /// Reads the text of one member of `Signature-Input`, without its label.
    ///
    /// # Errors
    /// [`SignatureFault::FieldMalformed`], [`SignatureFault::ComponentMalformed`], [`SignatureFault::ParamUnknown`], and as
    /// [`new`](Self::new).
    pub fn parse(text: &'a str) -> Result<Self, SignatureFault> {
        match structured::list(text).map(|mut members| (members.pop(), members.is_empty())) {
            Some((Some(member), true)) => Self::read(member, None),
            _ => Err(SignatureFault::FieldMalformed(super::INPUT_FIELD)),
        }
    }

    /// Reads a member of `Signature-Input`; `known` is the list that its reader knew.
    pub(super) fn read(member: Member<'a>, known: Option<&'a Covered>) -> Result<Self, SignatureFault> {
        let read = |params: Params<'a>| -> Result<Vec<_>, _> {
            params.into_iter().map(|(key, value)| SignatureParam::read(key, value)).collect()
        };
        match (member, known) {
            (Member::Known(_, params), Some(known)) => Self::covering(Cow::Borrowed(known), read(params)?),
            (Member::InnerList(InnerList { items, .. }), _) if items.len() > COMPONENTS_MAX => {
                Err(SignatureFault::ComponentsTooMany)
            }
            (Member::InnerList(InnerList { items, params }), _) => {
                let components = items.into_iter().map(SignatureComponent::read).collect::<Result<_, _>>()?;
                Self::new(components, read(params)?)
            }
            _ => Err(SignatureFault::FieldMalformed(super::INPUT_FIELD)),
        }
    }

    pub(super) fn covered(&self) -> &Covered {
        &self.covered
    }

    /// The components it covers.
    #[must_use]
    pub fn components(&self) -> &[SignatureComponent] {
        &self.covered.components
    }

    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &[SignatureParam<'a>] {
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
            SignatureParam::Nonce(nonce) => Some(nonce.as_ref()),
            _ => None,
        })
    }

    /// The algorithm that it claims to be made with.
    #[must_use]
    pub fn alg(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Alg(alg) => Some(alg.as_ref()),
            _ => None,
        })
    }

    /// The key that it claims to be made with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::KeyId(key_id) => Some(key_id.as_ref()),
            _ => None,
        })
    }

    /// What it is for.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.iter().find_map(|param| match param {
            SignatureParam::Tag(tag) => Some(tag.as_ref()),
            _ => None,
        })
    }
}

impl<'a> SignatureParam<'a> {
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

    fn read(key: &str, value: Bare<'a>) -> Result<Self, SignatureFault> {
        match (key, value) {
            ("created", Bare::Integer(at)) => Ok(Self::Created(at)),
            ("created", _) => Err(SignatureFault::ParamInvalid("created")),
            ("expires", Bare::Integer(at)) => Ok(Self::Expires(at)),
            ("expires", _) => Err(SignatureFault::ParamInvalid("expires")),
            ("nonce", Bare::String(nonce)) => Ok(Self::Nonce(nonce)),
            ("nonce", _) => Err(SignatureFault::ParamInvalid("nonce")),
            ("alg", Bare::String(alg)) => Ok(Self::Alg(alg)),
            ("alg", _) => Err(SignatureFault::ParamInvalid("alg")),
            ("keyid", Bare::String(key_id)) => Ok(Self::KeyId(key_id)),
            ("keyid", _) => Err(SignatureFault::ParamInvalid("keyid")),
            ("tag", Bare::String(tag)) => Ok(Self::Tag(tag)),
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

impl SignatureInput<'_> {
    /// Its text, as it is signed.
    pub(super) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str(&self.covered.text)?;
        for param in &self.params {
            out.write_str(";")?;
            out.write_str(param.name())?;
            out.write_str("=")?;
            match param {
                SignatureParam::Created(at) | SignatureParam::Expires(at) => write!(out, "{at}")?,
                SignatureParam::Nonce(text)
                | SignatureParam::Alg(text)
                | SignatureParam::KeyId(text)
                | SignatureParam::Tag(text) => structured::write_string(out, text)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for SignatureInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usual() -> Covered {
        Covered::new(super::super::required().into())
    }

    /// All signatures of the field, read one way and the other.
    fn read<'a>(text: &'a str, known: &'a Covered) -> [Vec<Result<SignatureInput<'a>, SignatureFault>>; 2] {
        let knowing = structured::dictionary_knowing(known.text(), text);
        [(knowing, Some(known)), (structured::dictionary(text), None)].map(|(members, known)| {
            let members = members.into_iter().flatten();
            members.map(|(_, member)| SignatureInput::read(member, known)).collect()
        })
    }

    #[test]
    fn a_list_that_is_known_is_read_as_any_other() {
        let usual = usual();
        let list = usual.text();
        assert_eq!(list, r#"("@method" "@authority" "@target-uri" "content-digest")"#);
        for (text, is_known) in [
            (format!(r#"sig1={list};created=1;nonce="n";keyid="k""#), true),
            (format!("  sig1={list}  "), true),
            (format!("a={list};created=1, b={list};nonce=\"n\""), true),
            (format!("a=(\"date\");created=1,b={list}"), true),
            (format!("sig1={list};  created=0042"), true),
            (format!("sig1={list};unknown=1"), true),
            (format!("sig1={list};created=\"1\""), true),
            (format!("sig1={list};tag=\"\""), true),
            (format!("sig1={}", list.replace("\" \"", "\"  \"")), false),
            (format!("sig1={}", list.replace("@method\"", "@method\";req")), false),
            (format!("sig1={}", list.replace(')', r#" "date")"#)), false),
        ] {
            let [knowing, slow] = read(&text, &usual);
            assert!(!slow.is_empty() && knowing == slow, "{text}: {knowing:?}, not {slow:?}");
            let borrows = |read: &Result<SignatureInput<'_>, _>| {
                read.as_ref().is_ok_and(|input| matches!(input.covered, Cow::Borrowed(_)))
            };
            let sound = knowing.iter().any(Result::is_ok);
            assert_eq!(knowing.iter().any(borrows), is_known && sound, "{text}");
        }
        for broken in
            [format!("sig1={list}x"), format!("sig1={list} ;a"), format!("sig1={list};"), list.to_owned()]
        {
            assert_eq!(read(&broken, &usual), [vec![], vec![]], "{broken}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_signature_input_that_is_known_is_read_as_any_other(
            place in any::<prop::sample::Index>(), cut in 0..3_usize, added in r#"["();, =@a-z0-9\\]{0,3}"#,
        ) {
            let usual = usual();
            let mut text = format!(r#"a={};created=1;keyid="k", b={};tag="t""#, usual.text(), usual.text());
            let place = place.index(text.len());
            text.replace_range(place..text.len().min(place + cut), &added);
            let [knowing, slow] = read(&text, &usual);
            prop_assert_eq!(knowing, slow, "{}", text);
        }
    }

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
        let many = format!("({})", many.join(" "));
        assert_eq!(SignatureInput::parse(&many), Err(SignatureFault::ComponentsTooMany));
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
