//! The program does what its README says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use stylobate_auth::{SigningAlgorithm, SigningKey};

/// A running service and what it prints.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

/// The program, with where used signatures are kept.
fn command(folder: &Path, redis: Option<&str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signed-service"));
    command.current_dir(folder).env_clear().envs(redis.map(|url| ("REDIS_URL", url)));
    command
}

/// Addresses on this machine that nobody listens at.
fn free<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

impl Program {
    /// Starts a service at `address`, known as `public`, that calls the other one at `peer`.
    fn start(mut command: Command, name: &str, address: &str, public: &str, peer: &str) -> Self {
        let url = |address: &str| format!("http://{address}");
        command.arg(name).env("BIND_ADDR", address).env("PUBLIC_URL", url(public)).env("PEER_URL", url(peer));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let program = Self { child, lines };
        program.until(" listens on ");
        program
    }

    /// The first line with these words, within a minute.
    fn until(&self, words: &str) -> String {
        let mut seen: Vec<String> = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no {words:?}: only {seen:?}"),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the two halves of a new key, as openssl does.
fn write_key(folder: &Path, name: &str) {
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    };
    let (key, pkcs8) = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    fs::write(folder.join(format!("{name}.pem")), pem("PRIVATE KEY", &pkcs8)).unwrap();
    let public = serde_json::to_value(key.verifying_key().to_jwk()).unwrap();
    let public = BASE64_URL_SAFE_NO_PAD.decode(public["x"].as_str().unwrap()).unwrap();
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4).
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend(public);
    fs::write(folder.join(format!("{name}.pub.pem")), pem("PUBLIC KEY", &spki)).unwrap();
}

/// The three processes of the README, and what they print and answer.
async fn story(redis: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_key(folder, "orders");
    write_key(folder, "billing");
    let [orders_at, billing_at, second_at] = free();
    let start = |name, address: &str, public: &str, peer: &str| {
        Program::start(command(folder, redis), name, address, public, peer)
    };
    let orders = start("orders", &orders_at, &orders_at, &billing_at);
    let billing = start("billing", &billing_at, &billing_at, &orders_at);
    let _second = start("billing", &second_at, &billing_at, &orders_at);

    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    let post = async |address: &str, path: &str| {
        let response = client.post(format!("http://{address}{path}")).body("12").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(post(&orders_at, "/orders").await, (200, "charged 12 for orders\n".to_owned()));
    billing.until("billing: orders asks to charge 12");
    orders.until("orders: billing says that 12 is paid");
    for (address, path) in [(&billing_at, "/charges"), (&second_at, "/charges"), (&orders_at, "/paid")] {
        assert_eq!(post(address, path).await.0, 401, "{path} of {address}, unsigned");
    }

    let (public, second) = (format!("http://{billing_at}"), format!("http://{second_at}"));
    let replayed = command(folder, redis).args(["replay", &public, &second]).output().unwrap();
    let expected = format!(
        "{public}: 200 charged 12 for orders\n{public}: 401 request_replayed\n{second}: 401 request_replayed\n"
    );
    assert_eq!(String::from_utf8(replayed.stdout).unwrap(), expected);
    // A request for another service is none for this one.
    let elsewhere = command(folder, redis).args(["replay", &second]).output().unwrap();
    let refused = format!("{second}: 401 request_signature_invalid\n");
    assert_eq!(String::from_utf8(elsewhere.stdout).unwrap(), refused.repeat(2));
}

#[tokio::test]
async fn two_services_call_each_other_signed_and_a_replay_is_refused_by_another_process() {
    story(None).await;
}

#[tokio::test]
async fn a_replay_is_refused_by_another_process_on_redis_too() {
    let name = "STYLOBATE_TEST_REDIS_URL";
    let url = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"));
    story(Some(&url)).await;
}
