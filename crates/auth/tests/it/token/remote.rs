use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use stylobate_auth::{
    FetchedJwks, JwkSet, JwksSource, JwksUnavailable, Kid, RemoteJwks, RemoteJwksConfig,
    RemoteServiceVerifier, RemoteVerifier, ServiceClaims, ServiceTokenSigner,
};
use stylobate_core::{BoxFuture, ServiceId};

use super::*;

/// An issuer that shows what it is told to, and counts who asks.
#[derive(Clone, Default)]
struct Issuer {
    asked: Arc<AtomicUsize>,
    shows: Arc<Mutex<Shows>>,
}

#[derive(Clone, Default)]
enum Shows {
    #[default]
    Nothing,
    Json(String),
    /// Answers after this time.
    Late(String, Duration),
    Never,
}

impl Issuer {
    fn showing(fixtures: &[&Fixture]) -> Self {
        let issuer = Self::default();
        issuer.show(fixtures);
        issuer
    }

    fn show(&self, fixtures: &[&Fixture]) {
        *self.shows.lock().unwrap() = Shows::Json(json(fixtures));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verifier(&self) -> RemoteVerifier {
        self.verifier_with(RemoteJwksConfig::default())
    }

    fn verifier_with(&self, config: RemoteJwksConfig) -> RemoteVerifier {
        let jwks = RemoteJwks::new(self.clone(), config);
        RemoteVerifier::new(jwks, super::config()).unwrap().with_clock(Arc::new(ManualClock::new()))
    }
}

impl JwksSource for Issuer {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedJwks, JwksUnavailable>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let shows = self.shows.lock().unwrap().clone();
        Box::pin(async move {
            let json = match shows {
                Shows::Nothing => return Err(JwksUnavailable::new("down")),
                Shows::Json(json) => json,
                Shows::Late(json, time) => {
                    tokio::time::sleep(time).await;
                    json
                }
                Shows::Never => std::future::pending().await,
            };
            Ok(FetchedJwks { json: json.into_bytes(), max_age: Some(Duration::from_secs(300)) })
        })
    }
}

fn json(fixtures: &[&Fixture]) -> String {
    let mut set = KeySet::verify_only();
    for fixture in fixtures {
        set = set.also_accepting(fixture.key.verifying_key().clone()).unwrap();
    }
    JwkSet::of(&set).to_json()
}

/// A signer with a key of its own.
fn rotated() -> Fixture {
    let (_, pkcs8) = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    Fixture::with(|| SigningKey::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap())
}

fn token(fixture: &Fixture) -> String {
    fixture.signer.issue(&fixture.claims()).unwrap()
}

/// A sound token but for the name of its key.
fn of_unknown_key(fixture: &Fixture, name: &str) -> String {
    let mut header = fixture.header();
    header["kid"] = name.into();
    fixture.forge(&header.to_string(), &fixture.payload().to_string())
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_of_every_asymmetric_algorithm_are_verified_by_the_shown_keys() {
    for algorithm in SigningAlgorithm::ALL.into_iter().filter(|one| !one.is_symmetric()) {
        let fixture = Fixture::with(|| crate::key::key_for(algorithm));
        let verifier = Issuer::showing(&[&fixture]).verifier();
        let claims = fixture.claims();
        let verified = verifier.verify(&fixture.signer.issue(&claims).unwrap()).await.unwrap();
        assert_eq!(verified.claims, claims, "{algorithm}");
        let mut changed = token(&fixture);
        changed.replace_range(changed.len() - 8..changed.len() - 4, "AAAA");
        assert!(verifier.verify(&changed).await.is_err(), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_unknown_keys_cause_two_fetches_a_minute() {
    // A10, C5
    let fixture = Fixture::new();
    let issuer = Issuer::showing(&[&fixture]);
    let verifier = issuer.verifier();
    verifier.verify(&token(&fixture)).await.unwrap();
    assert_eq!(issuer.asked(), 1);
    // A minute with a token every 50 ms.
    for n in 0..1_200 {
        let refused = verifier.verify(&of_unknown_key(&fixture, &format!("k{n}"))).await;
        assert!(matches!(refused, Err(TokenError::KeyUnknown)));
        tokio::time::advance(Duration::from_millis(49)).await;
    }
    assert_eq!(issuer.asked(), 2);
    verifier.verify(&token(&fixture)).await.unwrap();
    assert_eq!(issuer.asked(), 2, "known keys cost nothing");
    pass(10).await;
    assert!(verifier.verify(&of_unknown_key(&fixture, "later")).await.is_err());
    assert_eq!(issuer.asked(), 3, "the next minute has its own");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_wait_for_one_answer() {
    let fixture = Fixture::new();
    let issuer = Issuer::showing(&[&fixture]);
    let verifier = issuer.verifier();
    verifier.jwks().refresh().await.unwrap();
    pass(10).await;
    *issuer.shows.lock().unwrap() = Shows::Late(json(&[&fixture]), Duration::from_secs(2));
    let tasks: Vec<_> = (0..1_000)
        .map(|n| {
            let (verifier, token) = (verifier.clone(), of_unknown_key(&fixture, &format!("k{n}")));
            tokio::spawn(async move { verifier.verify(&token).await.is_err() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_take_the_answer_along() {
    let (old, new) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&old]);
    let verifier = issuer.verifier();
    verifier.jwks().refresh().await.unwrap();
    pass(10).await;
    *issuer.shows.lock().unwrap() = Shows::Late(json(&[&old, &new]), Duration::from_secs(2));
    let unknown = of_unknown_key(&old, "k1");
    let gone = tokio::time::timeout(Duration::from_millis(100), verifier.verify(&unknown)).await;
    assert!(gone.is_err());
    // The budget is spent, and the answer still comes.
    verifier.verify(&token(&new)).await.unwrap();
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_while_new_ones_are_fetched() {
    let (old, new) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&old]);
    let verifier = issuer.verifier();
    verifier.verify(&token(&old)).await.unwrap();
    *issuer.shows.lock().unwrap() = Shows::Late(json(&[&new]), Duration::from_secs(3));
    pass(300).await;
    assert!(verifier.verify_now(&token(&old)).is_none(), "somebody has to ask");
    let begun = tokio::time::Instant::now();
    verifier.verify(&token(&old)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "and nobody has to wait");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(matches!(verifier.verify(&token(&old)).await, Err(TokenError::KeyUnknown)));
    assert!(verifier.verify_now(&token(&new)).unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_of_a_key_causes_no_fetch() {
    // C5, C6
    let fixture = Fixture::new();
    let issuer = Issuer::showing(&[&fixture]);
    let verifier = issuer.verifier();
    verifier.jwks().refresh().await.unwrap();
    pass(10).await;
    let headers = [
        json!({"alg": "EdDSA", "typ": "at+jwt"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "../../etc/passwd"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "a'--"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "a\0"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k".repeat(65)}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "jku": "https://evil.test/keys"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "x5u": "https://evil.test/keys"}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "jwk": {"kty": "OKP"}}),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "crit": ["x"]}),
    ];
    for header in headers {
        let token = fixture.forge(&header.to_string(), &fixture.payload().to_string());
        assert!(verifier.verify(&token).await.is_err(), "{header}");
        assert!(verifier.verify_now(&token).is_some_and(|decided| decided.is_err()), "{header}");
    }
    for text in ["", "x", "a.b.c", &"a".repeat(9_000)] {
        assert!(verifier.verify(text).await.is_err());
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_learnt_from_its_first_token() {
    let (old, new) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&old]);
    let verifier = issuer.verifier();
    verifier.verify(&token(&old)).await.unwrap();
    issuer.show(&[&old, &new]);
    pass(10).await;
    let (before, after) = (token(&old), token(&new));
    assert!(verifier.verify_now(&after).is_none(), "the issuer should be asked");
    verifier.verify(&after).await.unwrap();
    verifier.verify(&before).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    // The old one goes: its tokens stop with the next answer, remembered or not.
    issuer.show(&[&new]);
    pass(60).await;
    verifier.jwks().refresh().await.unwrap();
    assert!(matches!(verifier.verify(&before).await, Err(TokenError::KeyUnknown)));
    verifier.verify(&after).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_before_they_grow_old() {
    let (old, new) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&old]);
    let verifier = issuer.verifier();
    let background = verifier.jwks().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move { background.run(async { drop(stopped.await) }).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.asked(), 1, "at the start");
    issuer.show(&[&old, &new]);
    tokio::time::sleep(Duration::from_secs(250)).await;
    assert_eq!(issuer.asked(), 2, "at four fifths of the five minutes that the issuer named");
    assert!(
        verifier.verify_now(&token(&new)).unwrap().is_ok(),
        "published ahead, known before its first token"
    );
    // While it is down, now and then; the last good keys stay.
    *issuer.shows.lock().unwrap() = Shows::Nothing;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!((30..=45).contains(&issuer.asked()), "{}", issuer.asked());
    verifier.verify(&token(&new)).await.unwrap();
    issuer.show(&[&new]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(verifier.verify(&token(&old)).await.is_err());
    drop(stop);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_serve_for_a_stated_time() {
    let fixture = Fixture::new();
    let issuer = Issuer::showing(&[&fixture]);
    let verifier = issuer.verifier();
    verifier.verify(&token(&fixture)).await.unwrap();
    *issuer.shows.lock().unwrap() = Shows::Nothing;
    for _ in 0..59 {
        pass(60).await;
        verifier.verify(&token(&fixture)).await.unwrap();
    }
    pass(61).await;
    assert!(matches!(verifier.verify(&token(&fixture)).await, Err(TokenError::KeysUnavailable)));
    assert!(verifier.verify_now(&token(&fixture)).is_none());
    assert!(issuer.asked() <= 2 * 62, "{}", issuer.asked());
    issuer.show(&[&fixture]);
    pass(60).await;
    verifier.verify(&token(&fixture)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answered_makes_every_token_undecided() {
    let fixture = Fixture::new();
    for shows in [
        Shows::Nothing,
        Shows::Never,
        Shows::Late(json(&[&fixture]), Duration::from_secs(60)),
        Shows::Json(String::new()),
        Shows::Json("<html>".into()),
        Shows::Json("{}".into()),
        Shows::Json(r#"{"keys":[]}"#.into()),
        Shows::Json(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0","use":"sig","alg":"HS256","kid":"k"}]}"#.into()),
        Shows::Json(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))),
    ] {
        let issuer = Issuer::default();
        *issuer.shows.lock().unwrap() = shows;
        let verifier = issuer.verifier();
        let begun = tokio::time::Instant::now();
        for _ in 0..20 {
            assert!(matches!(verifier.verify(&token(&fixture)).await, Err(TokenError::KeysUnavailable)));
        }
        // Two tries of five seconds, for all of them together.
        assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
        assert!(issuer.asked() <= 2, "{}", issuer.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_does_not_take_the_place_of_good_keys() {
    let fixture = Fixture::new();
    let issuer = Issuer::showing(&[&fixture]);
    let verifier = issuer.verifier();
    verifier.jwks().refresh().await.unwrap();
    for garbage in ["", "null", r#"{"keys":[]}"#, r#"{"keys":[null]}"#] {
        *issuer.shows.lock().unwrap() = Shows::Json(garbage.into());
        assert!(verifier.jwks().refresh().await.is_err(), "{garbage}");
        verifier.verify(&token(&fixture)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn algorithms_that_are_not_wanted_are_no_keys() {
    // A7
    let (fixture, other) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&fixture, &other]);
    let config = RemoteJwksConfig {
        algorithms: vec![SigningAlgorithm::Es256, SigningAlgorithm::Hs256],
        ..RemoteJwksConfig::default()
    };
    let verifier = issuer.verifier_with(config);
    assert!(matches!(verifier.verify(&token(&fixture)).await, Err(TokenError::KeyUnknown)));
    verifier.verify(&token(&other)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_public_key_shown_as_a_secret_verifies_nothing() {
    // C1: what the issuer shows as `oct` is not taken, so that nobody signs with what everybody can read.
    let kid: Kid = "shared".parse().unwrap();
    let fixture = Fixture::with(|| {
        SigningKey::hmac(stylobate_auth::SigningAlgorithm::Hs256, crate::key::SECRET)
            .unwrap()
            .with_kid(kid.clone())
    });
    let issuer = Issuer::default();
    let k = BASE64_URL_SAFE_NO_PAD.encode(crate::key::SECRET);
    let other = json(&[&rotated()]);
    let oct = format!(r#"{{"keys":[{{"kty":"oct","k":"{k}","use":"sig","alg":"HS256","kid":"shared"}},"#);
    *issuer.shows.lock().unwrap() = Shows::Json(other.replacen(r#"{"keys":["#, &oct, 1));
    let config =
        RemoteJwksConfig { algorithms: SigningAlgorithm::ALL.to_vec(), ..RemoteJwksConfig::default() };
    let verifier = issuer.verifier_with(config);
    assert!(matches!(verifier.verify(&token(&fixture)).await, Err(TokenError::KeyUnknown)));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_verifies_service_tokens_by_the_shown_keys_and_no_access_tokens() {
    let (fixture, next) = (Fixture::new(), rotated());
    let issuer = Issuer::showing(&[&fixture]);
    let own = TokenConfig::new(ISSUER, "https://billing.example.test");
    let jwks = RemoteJwks::new(issuer.clone(), RemoteJwksConfig::default());
    let verifier = RemoteServiceVerifier::new(jwks, own).unwrap().with_clock(Arc::new(ManualClock::new()));
    let issue = |fixture: &Fixture, audience: &str| {
        let signer = ServiceTokenSigner::new(fixture.keys.clone(), super::config()).unwrap();
        let claims = signer.claims(ServiceId::new(now()), TenantId::new(now()), 1, now());
        let operations = vec!["invoice.read".to_owned()];
        signer.issue(&ServiceClaims { audience: audience.to_owned(), operations, ..claims }).unwrap()
    };
    let service = issue(&fixture, "https://billing.example.test");
    assert!(verifier.verify_now(&service).is_none(), "keys are asked for first");
    let verified = verifier.verify(&service).await.unwrap();
    assert_eq!(verified.claims.operations, ["invoice.read"]);
    assert!(verifier.verify_now(&service).unwrap().is_ok());
    let code = async |token: &str| verifier.verify(token).await.unwrap_err().code();
    assert_eq!(code(&issue(&fixture, AUDIENCE)).await, "token_audience_refused");
    assert_eq!(code(&token(&fixture)).await, "token_type_refused");
    assert_eq!(issuer.asked(), 1);

    // A key that the issuer took since is asked for.
    pass(10).await;
    issuer.show(&[&fixture, &next]);
    assert!(verifier.verify(&issue(&next, "https://billing.example.test")).await.is_ok());
    assert_eq!(issuer.asked(), 2);
    assert_eq!(code(&issue(&rotated(), "https://billing.example.test")).await, "token_key_unknown");
}
