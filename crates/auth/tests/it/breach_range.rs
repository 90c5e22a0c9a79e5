//! Breached passwords, asked of a service that is sometimes a bad one.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stylobate_auth::{
    BreachRange, ContextWords, HasherOptions, Password, PasswordHasher, PasswordPolicy, PolicyViolation,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const BREACHED: &str = "quarry moss lantern";
const SOUND: &str = "gravel thimble orchard nine";
/// Ten times what is promised.
const BOUND: Duration = Duration::from_secs(20);

fn sha1(password: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    hex::encode_upper(digest)
}

/// The range of [`BREACHED`], with a line of padding.
fn range() -> String {
    let suffix = &sha1(BREACHED)[5..];
    format!(
        "0018A45C4D1DEF81644B54AB7F969B88D65:10\r\n{suffix}:7\r\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:0\r\n"
    )
}

fn answer(status: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"))
}

/// Answers every request with these bytes, and keeps the requests; with `None` it listens and says nothing.
async fn serve(answer: Option<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/range", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let read = connection.read(&mut request).await.unwrap_or(0);
            seen.lock().push(String::from_utf8_lossy(&request[..read]).to_ascii_lowercase());
            match &answer {
                Some(answer) => drop(connection.write_all(answer.as_bytes()).await),
                None => silent.push(connection),
            }
        }
    });
    (address, requests)
}

fn typed(password: &str) -> Password {
    Password::new(password).unwrap()
}

async fn judge(range: &BreachRange, password: &str) -> Vec<PolicyViolation> {
    let policy = PasswordPolicy::alone().breach_range(range.clone());
    let hasher = PasswordHasher::new(HasherOptions::default());
    hasher.judge(&policy, &typed(password), &ContextWords::new()).await.unwrap()
}

// ASVS 6.2.12
#[tokio::test]
async fn a_password_that_the_service_knows_is_refused_and_only_five_digits_leave() {
    let (address, requests) = serve(answer("200 OK", &range())).await;
    let range = BreachRange::new(&address).unwrap();
    assert_eq!(judge(&range, BREACHED).await, [PolicyViolation::Breached]);
    assert_eq!(judge(&range, SOUND).await, []);
    let requests = requests.lock().clone();
    assert_eq!(requests.len(), 2);
    for (request, password) in requests.iter().zip([BREACHED, SOUND]) {
        let hash = sha1(password).to_ascii_lowercase();
        assert!(request.starts_with(&format!("get /range/{} http/1.1\r\n", &hash[..5])), "{request}");
        assert!(!request.contains(&hash[5..11]) && !request.contains(&hash[..6]), "{request}");
        assert!(request.contains("\r\nadd-padding: true\r\n"), "{request}");
    }
}

#[tokio::test]
async fn what_is_refused_anyway_is_not_asked_about() {
    let (address, requests) = serve(answer("200 OK", &range())).await;
    let range = BreachRange::new(&address).unwrap();
    assert!(matches!(judge(&range, "short").await.as_slice(), [PolicyViolation::TooShort { .. }, ..]));
    assert!(
        PasswordPolicy::alone().breach_range(range).check(&typed(BREACHED), &ContextWords::new()).is_ok()
    );
    assert!(requests.lock().is_empty());
}

#[tokio::test]
async fn a_password_passes_while_there_is_no_answer() {
    let long = format!("{}{}", range(), "0018A45C4D1DEF81644B54AB7F969B88D65:10\r\n".repeat(10_000));
    for bad in [
        answer("429 Too Many Requests", ""),
        answer("301 Moved Permanently", &range()),
        answer("200 OK", ""),
        answer("200 OK", "<html>no</html>"),
        answer("200 OK", &long),
        Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{}", range())),
        Some("\x16\x03\x01 hello".to_owned()),
        Some(String::new()),
    ] {
        let (address, requests) = serve(bad.clone()).await;
        let range = BreachRange::new(&address).unwrap();
        let error = range.contains(&typed(BREACHED)).await.unwrap_err();
        assert_eq!(error.code(), "breach_range_unavailable", "{bad:?}");
        assert_eq!(judge(&range, BREACHED).await, [], "{bad:?}");
        assert!(!requests.lock().is_empty());
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(judge(&BreachRange::new(&format!("http://{unused}")).unwrap(), BREACHED).await, []);
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up() {
    let (address, requests) = serve(None).await;
    let range = BreachRange::new(&address).unwrap();
    assert_eq!(tokio::time::timeout(BOUND, judge(&range, BREACHED)).await.expect("an end"), []);
    let brief = range.timeout(Duration::from_millis(50));
    assert_eq!(tokio::time::timeout(BOUND, judge(&brief, BREACHED)).await.expect("an end"), []);
    assert_eq!(requests.lock().len(), 2);
}
