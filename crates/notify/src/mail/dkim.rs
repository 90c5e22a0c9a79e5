use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

use crate::NotifyError;

/// The key by which a domain signs its mails (DKIM, RFC 6376), RSA of 2,048 bits and more or Ed25519 (RFC 8463). Its public half
/// stands in the DNS, at `<selector>._domainkey.<domain>`. Clones share it.
#[derive(Clone)]
pub struct DkimKey {
    domain: String,
    selector: String,
    key: Arc<Key>,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What is signed if it is there. The first three are named once more, so that nobody can add another one.
const SIGNED: [&str; 9] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

impl DkimKey {
    /// Reads a private key in PEM: PKCS #8, or PKCS #1 for RSA.
    ///
    /// # Errors
    /// [`NotifyError::SettingInvalid`] when domain or selector is none, or the key cannot be used.
    pub fn from_pem(domain: &str, selector: &str, pem: &str) -> Result<Self, NotifyError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 253
                && text.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                })
        };
        if !is_name(domain) {
            return Err(invalid("dkim_domain", "is no domain"));
        }
        if !is_name(selector) {
            return Err(invalid("dkim_selector", "is no label of a domain"));
        }
        let der = der(pem).ok_or(invalid("dkim_key", "is no private key in PEM"))?;
        let key = RsaKeyPair::from_pkcs8(&der)
            .or_else(|_| RsaKeyPair::from_der(&der))
            .map(Key::Rsa)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Key::Ed25519))
            .map_err(|_| {
                invalid("dkim_key", "is neither an RSA key of 2,048 bits or more nor an Ed25519 key")
            })?;
        let (domain, selector) = (domain.to_ascii_lowercase(), selector.to_owned());
        Ok(Self { domain, selector, key: Arc::new(key) })
    }

    /// The domain that answers for its mails.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The header that signs `mail`, to be put in front of it.
    pub(super) fn sign(&self, mail: &[u8], now: DateTime<Utc>) -> Result<String, NotifyError> {
        let mail = std::str::from_utf8(mail).map_err(|_| NotifyError::SigningFailed)?;
        let (head, body) = mail.split_once("\r\n\r\n").ok_or(NotifyError::SigningFailed)?;
        let fields = fields(head);
        let is_there = |name: &&str| fields.iter().any(|field| field.name.eq_ignore_ascii_case(name));
        let mut names: Vec<&str> = SIGNED.into_iter().filter(is_there).collect();
        names.extend(["from", "to", "subject"]);
        let algorithm = match *self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let unsigned = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n\
             \td={domain}; s={selector}; t={time};\r\n\
             \th={names};\r\n\
             \tbh={body_hash};\r\n\
             \tb=",
            domain = self.domain,
            selector = self.selector,
            time = now.timestamp(),
            names = names.join(":"),
            body_hash = STANDARD.encode(digest(&SHA256, relaxed_body(body).as_bytes())),
        );
        let signature = self.signature(signed_data(&fields, &names, &unsigned).as_bytes())?;
        let mut header = unsigned;
        // Folded, since lines have at most 998 characters and some servers break longer ones than 78.
        for (at, c) in STANDARD.encode(signature).chars().enumerate() {
            if at > 0 && at % 70 == 0 {
                header.push_str("\r\n\t");
            }
            header.push(c);
        }
        header.push_str("\r\n");
        Ok(header)
    }

    fn signature(&self, data: &[u8]) -> Result<Vec<u8>, NotifyError> {
        match &*self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| NotifyError::SigningFailed)?;
                Ok(signature)
            }
            // RFC 8463 §3: Ed25519 signs the digest.
            Key::Ed25519(key) => Ok(key.sign(digest(&SHA256, data).as_ref()).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

const fn invalid(setting: &'static str, problem: &'static str) -> NotifyError {
    NotifyError::SettingInvalid { setting, problem }
}

fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    if !matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY") {
        return None;
    }
    let (inside, _) = rest.split_once("-----END ")?;
    let text: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// A header field, as it is written.
struct Field<'a> {
    name: &'a str,
    value: &'a str,
}

fn fields(head: &str) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut rest = head;
    while !rest.is_empty() {
        // A field ends where a line does that no folded one follows.
        let mut from = 0;
        let end = loop {
            match rest.get(from..).and_then(|tail| tail.find("\r\n")) {
                None => break rest.len(),
                Some(at) if rest.get(from + at + 2..).is_some_and(|next| next.starts_with([' ', '\t'])) => {
                    from += at + 2;
                }
                Some(at) => break from + at,
            }
        };
        let (field, tail) = rest.split_at(end);
        if let Some((name, value)) = field.split_once(':') {
            fields.push(Field { name: name.trim_end(), value });
        }
        rest = tail.strip_prefix("\r\n").unwrap_or(tail);
    }
    fields
}

/// What is signed: the named fields, the last of a name first (RFC 6376 §5.4.2), and the signature's own without its value.
fn signed_data(fields: &[Field<'_>], names: &[&str], unsigned: &str) -> String {
    let mut data = String::new();
    for (at, name) in names.iter().enumerate() {
        let seen = names.iter().take(at).filter(|other| other.eq_ignore_ascii_case(name)).count();
        let mut of_name = fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case(name));
        if let Some(field) = of_name.nth(seen) {
            data.push_str(&relaxed_field(field.name, field.value));
            data.push_str("\r\n");
        }
    }
    let (name, value) = unsigned.split_once(':').unwrap_or((unsigned, ""));
    data.push_str(&relaxed_field(name, value));
    data
}

/// RFC 6376 §3.4.2.
fn relaxed_field(name: &str, value: &str) -> String {
    let value = value.replace("\r\n", "");
    let words: Vec<&str> = value.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}", name.trim().to_ascii_lowercase(), words.join(" "))
}

/// RFC 6376 §3.4.4.
fn relaxed_body(body: &str) -> String {
    let mut relaxed = String::with_capacity(body.len() + 2);
    for line in body.split("\r\n") {
        let mut in_space = false;
        for c in line.trim_end_matches([' ', '\t']).chars() {
            let is_space = matches!(c, ' ' | '\t');
            if !is_space {
                relaxed.push(c);
            } else if !in_space {
                relaxed.push(' ');
            }
            in_space = is_space;
        }
        relaxed.push_str("\r\n");
    }
    let end = relaxed.trim_end_matches("\r\n").len();
    relaxed.truncate(end);
    if !relaxed.is_empty() {
        relaxed.push_str("\r\n");
    }
    relaxed
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    /// RFC 8463 appendix A.
    const SECRET: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const UNSIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    const SIGNATURE: &str =
        "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
    const MAIL: &str = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\nSubject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\nMessage-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

    /// PKCS #8 of an Ed25519 key (RFC 8410 §7): the prefix is the same for all.
    pub(super) fn pem_of(secret: &str) -> String {
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend(STANDARD.decode(secret).unwrap());
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_is_there() {
        let (head, body) = MAIL.split_once("\r\n\r\n").unwrap();
        let body_hash = STANDARD.encode(digest(&SHA256, relaxed_body(body).as_bytes()));
        assert_eq!(body_hash, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
        let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
        let data = signed_data(&fields(head), &names, UNSIGNED);
        let key = DkimKey::from_pem("football.example.com", "brisbane", &pem_of(SECRET)).unwrap();
        assert_eq!(STANDARD.encode(key.signature(data.as_bytes()).unwrap()), SIGNATURE);
    }

    #[test]
    fn a_signature_covers_headers_and_body() {
        let key = DkimKey::from_pem("Football.example.com", "brisbane", &pem_of(SECRET)).unwrap();
        let header = key.sign(MAIL.as_bytes(), DateTime::from_timestamp(1_528_637_909, 0).unwrap()).unwrap();
        assert!(header.contains("d=football.example.com; s=brisbane; t=1528637909;"), "{header}");
        assert!(header.contains("h=from:to:subject:date:message-id:from:to:subject;"), "{header}");
        let at = header.find("\tb=").unwrap() + 3;
        let (unsigned, signature) = header.split_at(at);
        let signature: String = signature.split_ascii_whitespace().collect();
        let names = ["from", "to", "subject", "date", "message-id", "from", "to", "subject"];
        let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(PUBLIC).unwrap());
        let verify = |mail: &str| {
            let data = signed_data(&fields(mail.split_once("\r\n\r\n").unwrap().0), &names, unsigned);
            public.verify(digest(&SHA256, data.as_bytes()).as_ref(), &STANDARD.decode(&signature).unwrap())
        };
        verify(MAIL).unwrap();
        for changed in [
            MAIL.replace("dinner", "supper"),
            MAIL.replacen("From: ", "Subject: x\r\nFrom: ", 1),
            format!("From: eve@evil.test\r\n{MAIL}"),
        ] {
            assert!(verify(&changed).is_err(), "{changed}");
        }
    }

    /// RFC 6376 §3.4.5.
    #[test]
    fn spaces_are_relaxed_as_the_standard_shows() {
        let fields = fields("A: X\r\nB : Y\t\r\n\tZ  ");
        let relaxed: Vec<_> = fields.iter().map(|field| relaxed_field(field.name, field.value)).collect();
        assert_eq!(relaxed, ["a:X", "b:Y Z"]);
        assert_eq!(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
        assert_eq!(relaxed_body("\r\n\r\n"), "");
        assert_eq!(relaxed_body("a"), "a\r\n");
    }

    #[test]
    fn what_is_no_key_is_refused_and_none_is_shown() {
        let pem = pem_of(SECRET);
        for (domain, selector, pem, setting) in [
            ("", "s", pem.as_str(), "dkim_domain"),
            ("a.test; s=x", "s", &pem, "dkim_domain"),
            ("a.test", "s\r\n", &pem, "dkim_selector"),
            ("a.test", "s", "", "dkim_key"),
            ("a.test", "s", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "dkim_key"),
            ("a.test", "s", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "dkim_key"),
        ] {
            let error = DkimKey::from_pem(domain, selector, pem).unwrap_err();
            assert!(error.to_string().contains(setting), "{error}");
        }
        let key = DkimKey::from_pem("a.test", "s", &pem).unwrap();
        assert_eq!(format!("{key:?}"), "DkimKey { domain: \"a.test\", selector: \"s\", .. }");
    }
}
