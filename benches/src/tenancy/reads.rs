//! What a tenant reads behind the wall, as the product reads it, beside the same statement in a transaction that only begins, reads
//! and ends, on copies of the same tables without row-level security.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use stylobate_core::TenantId;
use stylobate_db::{Db, DbOptions, Scope};
use stylobate_tests::Engine;
use tokio::{runtime::Runtime, task::JoinSet};
use uuid::Uuid;

use crate::{
    Error, Result,
    report::{Goal, Report},
    rounds::{self, Rounds, Sample, cpu_time},
    site::Site,
};

const TENANTS: usize = 20;
/// Of each tenant.
const MEMBERS: usize = 10_000;
/// How many read at once.
const READERS: [usize; 2] = [1, 8];
const ROUND: Duration = Duration::from_millis(750);
/// Behind the wall at most this many times as long.
const MOST: f64 = 1.7;
/// Where the copies are.
const COPIES: &str = "without_walls";
/// As the product's transactions for reading begin.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What is read.
#[derive(Debug, Clone, Copy)]
enum Read {
    Page,
    Join,
    Count,
}

impl Read {
    const ALL: [Self; 3] = [Self::Page, Self::Join, Self::Count];

    fn what(self) -> &'static str {
        match self {
            Self::Page => "a page of 50",
            Self::Join => "a page of 50 from a join",
            Self::Count => "a count of 10,000",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Page => {
                "SELECT person_id, status FROM memberships WHERE tenant_id = $1 ORDER BY created_at, person_id LIMIT 50"
            }
            Self::Join => {
                "SELECT m.person_id, m.status FROM memberships AS m JOIN role_assignments AS a \
                 ON a.tenant_id = m.tenant_id AND a.subject_id = m.person_id AND a.subject_kind = 'person' \
                 WHERE m.tenant_id = $1 ORDER BY m.created_at, m.person_id LIMIT 50"
            }
            Self::Count => "SELECT count(*) FROM memberships WHERE tenant_id = $1",
        }
    }

    /// Either way another answer would be a mistake of the bench.
    fn check(self, found: usize) -> Result {
        let expected = match self {
            Self::Page | Self::Join => 50,
            Self::Count => MEMBERS,
        };
        if found == expected {
            return Ok(());
        }
        Err(format!("{found} instead of {expected} for {}", self.what()).into())
    }
}

/// A row of a page.
type Member = (Uuid, String);

#[derive(Clone)]
enum Contender {
    Ours(Db),
    Bare(PgPool),
}

impl Contender {
    async fn read(&self, read: Read, tenant: TenantId) -> Result {
        let found = match self {
            Self::Ours(db) => {
                let mut tx = db.begin_read(Scope::Tenant(tenant)).await?;
                let query = tx.q(read.sql()).bind(tenant.as_uuid());
                let found = match read {
                    Read::Count => usize::try_from(query.scalar::<i64>().await?)?,
                    Read::Page | Read::Join => query.all::<Member>().await?.len(),
                };
                tx.rollback().await?;
                found
            }
            Self::Bare(pool) => {
                let mut tx = pool.begin_with(BEGIN).await?;
                let found = match read {
                    Read::Count => {
                        let query = sqlx::query_scalar::<_, i64>(read.sql()).bind(tenant.as_uuid());
                        usize::try_from(query.fetch_one(&mut *tx).await?)?
                    }
                    Read::Page | Read::Join => {
                        let query = sqlx::query_as::<_, Member>(read.sql()).bind(tenant.as_uuid());
                        query.fetch_all(&mut *tx).await?.len()
                    }
                };
                tx.rollback().await?;
                found
            }
        };
        read.check(found)
    }

    /// How often `readers` read in a round, one tenant after the other.
    async fn round(&self, read: Read, readers: usize) -> Result<Sample> {
        let (begun, cpu) = (Instant::now(), cpu_time());
        let turn = Arc::new(AtomicUsize::new(0));
        let mut reading = JoinSet::new();
        for _ in 0..readers {
            let (contender, turn) = (self.clone(), Arc::clone(&turn));
            reading.spawn(async move {
                while begun.elapsed() < ROUND {
                    contender.read(read, tenant(turn.fetch_add(1, Ordering::Relaxed) % TENANTS)).await?;
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(read) = reading.join_next().await {
            read??;
        }
        Ok(Sample::since(begun, cpu, turn.load(Ordering::Relaxed)))
    }
}

pub(super) fn run(report: &mut Report) -> Result {
    // The caller waits within a runtime that has one thread.
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            measure(&runtime, report)
        });
        measured.join().map_err(|_| "the bench panicked")?
    })
}

fn measure(runtime: &Runtime, report: &mut Report) -> Result {
    let (site, ours, bare) = runtime.block_on(open())?;
    for read in Read::ALL {
        for readers in READERS {
            let what = format!("{}, {readers} at once", read.what());
            let measured = Rounds::measure(
                rounds::count(9),
                || runtime.block_on(ours.round(read, readers)),
                || runtime.block_on(bare.round(read, readers)),
            )?;
            measured.report(report, &what, "no wall", None);
            report.verdict(&what, 1.0 / measured.ratio(), "x", Goal::AtMost(MOST));
        }
    }
    drop(site);
    Ok(())
}

async fn open() -> Result<(Site, Contender, Contender)> {
    let site = Site::new(Engine::Postgres, 0).await?;
    site.place().sql(&fill()).await;
    site.place().sql("VACUUM (ANALYZE)").await;
    let url = site.database();
    let most = u32::try_from(READERS.into_iter().max().unwrap_or(1))?;
    let options = DbOptions { connections_max: most, ..DbOptions::default() };
    let db = Db::builder(&url, options).without_audit().without_events().connect().await?;
    // The same statements: only where the tables are is another.
    let connect: PgConnectOptions = url.parse::<PgConnectOptions>()?.options([("search_path", COPIES)]);
    let pool =
        PgPoolOptions::new().max_connections(most).test_before_acquire(false).connect_with(connect).await?;
    Ok((site, Contender::Ours(db), Contender::Bare(pool)))
}

fn tenant(n: usize) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(0x0192_7000_0000_7000_8000_0000_0000_0000 + n as u128))
}

/// Members with a role each, and copies of both tables for whoever the server connects as.
fn fill() -> String {
    let tenant = "('01927000-0000-7000-8000-' || lpad(to_hex(t), 12, '0'))::uuid";
    let person = format!("('01927000-0000-7000-9000-' || lpad(to_hex(t * {MEMBERS} + n), 12, '0'))::uuid");
    format!(
        "SET session_replication_role = replica;
         INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at)
         SELECT {tenant}, {person}, 'active', to_timestamp(1767225600 + n), to_timestamp(1767225600 + n)
         FROM generate_series(0, {TENANTS} - 1) AS tenants (t) CROSS JOIN generate_series(1, {MEMBERS}) AS members (n);
         INSERT INTO role_assignments (id, tenant_id, subject_kind, subject_id, role_id, assigned_at)
         SELECT person_id, tenant_id, 'person', person_id, tenant_id, created_at FROM memberships
         WHERE person_id::text LIKE '01927000-0000-7000-9000-%';
         CREATE SCHEMA {COPIES};
         CREATE TABLE {COPIES}.memberships (LIKE public.memberships INCLUDING ALL);
         CREATE TABLE {COPIES}.role_assignments (LIKE public.role_assignments INCLUDING ALL);
         INSERT INTO {COPIES}.memberships SELECT * FROM public.memberships;
         INSERT INTO {COPIES}.role_assignments SELECT * FROM public.role_assignments;
         GRANT USAGE ON SCHEMA {COPIES} TO PUBLIC;
         GRANT SELECT ON ALL TABLES IN SCHEMA {COPIES} TO PUBLIC"
    )
}
