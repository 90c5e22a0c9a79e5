//! Access tokens: what checking one costs beside the bare primitive, for every algorithm.
//!
//! The peer verifies the same signature over the same bytes with ring and reads the payload once with `serde_json`, which is
//! the least that any verifier does. Ours also takes the token apart, holds header and claims to every rule and makes the
//! principal. jsonwebtoken stands beside for information: it checks less. All in this process, in turns.

use std::hint::black_box;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use stylobate_auth::{AccessClaims, Keys, Signer, SigningAlgorithm, TokenConfig, Verifier};
use stylobate_core::{Assurance, AuthenticatorAssurance, PersonId, SessionId, TenantId};

use super::primitive::{
    ED25519_PUBLIC, P256_PUBLIC, P384_PUBLIC, Primitive, ROUND_US, RSA_PUBLIC, SECRET, calls_in, signing_key,
    time,
};
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
    bare: Primitive,
    taken_apart: Vec<TakenApart>,
    theirs: (DecodingKey, Validation),
}

/// What the bare primitive gets: already taken apart.
struct TakenApart {
    signed: String,
    signature: Vec<u8>,
    payload: Vec<u8>,
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
        let (keys, decoding) = (Keys::from(signing_key(algorithm)?), decoding_key(algorithm)?);
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
        let bare = Primitive::new(algorithm)?;
        let bench = Self { verifier, tokens, now, bare, taken_apart, theirs: (decoding, validation) };
        // Whoever refuses is fast: all of them have to accept.
        for (token, part) in bench.tokens.iter().zip(&bench.taken_apart) {
            bench.verifier.verify_once(token, now)?;
            jsonwebtoken::decode::<Value>(token, &bench.theirs.0, &bench.theirs.1)?;
            if !bench.bare.verifies(part.signed.as_bytes(), &part.signature) {
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
            black_box(
                self.bare.verifies(part.signed.as_bytes(), &part.signature) && black_box(parsed).is_ok(),
            )
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

fn decoding_key(algorithm: SigningAlgorithm) -> Result<DecodingKey> {
    Ok(match algorithm {
        SigningAlgorithm::EdDsa => DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes())?,
        SigningAlgorithm::Es256 => DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes())?,
        SigningAlgorithm::Es384 => DecodingKey::from_ec_pem(P384_PUBLIC.as_bytes())?,
        _ if algorithm.is_symmetric() => DecodingKey::from_secret(SECRET),
        _ => DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes())?,
    })
}
