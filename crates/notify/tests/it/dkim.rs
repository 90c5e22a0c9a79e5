use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    digest::{SHA256, digest},
    signature::{
        ED25519, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use stylobate_notify::{Composer, DkimKey, MailTransport as _};

use super::world::{address, arrived, mail_to, sender, transport};

/// Made for this test; signs for nobody.
const RSA: &str = include_str!("dkim/rsa.pem");
/// RFC 8463 appendix A.1.
const ED25519_SECRET: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

fn ed25519_pem() -> String {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key = [prefix.as_slice(), &STANDARD.decode(ED25519_SECRET).unwrap()].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key))
}

/// What a recipient does who has looked the public key up (RFC 6376 §6.1.3), written down apart from what signs.
fn verify(
    mail: &str,
    algorithm: &'static dyn VerificationAlgorithm,
    public: &[u8],
) -> Result<(), &'static str> {
    let (head, body) = mail.split_once("\r\n\r\n").ok_or("no head")?;
    let mut fields: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some(last)) => last.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    let squeezed = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let relaxed = |field: &str| {
        let (name, value) = field.split_once(':').unwrap();
        (name.trim_end().to_ascii_lowercase(), squeezed(value))
    };
    let (name, signature) = relaxed(&fields[0]);
    assert_eq!(name, "dkim-signature");
    let tags: BTreeMap<String, String> = signature
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.split_whitespace().collect()))
        .collect();
    assert_eq!((tags["v"].as_str(), tags["c"].as_str()), ("1", "relaxed/relaxed"));
    assert_eq!((tags["d"].as_str(), tags["s"].as_str()), ("example.test", "mail"));

    let mut lines: Vec<String> = body
        .split("\r\n")
        .map(|line| {
            let (indent, text) = line.split_at(line.len() - line.trim_start_matches([' ', '\t']).len());
            format!("{}{}", if indent.is_empty() || text.is_empty() { "" } else { " " }, squeezed(text))
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let body: String = lines.into_iter().map(|line| line + "\r\n").collect();
    if STANDARD.encode(digest(&SHA256, body.as_bytes())) != tags["bh"] {
        return Err("the body was changed");
    }

    let mut left: Vec<(String, String)> = fields[1..].iter().map(|field| relaxed(field)).collect();
    let mut data = String::new();
    for name in tags["h"].split(':') {
        if let Some(at) = left.iter().rposition(|(other, _)| other == name) {
            let (name, value) = left.remove(at);
            data.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    let unsigned = signature.rsplit_once("b=").unwrap().0;
    data.push_str(&format!("dkim-signature:{unsigned}b="));
    let data = match tags["a"].as_str() {
        "ed25519-sha256" => digest(&SHA256, data.as_bytes()).as_ref().to_vec(),
        "rsa-sha256" => data.into_bytes(),
        other => panic!("{other}"),
    };
    let signature = STANDARD.decode(&tags["b"]).unwrap();
    UnparsedPublicKey::new(algorithm, public).verify(&data, &signature).map_err(|_| "the head was changed")
}

#[tokio::test]
async fn a_signature_is_still_right_when_the_mail_has_arrived() {
    let rsa = RsaKeyPair::from_pkcs8(&der(RSA)).or_else(|_| RsaKeyPair::from_der(&der(RSA))).unwrap();
    let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(&ed25519_pem())).unwrap();
    let keys: [(&str, &'static dyn VerificationAlgorithm, Vec<u8>); 2] = [
        (RSA, &RSA_PKCS1_2048_8192_SHA256, rsa.public().as_ref().to_vec()),
        (&ed25519_pem(), &ED25519, ed25519.public_key().as_ref().to_vec()),
    ];
    let transport = transport(&address("TLS"));
    for (pem, algorithm, public) in keys {
        let key = DkimKey::from_pem("example.test", "mail", pem).unwrap();
        let composer = Composer::new(sender()).signed_by(key);
        for name in ["Ada", "Zoë Łukasiewicz 🦀", &"a long name ".repeat(8)] {
            let mail = mail_to(&composer, "ada", name);
            transport.send(&mail).await.unwrap();
            let arrived = String::from_utf8(arrived(mail.id()).remove(0)).unwrap();
            verify(&arrived, algorithm, &public).unwrap();
            for changed in [
                arrived.replacen("\r\nTo: ", "\r\nTo: eve@evil.test\r\nTo: ", 1),
                arrived.replacen("\r\nSubject: ", "\r\nSubject: x", 1),
                arrived.replacen("\r\nFrom: ", "\r\nFrom: eve@evil.test\r\nFrom: ", 1),
                format!("{arrived}more\r\n"),
            ] {
                assert!(verify(&changed, algorithm, &public).is_err(), "{changed}");
            }
        }
    }
}
