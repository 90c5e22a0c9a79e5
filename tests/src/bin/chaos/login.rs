//! A3: how long a refused login, asking for a link or asking for an account takes tells nobody who exists. A2: a crowd at the door is served within bounds.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use stylobate_tests::{Answer, Client, Engine, MailServer, PASSWORD, TestApp};

use crate::{Verdicts, rounds};

/// Enough people that nobody fails often enough to be throttled.
const PEOPLE: u32 = 100;
const STORM: u32 = 200;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn run(verdicts: &mut Verdicts) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        // Every try comes from an address of its own.
        let builder = TestApp::builder(engine).env("TRUSTED_PROXIES", "127.0.0.1").env("LOG_LEVEL", "warn");
        let builder = builder.env("REGISTRATION", "open").mail(&MailServer::StartTls.url());
        let mut app = builder.start().await;
        let admin = app.administrator().await;
        for n in 0..PEOPLE {
            app.person(&admin, &format!("known{n}")).await;
            let gone = app.person(&admin, &format!("disabled{n}")).await;
            admin.patch(&format!("/people/{}", gone.id), json!({ "is_active": false })).await.expect(200);
        }
        let client = app.anonymous();
        let wrong =
            async |name: &str, number| login(&client, name, "a password that is not theirs", number).await;
        time_gap(verdicts, "login", engine, 401, wrong).await;
        time_gap(verdicts, "forgotten password", engine, 200, async |name: &str, number| {
            forget(&client, name, number).await
        })
        .await;
        time_gap(verdicts, "registration", engine, 202, async |name: &str, number| {
            register(&client, name, number).await
        })
        .await;
        storm(verdicts, &mut app, engine).await;
    }
}

/// A client's request, from an address that no other has.
fn from_anywhere(client: &Client, path: &str, number: u32) -> reqwest::RequestBuilder {
    let [_, a, b, c] = number.to_be_bytes();
    client.request(Method::POST, path).header("x-forwarded-for", format!("100.{a}.{b}.{c}"))
}

async fn login(client: &Client, name: &str, password: &str, number: u32) -> Answer {
    let body = json!({ "username": name, "password": password });
    client.send_raw(from_anywhere(client, "/auth/login", number).json(&body)).await
}

async fn forget(client: &Client, name: &str, number: u32) -> Answer {
    let body = json!({ "email": format!("{name}@example.org") });
    client.send_raw(from_anywhere(client, "/auth/password-reset-request", number).json(&body)).await
}

async fn register(client: &Client, name: &str, number: u32) -> Answer {
    let body = json!({
        "email": format!("{name}@example.org"), "password": PASSWORD, "first_name": "Grace", "last_name": "Hopper",
    });
    client.send_raw(from_anywhere(client, "/auth/register", number).json(&body)).await
}

/// How long an answer takes that must tell nobody who exists.
async fn time_gap(
    verdicts: &mut Verdicts,
    what: &str,
    engine: Engine,
    status: u16,
    ask: impl AsyncFn(&str, u32) -> Answer,
) {
    // One of each kind in turn, so that a machine that is slow for a while is slow for all; in every order, because what one has
    // left to do in the background slows the next.
    const ORDERS: [[&str; 3]; 6] = [
        ["known", "unknown", "disabled"],
        ["disabled", "unknown", "known"],
        ["unknown", "disabled", "known"],
        ["known", "disabled", "unknown"],
        ["disabled", "known", "unknown"],
        ["unknown", "known", "disabled"],
    ];
    let tries = rounds(300).min(3 * PEOPLE);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut answers = BTreeMap::<(u16, String), u32>::new();
    let mut number = 0;
    for (n, order) in (0..tries).zip(ORDERS.iter().cycle()) {
        for kind in order {
            number += 1;
            let asked = Instant::now();
            let answer = ask(&format!("{kind}{}", n % PEOPLE), number).await;
            times.entry(kind).or_default().push(asked.elapsed().as_secs_f64() * 1e3);
            let code = answer.json().get("code").map(ToString::to_string).unwrap_or_default();
            *answers.entry((answer.status, code)).or_default() += 1;
        }
    }
    let medians: BTreeMap<&str, f64> = times.into_iter().map(|(kind, times)| (kind, median(times))).collect();
    let most = medians.values().copied().fold(f64::MIN, f64::max);
    let least = medians.values().copied().fold(f64::MAX, f64::min);
    let (gap, allowed) = (most - least, (least * 0.05).max(2.0));
    let medians: Vec<String> = medians.iter().map(|(kind, ms)| format!("{kind} {ms:.2} ms")).collect();
    let figures = format!(
        "{tries} interleaved tries of each kind, medians {}, gap {gap:.2} ms ({:.1} %) of {allowed:.2} ms allowed, answers {answers:?}",
        medians.join(", "),
        gap / least * 100.0,
    );
    // Whatever is refused at once takes everybody the same time.
    let is_kept =
        gap <= allowed && answers.len() == 1 && answers.keys().all(|(answered, _)| *answered == status);
    verdicts.add(is_kept, &format!("auth {what} time gap on {engine:?} (A3)"), &figures);
}

async fn storm(verdicts: &mut Verdicts, app: &mut TestApp, engine: Engine) {
    let client = app.anonymous();
    let is_over = Arc::new(AtomicBool::new(false));
    let (prober, over) = (client.clone(), Arc::clone(&is_over));
    let probing = tokio::spawn(async move {
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            prober.get("/health").await.expect(200);
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times
    });
    let logins = (0..STORM).map(|n| {
        let client = client.clone();
        async move { login(&client, &format!("known{}", n % PEOPLE), PASSWORD, 1_000_000 + n).await }
    });
    let answers = join_all(logins).await;
    is_over.store(true, Ordering::Relaxed);
    let mut health = probing.await.expect("no probe panics");
    health.sort_by(f64::total_cmp);
    let p99 = health.get(health.len() * 99 / 100).copied().unwrap_or_default();
    let mut statuses = BTreeMap::<u16, u32>::new();
    let mut unadvised = 0;
    for answer in &answers {
        *statuses.entry(answer.status).or_default() += 1;
        unadvised += u32::from(answer.status == 503 && answer.header("retry-after").is_none());
    }
    let permits = std::thread::available_parallelism().map_or(1, usize::from);
    // One hash holds 19,456 KiB.
    let (peak, allowed) = (peak_mib(app.server().id()), permits as f64 * 19.0 + 128.0);
    let is_kept = p99 < 200.0
        && peak <= allowed
        && unadvised == 0
        && statuses.keys().all(|status| matches!(status, 200 | 503))
        && statuses.contains_key(&200);
    let figures = format!(
        "{STORM} logins at once answered {statuses:?}, {unadvised} of the 503 without Retry-After, /health p99 {p99:.1} ms, \
         peak {peak:.1} MiB of {allowed:.0} MiB allowed"
    );
    verdicts.add(is_kept, &format!("auth login storm on {engine:?} (A2)"), &figures);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The most memory that a process ever had resident.
fn peak_mib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running server");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line of /proc");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024.0 / MIB
}
