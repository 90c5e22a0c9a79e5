//! Ten thousand notices to a thousand people, some of them said a moment ago and some more than anybody wants to read.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde_json::json;
use stylobate::{
    Platform, Settings,
    core::{Message, PersonId},
    db::{Db, Error as DbError, Scope, Tx},
    notify::{Budget, Category, MessageKind, Severity, TemplateText},
};
use stylobate_tests::Engine;
use uuid::Uuid;

use super::number;
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{self, cpu_time, median},
    site::Site,
};

/// The issue's promise.
const MOST_S: f64 = 20.0;
/// What each person is told: eight things, and two of them again.
const EACH: usize = 10;
const TWICE: usize = 2;
/// How many of them the budget lets through.
const BUDGET: u32 = 6;
/// How many callers have something to say at once.
const CALLERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether all is done: so late it may be noticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const SCOPE: Scope = Scope::Platform("bench");

/// By mail and in the product, as most are.
const NOTICE: MessageKind = MessageKind {
    budget: Some(Budget { most: BUDGET, within: Duration::from_secs(3_600) }),
    one_within: Some(Duration::from_secs(3_600)),
    templates: &[TemplateText {
        locale: "en",
        subject: "{{ product.name }}: the backup of {{ server }} failed",
        text: "Hello {{ recipient.name }},\n\nthe backup of {{ server }} failed at {{ occurred_at | time }}.\n\n\
               {{ link('/backups', server=server) }}\n",
        html: Some(
            "<p>Hello {{ recipient.name }},</p><p>the backup of <strong>{{ server }}</strong> failed at \
             {{ occurred_at | time }}.</p><p><a href=\"{{ link('/backups', server=server) }}\">Look at it</a></p>",
        ),
    }],
    sample: r#"{ "server": "db-1", "occurred_at": "2026-03-01T12:00:00Z" }"#,
    ..MessageKind::new("bench_backup_failed", Category::Backup, Severity::Error)
};

/// Said before, one to each, and not counted: on tables that were empty a moment ago PostgreSQL reads them from end to end, until it
/// looks at their size again by itself, within a minute.
const BEFORE: MessageKind = MessageKind {
    name: "bench_before",
    budget: None,
    one_within: None,
    category: Category::Account,
    ..NOTICE
};

/// What one flood came to, in seconds.
struct Flood {
    accepted: f64,
    done: f64,
    cpu: f64,
    backlog: i64,
    bare: f64,
}

pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    let notices = number("STYLOBATE_NOTICES", 10_000);
    let people = notices / EACH;
    let mut floods = Vec::new();
    for _ in 0..rounds::count(3) {
        floods.push(Box::pin(flood(engine, people)).await?);
    }
    let of = |pick: fn(&Flood) -> f64| median(floods.iter().map(pick));
    let took = of(|flood| flood.done);
    let most = floods.iter().map(|flood| flood.backlog).max().unwrap_or_default();
    report.table(
        &[
            &format!("{notices} notices on {engine:?}"),
            "accepted s",
            "done s",
            "CPU s",
            "bare rows s",
            "ratio",
        ],
        &[vec![
            format!("to {people} people"),
            format!("{:.1}", of(|flood| flood.accepted)),
            format!("{took:.1}"),
            format!("{:.1}", of(|flood| flood.cpu)),
            format!("{:.1}", of(|flood| flood.bare)),
            format!("{:.1}", of(|flood| flood.done / flood.bare)),
        ]],
    );
    report.note(&format!(
        "{:.0} notices per second; at most {most} jobs waited, none at the end; each person was sent {BUDGET} by mail and {BUDGET} in the \
         product, {TWICE} were doubles and {} over budget; mails are written into memory",
        notices as f64 / took,
        EACH - TWICE - BUDGET as usize
    ));
    let seconds: Vec<f64> = floods.iter().map(|flood| flood.done).collect();
    let bare: Vec<f64> = floods.iter().map(|flood| flood.bare).collect();
    report.keep(json!({
        "what": "flood", "engine": format!("{engine:?}"), "notices": notices, "people": people, "seconds": seconds,
        "bare_rows_s": bare, "backlog_most": most,
    }));
    let what = format!("{notices} notices to {people} people on {engine:?}");
    report.verdict(&what, took, "s", Goal::AtMost(MOST_S));
    Ok(())
}

/// From the first notice until nothing of any is left to do.
async fn flood(engine: Engine, people: usize) -> Result<Flood> {
    let site = Site::new(engine, u32::try_from(people)?).await?;
    let settings = Settings::from_pairs("", site.place().environment())?;
    let outbox = Outbox::in_memory(&settings.data_dir)?;
    let platform = Platform::builder(settings).message_kinds([NOTICE, BEFORE]).start().await?;
    let bare = bare_rows(&site, platform.db(), people * EACH).await?;
    let mut tx = platform.db().begin_read(SCOPE).await?;
    let to: Vec<(Uuid,)> = tx.q("SELECT id FROM people WHERE username_key <> 'admin'").all().await?;
    tx.rollback().await?;

    let to: Arc<Vec<PersonId>> = Arc::new(to.into_iter().map(|(person,)| person.into()).collect());
    platform.work();
    accept(&platform, &to, BEFORE.name, people).await?;
    finished(platform.db(), people).await?;
    if engine == Engine::Postgres {
        site.place().sql("VACUUM (ANALYZE)").await;
    }

    let (begun, cpu) = (Instant::now(), cpu_time());
    let accepting = async {
        accept(&platform, &to, NOTICE.name, people * EACH).await?;
        Ok::<_, crate::Error>(begun.elapsed().as_secs_f64())
    };
    let finishing = finished(platform.db(), people * (EACH + 1));
    let (accepted, backlog) = tokio::try_join!(accepting, finishing)?;
    let done = begun.elapsed().as_secs_f64();
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64();
    check(&platform, people).await?;
    platform.end().await;
    drop(outbox);
    Ok(Flood { accepted, done, cpu, backlog, bare })
}

/// Says `number` things, each in a transaction of its own: first one to all people, then the next.
async fn accept(
    platform: &Platform,
    people: &Arc<Vec<PersonId>>,
    kind: &'static str,
    number: usize,
) -> Result {
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (next, people) = (Arc::clone(&next), Arc::clone(people));
        let (notifier, tenant) = (platform.notifier().clone(), platform.default_org());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(person) = people.get(n % people.len()).filter(|_| n < number) else {
                    return Ok::<_, crate::Error>(());
                };
                let thing = (n / people.len()) % (EACH - TWICE);
                let values =
                    json!({ "server": format!("db-{thing}"), "occurred_at": "2026-03-01T12:00:00Z" });
                notifier.notify(Message::to_person(kind, *person).in_tenant(tenant).with(values)).await?;
            }
        })
    });
    for ended in try_join_all(callers).await? {
        ended?;
    }
    Ok(())
}

/// Waits until `number` notices are there and nothing is left to do. Returns how many jobs waited at most.
async fn finished(db: &Db, number: usize) -> Result<i64> {
    let (begun, mut most) = (Instant::now(), 0);
    loop {
        let jobs = count(db, UNFINISHED_JOBS).await?;
        most = most.max(jobs);
        // Counting everything all the time would be a good part of the work.
        if jobs == 0
            && usize::try_from(count(db, FINISHED).await?)? == number
            && count(db, UNFINISHED_JOBS).await? == 0
        {
            return Ok(most);
        }
        if begun.elapsed() > PATIENCE {
            let unfinished = count(db, UNFINISHED).await?;
            return Err(
                format!("five minutes were not enough: {unfinished} notices, {jobs} jobs are left").into()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

const UNFINISHED: &str = "SELECT count(*) FROM notify_messages WHERE state <> 'done'";
const FINISHED: &str = "SELECT count(*) FROM notify_messages WHERE state = 'done'";
const UNFINISHED_JOBS: &str = "SELECT count(*) FROM jobs WHERE state IN ('available', 'leased', 'retryable')";

async fn count(db: &Db, query: &'static str) -> Result<i64> {
    let mut tx = db.begin_read(SCOPE).await?;
    let counted = tx.q(query).scalar().await?;
    tx.rollback().await?;
    Ok(counted)
}

/// Everybody got what they were to get, once, and the log says so.
async fn check(platform: &Platform, people: usize) -> Result {
    let people = i64::try_from(people)?;
    let (sent, doubles) = (people * i64::from(BUDGET), people * i64::try_from(TWICE)?);
    let above = people * i64::try_from(EACH)? - doubles - sent;
    let each = "SELECT count(*) FROM (SELECT person_id FROM notify_deliveries WHERE state = 'sent' AND attempts = 1 \
                AND medium = 'email' AND kind = 'bench_backup_failed' GROUP BY person_id HAVING count(*) = 6) exact";
    let expected = [
        ("SELECT count(*) FROM notify_deliveries WHERE medium = 'email' AND state = 'sent'", sent + people),
        (each, people),
        ("SELECT count(*) FROM notify_deliveries WHERE medium = 'in_app' AND state = 'sent'", sent + people),
        ("SELECT count(*) FROM notifications", sent + people),
        (
            "SELECT count(*) FROM notify_deliveries WHERE state = 'dropped' AND reason = 'duplicate'",
            2 * doubles,
        ),
        ("SELECT count(*) FROM notify_deliveries WHERE state = 'dropped' AND reason = 'budget'", 2 * above),
        ("SELECT count(*) FROM notify_deliveries WHERE state IN ('pending', 'failed')", 0),
        ("SELECT count(*) FROM jobs WHERE queue = 'notify' AND state <> 'completed'", 0),
    ];
    for (query, expected) in expected {
        let found = count(platform.db(), query).await?;
        if found != expected {
            return Err(format!("{found} instead of {expected}: {query}").into());
        }
    }
    let outbox = platform.outbox().ok_or("the embedded form has an outbox")?;
    let mails = mails(&outbox)?;
    if i64::try_from(mails)? != sent + people {
        return Err(format!("{mails} mails in the outbox instead of {}", sent + people).into());
    }
    Ok(())
}

/// Where mails are written instead of the folder on disk, which would be measured otherwise: its file system is slow for minutes to
/// make as many files as were removed in the round before.
struct Outbox {
    _folder: tempfile::TempDir,
}

impl Outbox {
    fn in_memory(data_dir: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in("/dev/shm")?;
        std::fs::create_dir_all(data_dir)?;
        std::os::unix::fs::symlink(folder.path(), data_dir.join("outbox"))?;
        Ok(Self { _folder: folder })
    }
}

fn mails(outbox: &Path) -> Result<usize> {
    let mut mails = 0;
    for entry in std::fs::read_dir(outbox)? {
        mails += usize::from(entry?.path().extension().is_some_and(|kind| kind == "eml"));
    }
    Ok(mails)
}

const TABLE: &str = "CREATE TABLE bench_rows (id bigint PRIMARY KEY, name text NOT NULL)";
const GRANT: &str = "GRANT INSERT ON bench_rows TO PUBLIC";
const INSERT: &str = "INSERT INTO bench_rows (id, name) VALUES ($1, $2)";

/// How long as many rows take, each in a transaction of its own.
async fn bare_rows(site: &Site, db: &Db, rows: usize) -> Result<f64> {
    let grant = if site.place().engine() == Engine::Postgres { GRANT } else { "" };
    site.place().sql(&format!("{TABLE}; {grant}")).await;
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let db = db.clone();
        tokio::spawn(async move {
            for n in (caller..rows).step_by(CALLERS) {
                let insert = async move |tx: &mut Tx| {
                    tx.q(INSERT).bind(i64::try_from(n).unwrap_or_default()).bind("Grace Hopper").run().await
                };
                db.transact(SCOPE, insert).await?;
            }
            Ok::<_, DbError>(())
        })
    });
    for ended in try_join_all(callers).await? {
        ended?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
