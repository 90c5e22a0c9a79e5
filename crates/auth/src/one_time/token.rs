use std::{fmt, marker::PhantomData};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use stylobate_core::TenantId;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Purpose;
use crate::{
    Email, KeyError,
    key::random,
    pepper::{self, Pepper},
};

const PREFIX: &str = "sbl_";
const SIGNED_BYTES: usize = 16 + 32;
const TAG_BYTES: usize = 16;
const BYTES: usize = SIGNED_BYTES + TAG_BYTES;
/// 64 bytes are 86 characters without padding.
const TEXT_BYTES: usize = PREFIX.len() + (BYTES * 4).div_ceil(3);

/// A single-use token for `P` in clear: a secret that goes out once and is stored nowhere.
///
/// `Debug` prints `[redacted]`; there is no `Display` and no `Serialize`. A token of one purpose is no token of another:
///
/// ```compile_fail,E0308
/// # async fn reset(
/// #     auth: &stylobate_auth::Auth,
/// #     ctx: &stylobate_core::RequestContext,
/// #     token: stylobate_auth::OneTimeToken<stylobate_auth::EmailVerification>,
/// #     new: stylobate_auth::Password,
/// # ) {
/// // `token` verifies an address.
/// let _ = auth.reset_password(ctx, &token, new).await;
/// # }
/// ```
pub struct OneTimeToken<P> {
    text: Zeroizing<String>,
    id: Uuid,
    /// Everything before the tag.
    signed: Zeroizing<[u8; SIGNED_BYTES]>,
    purpose: PhantomData<fn() -> P>,
}

/// What a token is bound to, beside its purpose. `Debug` leaves the payload out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenBinding {
    /// The tenant it counts in.
    pub tenant: Option<TenantId>,
    /// Whom or what it is about: a person, an invitation.
    pub subject: Uuid,
    /// The keyed digest of the address that it was mailed to ([`TokenBinding::address`]).
    pub(crate) address_digest: Option<[u8; 32]>,
    /// The credential epoch of the subject: a new password makes the token void.
    pub epoch: Option<i64>,
    /// What its flow goes on with when it is redeemed. It lies in the database as it is: no secrets, and of a password only its
    /// hash.
    pub payload: Vec<u8>,
}

impl TokenBinding {
    /// Bound to `subject` alone.
    #[must_use]
    pub fn to(subject: impl Into<Uuid>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }

    pub(crate) fn address(self, pepper: &Pepper, address: &Email) -> Self {
        Self { address_digest: Some(address_digest(pepper, address)), ..self }
    }

    /// The binding as a digest takes it in: every part but the last has a fixed length, and its absence is none of its values.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(76 + self.payload.len());
        let mut part = |present: bool, value: &[u8]| {
            bytes.push(u8::from(present));
            bytes.extend_from_slice(value);
        };
        part(self.tenant.is_some(), self.tenant.map_or([0; 16], |id| id.as_uuid().into_bytes()).as_slice());
        part(true, self.subject.as_bytes());
        part(self.address_digest.is_some(), &self.address_digest.unwrap_or_default());
        part(self.epoch.is_some(), &self.epoch.unwrap_or_default().to_be_bytes());
        // Last, because it has any length.
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

impl fmt::Debug for TokenBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBinding")
            .field("tenant", &self.tenant)
            .field("subject", &self.subject)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The digest that an address is compared by, in its folded form.
pub(crate) fn address_digest(pepper: &Pepper, address: &Email) -> [u8; 32] {
    pepper.digest("one-time-address", address.key().as_bytes())
}

impl<P: Purpose> OneTimeToken<P> {
    /// Draws a token.
    pub(crate) fn draw(pepper: &Pepper, now: DateTime<Utc>) -> Result<Self, KeyError> {
        let id = stylobate_core::MessageId::new(now).as_uuid();
        let mut signed = Zeroizing::new([0; SIGNED_BYTES]);
        let (place, secret) = signed.split_at_mut(16);
        place.copy_from_slice(id.as_bytes());
        secret.copy_from_slice(&*Zeroizing::new(random::<32>()?));
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.extend_from_slice(&*signed);
        bytes.extend_from_slice(&tag::<P>(pepper, &*signed));
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
        Ok(Self { text, id, signed, purpose: PhantomData })
    }

    /// Reads a token that this installation drew for this purpose; `None` for anything else.
    pub(crate) fn parse(pepper: &Pepper, text: &str) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?);
        let (signed, presented_tag) = bytes.split_first_chunk::<SIGNED_BYTES>()?;
        if !pepper::equal(&tag::<P>(pepper, signed), presented_tag) {
            return None;
        }
        let (id, _) = signed.split_first_chunk::<16>()?;
        Some(Self {
            text: Zeroizing::new(text.to_owned()),
            id: Uuid::from_bytes(*id),
            signed: Zeroizing::new(*signed),
            purpose: PhantomData,
        })
    }

    /// The text for the link. Whoever calls this must neither store nor print it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// The digest that its row is kept under.
    pub(crate) fn digest(&self, pepper: &Pepper, binding: &TokenBinding) -> [u8; 32] {
        let parts = [P::WORD.as_bytes(), &[0], &*self.signed, &binding.to_bytes()];
        pepper.digest("one-time-token", &Zeroizing::new(parts.concat()))
    }
}

fn tag<P: Purpose>(pepper: &Pepper, signed: &[u8]) -> [u8; TAG_BYTES] {
    let parts = [P::WORD.as_bytes(), &[0], signed];
    let digest = pepper.digest("one-time-tag", &Zeroizing::new(parts.concat()));
    let mut tag = [0; TAG_BYTES];
    tag.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    tag
}

impl<P> Clone for OneTimeToken<P> {
    fn clone(&self) -> Self {
        let (text, signed) = (self.text.clone(), self.signed.clone());
        Self { text, id: self.id, signed, purpose: PhantomData }
    }
}

impl<P> fmt::Debug for OneTimeToken<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        key::PlatformSecret,
        one_time::{EmailVerification, PasswordReset, purpose::WORDS},
    };

    fn pepper(byte: u8) -> Pepper {
        Pepper::new(&PlatformSecret::from_bytes([byte; 32]))
    }

    fn draw(pepper: &Pepper) -> OneTimeToken<PasswordReset> {
        OneTimeToken::draw(pepper, DateTime::from_timestamp(1_772_366_400, 0).unwrap()).unwrap()
    }

    #[test]
    fn a_token_survives_the_wire() {
        let pepper = pepper(1);
        let drawn = draw(&pepper);
        assert_eq!(drawn.expose_secret().len(), 90);
        let read = OneTimeToken::<PasswordReset>::parse(&pepper, drawn.expose_secret()).unwrap();
        let binding = TokenBinding::to(Uuid::from_u128(1));
        assert_eq!(
            (read.id(), read.digest(&pepper, &binding)),
            (drawn.id(), drawn.digest(&pepper, &binding))
        );
        assert_ne!(draw(&pepper).expose_secret(), drawn.expose_secret());
        assert_eq!(format!("{drawn:?}"), "OneTimeToken([redacted])");
    }

    #[test]
    fn a_token_of_another_purpose_or_installation_is_none() {
        let drawn = draw(&pepper(1));
        assert!(OneTimeToken::<EmailVerification>::parse(&pepper(1), drawn.expose_secret()).is_none());
        assert!(OneTimeToken::<PasswordReset>::parse(&pepper(2), drawn.expose_secret()).is_none());
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }

    #[test]
    fn the_digest_takes_in_everything_the_token_is_bound_to() {
        let pepper = pepper(1);
        let (token, ada) = (draw(&pepper), Email::parse("ada@example.org").unwrap());
        let bound = || TokenBinding::to(Uuid::from_u128(1)).address(&pepper, &ada);
        let (one, other) = (Uuid::from_u128(2).into(), Email::parse("eve@example.org").unwrap());
        let variants = [
            bound(),
            TokenBinding { tenant: Some(one), ..bound() },
            TokenBinding { subject: Uuid::from_u128(3), ..bound() },
            TokenBinding { address_digest: None, ..bound() },
            bound().address(&pepper, &other),
            TokenBinding { epoch: Some(0), ..bound() },
            TokenBinding { epoch: Some(1), ..bound() },
            TokenBinding { payload: vec![0], ..bound() },
        ];
        let mut digests: Vec<_> = variants.iter().map(|binding| token.digest(&pepper, binding)).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), variants.len());
        let spelled = bound().address(&pepper, &Email::parse("ADA@example.org").unwrap());
        assert_eq!(spelled, bound());
    }

    proptest! {
        #[test]
        fn no_changed_character_passes(at in 0_usize..90, with in "[A-Za-z0-9_=. -]") {
            let pepper = pepper(1);
            let drawn = draw(&pepper);
            let mut text = drawn.expose_secret().to_owned();
            text.replace_range(at..=at, &with);
            let read = OneTimeToken::<PasswordReset>::parse(&pepper, &text);
            prop_assert_eq!(read.is_some(), text == drawn.expose_secret());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            prop_assert!(OneTimeToken::<PasswordReset>::parse(&pepper(1), &text).is_none());
        }
    }
}
