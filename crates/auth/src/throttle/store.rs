use std::net::IpAddr;

use chrono::{DateTime, Utc};
use stylobate_core::PersonId;
use stylobate_db::{Conn, Error, Tx};

use super::{Counter, ThrottleConfig};

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CounterKey {
    /// A person, under all names.
    Person(PersonId),
    /// A name that nobody has, as its keyed digest.
    Nobody([u8; 32]),
    /// An IPv4 address, or the first 64 bits of an IPv6 one: those belong to one customer (RFC 6177 §2).
    Address(Vec<u8>),
}

impl CounterKey {
    pub(crate) fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Address(address.octets().to_vec()),
            IpAddr::V6(address) => Self::Address(address.octets().into_iter().take(8).collect()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) | Self::Nobody(_) => "account",
            Self::Address(_) => "address",
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Person(id) => id.as_uuid().as_bytes().to_vec(),
            Self::Nobody(digest) => digest.to_vec(),
            Self::Address(bytes) => bytes.clone(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct CounterRow {
    failures: i64,
    window_started_at: DateTime<Utc>,
    locked_until: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
}

impl From<CounterRow> for Counter {
    fn from(row: CounterRow) -> Self {
        Self {
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            window_started_at: row.window_started_at,
            locked_until: row.locked_until,
            expires_at: row.expires_at,
        }
    }
}

/// What stands in the way of a try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Until when the account or the address is locked: the later of both.
    pub(crate) locked_until: Option<DateTime<Utc>>,
    /// Whether the account has failures that a success would end.
    pub(crate) has_failures: bool,
}

/// Reads how `account` and `address` stand.
pub(crate) async fn find_standing(
    conn: &mut Conn,
    account: &CounterKey,
    address: Option<&CounterKey>,
    now: DateTime<Utc>,
) -> Result<Standing, Error> {
    let rows = conn
        .q("SELECT kind, locked_until FROM login_counters \
            WHERE (kind = 'account' AND key = $1) OR (kind = 'address' AND key = $2)")
        .bind(account.bytes())
        .bind(address.map(CounterKey::bytes))
        .all::<(String, Option<DateTime<Utc>>)>()
        .await?;
    Ok(Standing {
        locked_until: rows.iter().filter_map(|(_, until)| *until).filter(|until| *until > now).max(),
        has_failures: rows.iter().any(|(kind, _)| kind == "account"),
    })
}

/// Counts a failed try. Returns the counter before and after; when it was locked before, they are the same.
///
/// Callers count accounts before addresses, so that two transactions never wait for each other in a circle.
pub(crate) async fn fail(
    tx: &mut Tx,
    key: &CounterKey,
    config: &ThrottleConfig,
    now: DateTime<Utc>,
) -> Result<(Counter, Counter), Error> {
    // The update that changes nothing locks the row on both engines, also when another transaction is just making it,
    // so that of parallel failures none is lost.
    let before: Counter = tx
        .q("INSERT INTO login_counters (kind, key, failures, window_started_at, expires_at) \
            VALUES ($1, $2, 0, $3, $3) \
            ON CONFLICT (kind, key) DO UPDATE SET failures = login_counters.failures \
            RETURNING failures, window_started_at, locked_until, expires_at")
        .bind(key.kind())
        .bind(key.bytes())
        .bind(now)
        .one::<CounterRow>()
        .await?
        .into();
    let after = match key {
        CounterKey::Person(_) | CounterKey::Nobody(_) => before.account_failed(config, now),
        CounterKey::Address(_) => before.address_failed(config, now),
    };
    if after != before {
        tx.q("UPDATE login_counters \
              SET failures = $1, window_started_at = $2, locked_until = $3, expires_at = $4 \
              WHERE kind = $5 AND key = $6")
            .bind(i64::from(after.failures))
            .bind(after.window_started_at)
            .bind(after.locked_until)
            .bind(after.expires_at)
            .bind(key.kind())
            .bind(key.bytes())
            .run()
            .await?;
    }
    Ok((before, after))
}

/// Forgets the failures of a person. Returns whether there were any.
pub(crate) async fn clear(tx: &mut Tx, person: PersonId) -> Result<bool, Error> {
    let key = CounterKey::Person(person);
    let rows = tx
        .q("DELETE FROM login_counters WHERE kind = 'account' AND key = $1")
        .bind(key.bytes())
        .run()
        .await?;
    Ok(rows > 0)
}

/// Deletes up to `rows_max` counters that do not matter any more.
pub(crate) async fn sweep(tx: &mut Tx, now: DateTime<Utc>, rows_max: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM login_counters WHERE (kind, key) IN \
          (SELECT kind, key FROM login_counters WHERE expires_at <= $1 LIMIT $2)")
        .bind(now)
        .bind(rows_max)
        .run()
        .await
}
