//! Access tokens: what checking one costs beside the bare primitive, for every algorithm.
//!
//! The peer verifies the same signature over the same bytes with ring and reads the payload once with `serde_json`, which is
//! the least that any verifier does. Ours also takes the token apart, holds header and claims to every rule and makes the
//! principal. jsonwebtoken stands beside for information: it checks less. All in this process, in turns.

use std::{hint::black_box, time::Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ring::{hmac, signature};
use serde_json::{Value, json};
use stylobate_auth::{AccessClaims, Keys, Signer, SigningAlgorithm, SigningKey, TokenConfig, Verifier};
use stylobate_core::{Assurance, AuthenticatorAssurance, PersonId, SessionId, TenantId};

use crate::{
    Result,
    report::{Goal, Report},
    rounds::{count, median, sorted},
};

/// Cold: at most this many times what the peer takes.
const COLD_MOST: f64 = 1.15;
/// Warm: at most this long.
const WARM_MOST_US: f64 = 2.0;
/// Tokens in a round: enough that none is in the processor's caches for being the same as the one before.
const TOKENS: usize = 256;
/// How long a contender works in a round.
const ROUND_US: f64 = 20_000.0;

const RSA: &str = include_str!("../../crates/auth/tests/it/keys/rfc7515_a2.pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("../../crates/auth/tests/it/keys/rfc7515_a2.spki.pem");
const P256: &str = include_str!("../../crates/auth/tests/it/keys/rfc7515_a3.pkcs8.pem");
const P256_PUBLIC: &str = include_str!("../../crates/auth/tests/it/keys/rfc7515_a3.spki.pem");
const P384: &str = include_str!("../../crates/auth/tests/it/keys/rfc6979_a26.pkcs8.pem");
const P384_PUBLIC: &str = include_str!("../../crates/auth/tests/it/keys/rfc6979_a26.spki.pem");
const ED25519: &str = include_str!("../../crates/auth/tests/it/keys/rfc8037_a1.pkcs8.pem");
const ED25519_PUBLIC: &str = include_str!("../../crates/auth/tests/it/keys/rfc8037_a1.spki.pem");
const SECRET: &[u8] = b"a shared secret of more than sixty-four bytes, which HS512 asks for";

pub(crate) fn run(report: &mut Report) -> Result {
    let rounds = count(41);
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for algorithm in SigningAlgorithm::ALL {
        let bench = Bench::new(algorithm)?;
        let cold = bench.measure(rounds);
        rows.push(cold.row(algorithm));
        report.keep(cold.json(algorithm));
        verdicts.push((algorithm, cold));
    }
    let heads = ["cold, us each", "ours", "bare", "ratio", "low", "high", "with cache", "jsonwebtoken"];
    report.table(&heads, &rows);
    for (algorithm, cold) in &verdicts {
        report.verdict(&format!("cold {algorithm}"), cold.ratio(), "x", Goal::AtMost(COLD_MOST));
    }
    let warm = Bench::new(SigningAlgorithm::EdDsa)?.measure_warm(rounds);
    report.keep(json!({ "what": "warm", "us": warm }));
    report.verdict("warm", warm, "us", Goal::AtMost(WARM_MOST_US));
    Ok(())
}

/// One algorithm with what each contender needs, prepared as a program would keep it.
struct Bench {
    verifier: Verifier,
    tokens: Vec<String>,
    now: DateTime<Utc>,
    bare: Bare,
    taken_apart: Vec<TakenApart>,
    theirs: (DecodingKey, Validation),
}

/// What the bare primitive gets: already taken apart.
struct TakenApart {
    signed: String,
    signature: Vec<u8>,
    payload: Vec<u8>,
}

enum Bare {
    Public(signature::UnparsedPublicKey<Vec<u8>>),
    Hmac(hmac::Key),
}

/// Microseconds for each contender, round by round.
struct Cold {
    ours: Vec<f64>,
    bare: Vec<f64>,
    remembering: Vec<f64>,
    theirs: Vec<f64>,
}

impl Bench {
    fn new(algorithm: SigningAlgorithm) -> Result<Self> {
        let (keys, decoding) = keys(algorithm)?;
        let now = Utc::now();
        let config = TokenConfig::new("https://id.example.org", "https://api.example.org");
        let signer = Signer::new(keys.clone(), config.clone())?;
        let tokens: Vec<String> = (0..TOKENS)
            .map(|_| signer.issue(&claims(&signer, now)))
            .collect::<std::result::Result<_, _>>()?;
        let taken_apart = tokens.iter().map(|token| TakenApart::new(token)).collect::<Result<_>>()?;
        let mut validation = Validation::new(algorithm.as_str().parse::<Algorithm>()?);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        let verifier = Verifier::new(keys, config)?;
        let bare = bare(algorithm)?;
        let bench = Self { verifier, tokens, now, bare, taken_apart, theirs: (decoding, validation) };
        // Whoever refuses is fast: all of them have to accept.
        for (token, part) in bench.tokens.iter().zip(&bench.taken_apart) {
            bench.verifier.verify_once(token, now)?;
            jsonwebtoken::decode::<Value>(token, &bench.theirs.0, &bench.theirs.1)?;
            if !bench.bare.verifies(part) {
                return Err("the bare primitive refuses a token of ours".into());
            }
        }
        Ok(bench)
    }

    fn measure(&self, rounds: usize) -> Cold {
        let ours = |n: usize| {
            let token = self.token(n);
            black_box(self.verifier.verify_once(black_box(token), self.now).is_ok())
        };
        let bare = |n: usize| {
            let Some(part) = self.taken_apart.get(n % TOKENS) else { return false };
            let parsed: std::result::Result<Value, _> = serde_json::from_slice(black_box(&part.payload));
            black_box(self.bare.verifies(part) && black_box(parsed).is_ok())
        };
        let theirs = |n: usize| {
            black_box(
                jsonwebtoken::decode::<Value>(black_box(self.token(n)), &self.theirs.0, &self.theirs.1)
                    .is_ok(),
            )
        };
        let calls = calls_in(ROUND_US, &bare);
        let mut cold =
            Cold { ours: Vec::new(), bare: Vec::new(), remembering: Vec::new(), theirs: Vec::new() };
        // One round that does not count.
        for round in 0..=rounds {
            let measured = [
                time(calls, &bare),
                time(calls, &ours),
                self.time_remembering(),
                time(calls / 4 + 1, &theirs),
            ];
            if round > 0 {
                cold.bare.push(measured[0]);
                cold.ours.push(measured[1]);
                cold.remembering.push(measured[2]);
                cold.theirs.push(measured[3]);
            }
        }
        cold
    }

    /// The first time a token is seen by a verifier that remembers: digest and entry on top.
    fn time_remembering(&self) -> f64 {
        let fresh = Verifier::new(self.verifier.keys().clone(), self.verifier.config().clone());
        let Ok(fresh) = fresh else { return f64::NAN };
        time(TOKENS, &|n| black_box(fresh.verify(black_box(self.token(n)), self.now).is_ok()))
    }

    fn measure_warm(&self, rounds: usize) -> f64 {
        let warm = |n: usize| black_box(self.verifier.verify(black_box(self.token(n)), self.now).is_ok());
        time(TOKENS, &warm);
        let calls = calls_in(ROUND_US, &warm);
        median((0..rounds).map(|_| time(calls, &warm)))
    }

    fn token(&self, n: usize) -> &str {
        self.tokens.get(n % TOKENS).map_or("", String::as_str)
    }
}

impl TakenApart {
    fn new(token: &str) -> Result<Self> {
        let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
        let payload = signed.split('.').nth(1).ok_or("no payload")?;
        Ok(Self {
            signed: signed.to_owned(),
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature)?,
            payload: BASE64_URL_SAFE_NO_PAD.decode(payload)?,
        })
    }
}

impl Bare {
    fn verifies(&self, part: &TakenApart) -> bool {
        let (message, signature) = (black_box(part.signed.as_bytes()), black_box(&part.signature));
        match self {
            Self::Public(key) => key.verify(message, signature).is_ok(),
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl Cold {
    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare)
    }

    fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    fn row(&self, algorithm: SigningAlgorithm) -> Vec<String> {
        let us = |values: &[f64]| format!("{:.2}", median(values.iter().copied()));
        let ratios = sorted(self.ratios());
        let end = |value: Option<&f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
        vec![
            algorithm.to_string(),
            us(&self.ours),
            us(&self.bare),
            format!("{:.3}", self.ratio()),
            end(ratios.first()),
            end(ratios.last()),
            us(&self.remembering),
            us(&self.theirs),
        ]
    }

    fn json(&self, algorithm: SigningAlgorithm) -> Value {
        json!({
            "what": algorithm.as_str(),
            "ratio": self.ratio(),
            "ours_us": self.ours,
            "bare_us": self.bare,
            "remembering_us": self.remembering,
            "jsonwebtoken_us": self.theirs,
        })
    }
}

/// Microseconds of one call.
fn time(calls: usize, call: &dyn Fn(usize) -> bool) -> f64 {
    let begun = Instant::now();
    let good = (0..calls).filter(|n| call(*n)).count();
    let took = begun.elapsed().as_secs_f64() * 1e6 / calls as f64;
    if good == calls { took } else { f64::NAN }
}

/// How many calls take about this long.
fn calls_in(us: f64, call: &dyn Fn(usize) -> bool) -> usize {
    let one = time(64, call).max(0.05);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let calls = (us / one) as usize;
    calls.max(16)
}

/// What a login of somebody with a second factor puts into a token.
fn claims(signer: &Signer, now: DateTime<Utc>) -> AccessClaims {
    let assurance = Assurance {
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        aal: AuthenticatorAssurance::Aal2,
        auth_time: Some(now - TimeDelta::minutes(3)),
    };
    let mut claims = signer.claims(PersonId::new(now), SessionId::new(now), 7, assurance, now);
    claims.tenant = Some(TenantId::new(now));
    claims.scopes = Some(vec!["people:read".to_owned(), "roles:read".to_owned()]);
    claims
}

fn keys(algorithm: SigningAlgorithm) -> Result<(Keys, DecodingKey)> {
    let from_pem = |pem| SigningKey::from_pem(algorithm, pem);
    let (key, decoding) = match algorithm {
        SigningAlgorithm::EdDsa => (from_pem(ED25519)?, DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes())?),
        SigningAlgorithm::Es256 => (from_pem(P256)?, DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes())?),
        SigningAlgorithm::Es384 => (from_pem(P384)?, DecodingKey::from_ec_pem(P384_PUBLIC.as_bytes())?),
        _ if algorithm.is_symmetric() => {
            (SigningKey::hmac(algorithm, SECRET)?, DecodingKey::from_secret(SECRET))
        }
        _ => (from_pem(RSA)?, DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes())?),
    };
    Ok((Keys::from(key), decoding))
}

/// The primitive with its key as ring takes it, which is how our verifier keeps it too.
fn bare(algorithm: SigningAlgorithm) -> Result<Bare> {
    let scheme: &'static dyn signature::VerificationAlgorithm = match algorithm {
        SigningAlgorithm::Hs256 => return Ok(Bare::Hmac(hmac::Key::new(hmac::HMAC_SHA256, SECRET))),
        SigningAlgorithm::Hs384 => return Ok(Bare::Hmac(hmac::Key::new(hmac::HMAC_SHA384, SECRET))),
        SigningAlgorithm::Hs512 => return Ok(Bare::Hmac(hmac::Key::new(hmac::HMAC_SHA512, SECRET))),
        SigningAlgorithm::EdDsa => &signature::ED25519,
        SigningAlgorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        SigningAlgorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
    };
    let pem = match algorithm {
        SigningAlgorithm::EdDsa => ED25519_PUBLIC,
        SigningAlgorithm::Es256 => P256_PUBLIC,
        SigningAlgorithm::Es384 => P384_PUBLIC,
        _ => RSA_PUBLIC,
    };
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let spki = base64::prelude::BASE64_STANDARD.decode(body)?;
    // In each of these the key itself is the end of the structure; its head has a fixed length for its kind.
    let head = match algorithm {
        SigningAlgorithm::EdDsa => 12,
        SigningAlgorithm::Es256 => 26,
        SigningAlgorithm::Es384 => 23,
        _ => 24,
    };
    let key = spki.get(head..).ok_or("the key is too short")?.to_vec();
    Ok(Bare::Public(signature::UnparsedPublicKey::new(scheme, key)))
}
