//! A million expired sessions with their refresh tokens, and as many revocations and login counters, removed while the service could run: how
//! long the longest statement took, and whether the tables grow when it happens again.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};
use stylobate_tests::Engine;

use crate::{
    Result,
    report::{Goal, Report},
    site::{ENGINES, Site},
};

const ROWS: u64 = 1_000_000;
/// Sessions, revocations, login counters; refresh families go with their sessions.
const TABLES: u64 = 3;
const NAMES: [&str; 3] = ["first time", "second time", "third time"];
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        sweep(report, engine, &name).await?;
    }
    Ok(())
}

/// What one round of filling and sweeping showed.
struct Round {
    took: Duration,
    longest: Duration,
    full_mib: f64,
    left: u64,
}

async fn sweep(report: &mut Report, engine: Engine, name: &str) -> Result {
    let site = Site::new(engine, 1).await?;
    let (_, auth) = site.auth().await?;
    let mut rounds = Vec::new();
    for _ in NAMES {
        site.place().sql(&fill(engine)).await;
        if engine == Engine::Postgres {
            site.place()
                .sql(
                    "ANALYZE sessions; ANALYZE revocations; ANALYZE refresh_families; ANALYZE login_counters",
                )
                .await;
        }
        let full_mib = size(&site, engine).await?;
        let began = Instant::now();
        let swept = auth.sweep_measured().await?;
        let took = began.elapsed();
        let left = (TABLES * ROWS).saturating_sub(swept.rows);
        // What autovacuum does within a minute; SQLite uses free pages by itself.
        if engine == Engine::Postgres {
            let tables =
                ["VACUUM sessions", "VACUUM revocations", "VACUUM refresh_families", "VACUUM login_counters"];
            for statement in tables {
                site.place().sql(statement).await;
            }
        }
        rounds.push(Round { took, longest: swept.longest, full_mib, left });
    }
    let row = |(name, round): (&str, &Round)| {
        vec![
            name.to_owned(),
            format!("{:.1}", round.full_mib),
            format!("{:.1}", round.took.as_secs_f64()),
            format!("{:.0}", (TABLES * ROWS) as f64 / round.took.as_secs_f64()),
            format!("{:.1}", round.longest.as_secs_f64() * 1e3),
        ]
    };
    let rows: Vec<Vec<String>> = NAMES.into_iter().zip(&rounds).map(row).collect();
    report.table(&[name, "full MiB", "seconds", "rows/s", "longest ms"], &rows);
    let longest = rounds.iter().map(|round| round.longest.as_secs_f64() * 1e3).fold(0.0, f64::max);
    let grown = match rounds.as_slice() {
        // PostgreSQL gives emptied pages of an index away one clean-up later, so the second filling finds too few.
        [_, second, third] => third.full_mib / second.full_mib,
        _ => f64::MAX,
    };
    let left: u64 = rounds.iter().map(|round| round.left).sum();
    report.keep(
        json!({ "what": name, "rows": TABLES * ROWS, "longest_ms": longest, "grown": grown, "left": left }),
    );
    report.verdict(&format!("{name} longest statement"), longest, "ms", Goal::AtMost(100.0));
    report.verdict(&format!("{name} size of the third filling by the second"), grown, "", Goal::AtMost(1.1));
    report.verdict(&format!("{name} expired rows left"), left as f64, "", Goal::AtMost(0.0));
    Ok(())
}

/// A million sessions of one person that ended a year ago, one a second, with their families; revocations; counters of names that
/// nobody has.
fn fill(engine: Engine) -> String {
    let numbers = match engine {
        Engine::Postgres => format!("generate_series(1::bigint, {ROWS}::bigint) AS numbers (n)"),
        Engine::Sqlite => format!(
            "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {ROWS}) \
             SELECT n FROM counted) AS numbers"
        ),
    };
    // Ids of time and chance, as UUIDv7 are.
    let (id, hash, time) = match engine {
        Engine::Postgres => (
            "(lpad(to_hex(1733011200000 + n * 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' \
             || substr(md5(n::text), 1, 15))::uuid",
            "decode(md5(n::text) || md5((n + 1)::text), 'hex')",
            "to_timestamp(1733011200 + n)",
        ),
        Engine::Sqlite => (
            "unhex(printf('%012x7%03x8%015x', 1733011200000 + n * 1000, n % 4096, (n * 2654435761) % 281474976710656))",
            "unhex(printf('%064x', n))",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 1733011200 + n, 'unixepoch')",
        ),
    };
    // Two million look-ups of rows that are there would take longer than everything else.
    let unchecked = match engine {
        Engine::Postgres => "SET session_replication_role = replica;",
        Engine::Sqlite => "PRAGMA foreign_keys = OFF;",
    };
    format!(
        "{unchecked} INSERT INTO sessions (id, person_id, credential_epoch, amr, auth_time, address, user_agent, created_at, \
         last_seen_at, expires_at) \
         SELECT {id}, (SELECT id FROM people WHERE username_key = 'p1'), 0, 'pwd', {time}, '192.0.2.7', \
         'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', {time}, {time}, {time} \
         FROM {numbers};
         INSERT INTO refresh_families (session_id, generation, current_hash, rotated_at, expires_at) \
         SELECT {id}, 0, {hash}, {time}, {time} FROM {numbers};
         INSERT INTO revocations (kind, id, epoch, created_at, expires_at) \
         SELECT 'session', {id}, NULL, {time}, {time} FROM {numbers};
         INSERT INTO login_counters (kind, key, failures, window_started_at, expires_at) \
         SELECT 'account', {hash}, 1, {time}, {time} FROM {numbers};"
    )
}

async fn size(site: &Site, engine: Engine) -> Result<f64> {
    let bytes: i64 = match engine {
        Engine::Postgres => {
            let url = site.place().superuser_url().ok_or("a database address")?;
            let mut connection = sqlx::PgConnection::connect(&url).await?;
            let sql = "SELECT (pg_total_relation_size('sessions') + pg_total_relation_size('refresh_families') \
                       + pg_total_relation_size('revocations') + pg_total_relation_size('login_counters'))::bigint";
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await?
        }
        Engine::Sqlite => {
            let url = site.database();
            let mut connection = sqlx::SqliteConnection::connect(&url).await?;
            let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await?
        }
    };
    Ok(bytes as f64 / MIB)
}
