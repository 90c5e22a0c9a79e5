//! Reads of one tenant behind the wall, as the product makes them, beside the same statements on copies of the same tables without
//! row-level security, in transactions that only begin, read and end.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions};
use stylobate_core::TenantId;
use stylobate_db::{Db, DbOptions, Scope};
use stylobate_tests::Engine;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    Error, Result,
    report::{Goal, Report},
    rounds::{self, Rounds, Sample, cpu_time},
    site::Site,
};

const TENANTS: u32 = 20;
/// Of each tenant.
const MEMBERS: u32 = 10_000;
const CONNECTIONS: [usize; 2] = [1, 8];
const ROUND: Duration = Duration::from_millis(750);
/// At most this many times as long.
const MOST: f64 = 1.7;

/// What is read: the statement on the tables behind the wall, and on their copies.
#[derive(Clone, Copy)]
struct Read {
    what: &'static str,
    walled: &'static str,
    open: &'static str,
    /// How many rows come back.
    rows: usize,
}

/// `$table` stands for the prefix of the copies.
macro_rules! read {
    ($what:literal, $rows:literal, $sql:expr) => {
        Read { what: $what, walled: $sql!(""), open: $sql!("open_"), rows: $rows }
    };
}

macro_rules! page {
    ($prefix:literal) => {
        concat!(
            "SELECT person_id, status FROM ",
            $prefix,
            "memberships WHERE tenant_id = $1 ORDER BY created_at, person_id LIMIT 50"
        )
    };
}

macro_rules! join {
    ($prefix:literal) => {
        concat!(
            "SELECT m.person_id, m.status FROM ",
            $prefix,
            "memberships AS m JOIN ",
            $prefix,
            "role_assignments AS a ON a.tenant_id = m.tenant_id AND a.subject_id = m.person_id AND a.subject_kind = 'person' \
             WHERE m.tenant_id = $1 ORDER BY m.created_at, m.person_id LIMIT 50"
        )
    };
}

macro_rules! count {
    ($prefix:literal) => {
        concat!(
            "SELECT min(tenant_id::text)::uuid, count(*)::text FROM ",
            $prefix,
            "memberships WHERE tenant_id = $1"
        )
    };
}
