//! Signed requests (RFC 9421): what checking one costs beside the bare primitive and the digest of the body, for every algorithm.
//!
//! The peer verifies the same signature over the same base with ring and hashes the same body, both taken apart beforehand. Ours also
//! reads the fields, holds them to every rule and builds the base. Nobody remembers signatures here: how long that takes is the
//! store's affair.

use std::{hint::black_box, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use ring::digest;
use serde_json::json;
use stylobate_auth::{
    FixedKeys, KeyHolder, MessageFields, NonceStore, NonceStoreError, RequestNonce, RequestParts,
    RequestSigner, RequestVerifier, RequestVerifierConfig, SignatureInput, SignedMessage, SigningAlgorithm,
    TargetUri,
};
use stylobate_core::{BoxFuture, ServiceId};

use super::primitive::{Primitive, ROUND_US, calls_in, signing_key, time};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{count, median},
};

/// At most this many times what the peer takes.
const MOST: f64 = 1.3;
/// Requests in a round.
const REQUESTS: usize = 64;
/// A body of about a kibibyte.
const BODY_BYTES: usize = 1_024;

const ALGORITHMS: [SigningAlgorithm; 6] = [
    SigningAlgorithm::EdDsa,
    SigningAlgorithm::Es256,
    SigningAlgorithm::Es384,
    SigningAlgorithm::Ps512,
    SigningAlgorithm::Rs256,
    SigningAlgorithm::Hs256,
];

pub(super) fn run(report: &mut Report) -> Result {
    let rounds = count(41);
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for algorithm in ALGORITHMS {
        let bench = Bench::new(algorithm)?;
        let (ours, bare) = bench.measure(rounds);
        let ratio = median(ours.iter().zip(&bare).map(|(ours, bare)| ours / bare));
        let us = |values: &[f64]| format!("{:.2}", median(values.iter().copied()));
        rows.push(vec![algorithm.to_string(), us(&ours), us(&bare), format!("{ratio:.3}")]);
        report.keep(json!({ "what": format!("signed {algorithm}"), "ratio": ratio, "ours_us": ours, "bare_us": bare }));
        verdicts.push((algorithm, ratio));
    }
    report.table(&["signed request, us each", "ours", "bare", "ratio"], &rows);
    for (algorithm, ratio) in verdicts {
        report.verdict(&format!("signed {algorithm}"), ratio, "x", Goal::AtMost(MOST));
    }
    Ok(())
}

struct Bench {
    verifier: RequestVerifier,
    primitive: Primitive,
    target: TargetUri,
    requests: Vec<Signed>,
    body: Vec<u8>,
    now: DateTime<Utc>,
}

/// A request as it comes in, and what the bare primitive gets.
struct Signed {
    fields: Vec<(&'static str, String)>,
    base: String,
    signature: Vec<u8>,
}

impl Signed {
    fn fields(&self) -> MessageFields<'_> {
        self.fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }
}

impl Bench {
    fn new(algorithm: SigningAlgorithm) -> Result<Self> {
        let key = signing_key(algorithm)?;
        let now = Utc::now();
        let holder = KeyHolder { service: ServiceId::new(now), tenant: None, name: "bench".into() };
        let keys = FixedKeys::new().with(key.verifying_key().clone(), holder)?;
        let verifier =
            RequestVerifier::new(Arc::new(keys), Arc::new(Fresh), RequestVerifierConfig::default())?;
        let target = TargetUri::new("https", "orders.example.org", "/v1/charges?currency=eur")?;
        let signer = RequestSigner::new(key)?;
        let body = vec![b'x'; BODY_BYTES];
        let requests =
            (0..REQUESTS).map(|_| sign(&signer, &target, &body, now)).collect::<Result<Vec<Signed>>>()?;
        let primitive = Primitive::new(algorithm)?;
        let bench = Self { verifier, primitive, target, requests, body, now };
        // Whoever refuses is fast: both have to accept.
        match (bench.accepts(0), bench.accepts_bare(0)) {
            (true, true) => Ok(bench),
            refused => Err(format!("a signed request is refused: {algorithm} {refused:?}").into()),
        }
    }

    fn measure(&self, rounds: usize) -> (Vec<f64>, Vec<f64>) {
        let (ours, bare) = (|n: usize| self.accepts(n), |n: usize| self.accepts_bare(n));
        let calls = calls_in(ROUND_US, &bare);
        // One round that does not count.
        (0..=rounds).map(|_| (time(calls, &ours), time(calls, &bare))).skip(1).unzip()
    }

    fn accepts(&self, n: usize) -> bool {
        let Some(signed) = self.requests.get(n % REQUESTS) else { return false };
        let request = RequestParts { method: "POST", target: &self.target, fields: signed.fields() };
        let judged = self.verifier.verify(black_box(&request), black_box(&self.body), self.now);
        black_box(judged.now_or_never().is_some_and(|judged| judged.is_ok()))
    }

    fn accepts_bare(&self, n: usize) -> bool {
        let Some(signed) = self.requests.get(n % REQUESTS) else { return false };
        let digest = digest::digest(&digest::SHA256, black_box(&self.body));
        black_box(&digest);
        black_box(self.primitive.verifies(signed.base.as_bytes(), &signed.signature))
    }
}

fn sign(signer: &RequestSigner, target: &TargetUri, body: &[u8], now: DateTime<Utc>) -> Result<Signed> {
    let own = [("content-type", "application/json"), ("host", "orders.example.org"), ("user-agent", "bench")];
    let fields = own.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let request = RequestParts { method: "POST", target, fields };
    let made = signer.sign(&request, body, now)?;
    let fields: Vec<(&'static str, String)> = own
        .map(|(name, value)| (name, value.to_owned()))
        .into_iter()
        .chain(made.iter().map(|(name, value)| (name, value.to_owned())))
        .collect();
    let mut signed = Signed { fields, base: String::new(), signature: Vec::new() };
    let (_, text) = made.signature_input.split_once('=').ok_or("no label")?;
    let input = SignatureInput::parse(text)?;
    signed.base = input.base(SignedMessage::Request(&RequestParts {
        method: "POST",
        target,
        fields: signed.fields(),
    }))?;
    let (_, text) = made.signature.split_once("=:").ok_or("no signature")?;
    signed.signature = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text.trim_end_matches(':'))?;
    Ok(signed)
}

/// Every signature is the first of its kind.
#[derive(Debug)]
struct Fresh;

impl NonceStore for Fresh {
    fn remember<'a>(
        &'a self,
        _: &'a RequestNonce,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, std::result::Result<bool, NonceStoreError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn sweep(&self, _: DateTime<Utc>, _: u32) -> BoxFuture<'_, std::result::Result<u64, NonceStoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}
