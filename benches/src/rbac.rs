//! Checks of the compiled policy beside casbin and Cedar on the same rules, how long policies take to compile, and how soon a
//! change shows in another process.
//!
//! The rules of a size are half grants and half assignments: each role has five permissions, each person one role, and a
//! role has five people. casbin gets them with the model of its own benchmark for roles, `(sub, obj, act)`; Cedar gets one
//! `permit` per grant, with people as members of roles. Both look at rules one after the other, so they are asked up to
//! 10,000 of them.

mod peers;
mod rows;
mod shown;

use std::{
    fs,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use stylobate_core::SystemClock;
use stylobate_rbac::{Assignee, Authorizer as _, Catalogue, Engine, default_catalogue};

use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, median, percentile, sorted},
};
use peers::Peer;
use rows::{Rows, TENANT, people};

const SIZES: [u32; 4] = [1_000, 10_000, 110_000, 1_000_000];
/// At which the goals of one check are.
const USUAL: u32 = 110_000;
/// At which the peers are measured at most.
const PEERS_MOST: u32 = 10_000;
/// Questions of a round; each is another person and permission.
const QUESTIONS: usize = 20_000;
/// Questions that share two readings of the clock, which take as long as a check.
const BATCH: usize = 100;

pub(crate) async fn run(report: &mut Report) -> Result {
    compile(report)?;
    let medians = checks(report)?;
    against_peers(report, &medians)?;
    effective(report);
    while_it_changes(report);
    shown::run(report).await
}

fn engine() -> Engine {
    Engine::new(
        Arc::new(Catalogue::new([], []).unwrap_or_else(|_| default_catalogue())),
        Arc::new(SystemClock),
    )
}

/// A million rules from rows in memory. First of all, while the memory of the process is as small as it was.
fn compile(report: &mut Report) -> Result {
    let rows = Rows::of(1_000_000);
    let policy = rows.policy();
    let (mut seconds, mut peaks, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds::count(5) {
        let engine = engine();
        let before = memory("VmRSS:")?;
        // Resets the high-water mark (proc_pid_clear_refs(5)).
        fs::write("/proc/self/clear_refs", "5")?;
        let began = Instant::now();
        let problems = engine.install(Some(TENANT), &policy);
        seconds.push(began.elapsed().as_secs_f64());
        if !problems.is_empty() {
            return Err(format!("rows of the bench make no sense: {:?}", problems.first()).into());
        }
        peaks.push(memory("VmHWM:")? - before);
        kept.push(memory("VmRSS:")? - before);
    }
    // Later rounds fill what the first has given back to the allocator, so that only the first tells what is taken.
    let (peak, kept) =
        (peaks.first().copied().unwrap_or(f64::MAX), kept.first().copied().unwrap_or(f64::MAX));
    report.note(&format!(
        "1,000,000 rules: {kept:.0} MB beside the rows when compiled, {peak:.0} MB at most meanwhile"
    ));
    report.keep(json!({ "what": "compile", "rules": 1_000_000, "seconds": seconds, "peak_mb": peak, "kept_mb": kept }));
    report.verdict("compiling 1,000,000 rules", median(seconds.into_iter()), "s", Goal::AtMost(2.0));
    report.verdict("memory of compiling 1,000,000 rules", peak, "MB", Goal::AtMost(200.0));
    Ok(())
}

/// The median check of each size, in nanoseconds.
fn checks(report: &mut Report) -> Result<Vec<(u32, f64)>> {
    let mut table = Vec::new();
    let mut medians = Vec::new();
    let mut worst = 0.0;
    for size in SIZES {
        let rows = Rows::of(size);
        let engine = engine();
        engine.install(Some(TENANT), &rows.policy());
        let questions = rows.questions(QUESTIONS);
        let (mut means, mut singles) = (Vec::new(), Vec::new());
        for _ in 0..rounds::count(7) {
            for batch in questions.chunks(BATCH) {
                let began = Instant::now();
                for (principal, name, expected) in batch {
                    if engine.check(black_box(principal), black_box(name)).is_allowed() != *expected {
                        return Err(format!("a wrong answer about {name}").into());
                    }
                }
                means.push(began.elapsed().as_nanos() as f64 / batch.len() as f64);
            }
            for (principal, name, _) in &questions {
                let began = Instant::now();
                let _ = black_box(engine.check(black_box(principal), black_box(name)));
                singles.push(began.elapsed().as_nanos() as f64);
            }
        }
        let (means, singles) = (sorted(means.into_iter()), sorted(singles.into_iter()));
        let (half, high) = (percentile(&means, 0.5), percentile(&singles, 0.99));
        table.push(vec![
            format!("{size} rules"),
            format!("{half:.0}"),
            format!("{high:.0}"),
            format!("{:.0}", percentile(&singles, 0.999)),
        ]);
        medians.push((size, half));
        report.keep(json!({ "what": "check", "rules": size, "median_ns": half, "p99_ns": high }));
        if size == USUAL {
            worst = high;
        }
    }
    report.table(&["check by name, ns", "median", "p99", "p99.9"], &table);
    report.note("p99 with the two readings of the clock around each check");
    let of = |size| medians.iter().find(|(one, _)| *one == size).map_or(f64::MAX, |(_, median)| *median);
    report.verdict("check at 110,000 rules, median", of(USUAL), "ns", Goal::AtMost(200.0));
    report.verdict("check at 110,000 rules, p99", worst, "ns", Goal::AtMost(2_000.0));
    report.verdict("check at 1,000,000 rules by 1,000", of(1_000_000) / of(1_000), "x", Goal::AtMost(2.0));
    Ok(medians)
}

fn against_peers(report: &mut Report, medians: &[(u32, f64)]) -> Result {
    let mut table = Vec::new();
    for (size, ours) in medians.iter().copied().filter(|(size, _)| *size <= PEERS_MOST) {
        let rows = Rows::of(size);
        for peer in [Peer::casbin(&rows)?, Peer::cedar(&rows)?, Peer::contained(&rows)?] {
            // Few, because each takes milliseconds; spread over the people as ours are.
            let questions = rows.questions(40);
            let mut times = Vec::new();
            for _ in 0..rounds::count(3) {
                for (asked, (_, name, expected)) in questions.iter().enumerate() {
                    let question = peer.prepare(&rows, asked, name)?;
                    let began = Instant::now();
                    let answer = peer.ask(black_box(&question))?;
                    times.push(began.elapsed().as_nanos() as f64);
                    if answer != *expected {
                        return Err(format!("{} answers otherwise about {name}", peer.name()).into());
                    }
                }
            }
            let theirs = median(times.into_iter());
            let ratio = theirs / ours;
            table.push(vec![
                format!("{} at {size} rules", peer.name()),
                format!("{:.1}", theirs / 1e3),
                format!("{ours:.0}"),
                format!("{ratio:.0}"),
            ]);
            report.keep(json!({ "what": peer.name(), "rules": size, "median_ns": theirs, "ours_ns": ours, "ratio": ratio }));
            if size == PEERS_MOST && peer.name() == peers::CASBIN {
                report.table(&["peer", "median us", "ours ns", "ratio"], &table);
                table.clear();
                report.verdict("casbin at 10,000 rules by ours", ratio, "x", Goal::AtLeast(10_000.0));
            }
        }
    }
    report.table(&["peer", "median us", "ours ns", "ratio"], &table);
    Ok(())
}

/// All that one subject may do: an administrator by the default catalogue, and a person of the large policy.
fn effective(report: &mut Report) {
    let catalogue = Arc::new(default_catalogue());
    let engine = Engine::new(Arc::clone(&catalogue), Arc::new(SystemClock));
    let (administrator, policy) = rows::administrator(&catalogue);
    engine.install(Some(TENANT), &policy);
    let large = self::engine();
    let rows = Rows::of(USUAL);
    large.install(Some(TENANT), &rows.policy());
    let someone: Assignee = people(7).into();
    for (what, engine, assignee) in [
        ("effective permissions of an administrator", &engine, administrator),
        ("effective permissions at 110,000 rules", &large, someone),
    ] {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..rounds::count(7) * 200 {
            let began = Instant::now();
            found = black_box(engine.effective(Some(TENANT), assignee)).len();
            times.push(began.elapsed().as_nanos() as f64 / 1e3);
        }
        let half = median(times.into_iter());
        report.keep(json!({ "what": what, "median_us": half, "permissions": found }));
        report.note(&format!("{what}: {found} of them"));
        report.verdict(what, half, "us", Goal::AtMost(50.0));
    }
}

/// A reader's checks while another thread puts policies in place without pause, and the same without.
fn while_it_changes(report: &mut Report) {
    let rows = Rows::of(10_000);
    let engine = engine();
    let policy = rows.policy();
    engine.install(Some(TENANT), &policy);
    let questions = rows.questions(1_000);
    let is_over = AtomicBool::new(false);
    let read = |for_how_long: Duration| {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < for_how_long {
            for (principal, name, _) in &questions {
                let asked = Instant::now();
                let _ = black_box(engine.check(principal, name));
                times.push(asked.elapsed().as_nanos() as f64);
            }
        }
        sorted(times.into_iter())
    };
    let seconds = Duration::from_millis(500 * rounds::count(6) as u64);
    let at_rest = read(seconds);
    let (during, swaps) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                engine.install(Some(TENANT), &policy);
                swaps += 1;
            }
            swaps
        });
        let during = read(seconds);
        is_over.store(true, Ordering::Relaxed);
        (during, writer.join().unwrap_or_default())
    });
    let row = |name: &str, times: &[f64]| {
        let part = |part| format!("{:.0}", percentile(times, part));
        vec![name.to_owned(), part(0.5), part(0.99), part(0.999)]
    };
    report.table(
        &["checks, ns", "median", "p99", "p99.9"],
        &[row("at rest", &at_rest), row("during swaps", &during)],
    );
    let high = percentile(&during, 0.99);
    report.note(&format!("{swaps} policies of 10,000 rules put in place meanwhile"));
    report.keep(json!({ "what": "swaps", "swaps": swaps, "p99_ns": high, "at_rest_p99_ns": percentile(&at_rest, 0.99) }));
    report.verdict("p99 of a check while policies are swapped", high, "ns", Goal::AtMost(2_000.0));
}

/// A line of `/proc/self/status`, in MB.
fn memory(line: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|one| one.strip_prefix(line));
    let kilobytes: f64 =
        found.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line")?.parse()?;
    Ok(kilobytes * 1_024.0 / 1e6)
}
