use chrono::{DateTime, Utc};
use stylobate_core::BoxFuture;
use stylobate_db::{Conn, Db, Error, Scope, Sql, SqlBuilder, TransactError, Tx};

use super::{
    AccountKey, Counter, CounterChange, CounterKey, CounterKind, CounterStore, CounterStoreError,
    LoginRefused, LoginTry, Standing, ThrottleConfig, TryBy,
};

#[derive(sqlx::FromRow)]
struct CounterRow {
    kind: String,
    failures: i64,
    window_started_at: DateTime<Utc>,
    locked_until: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
}

impl CounterRow {
    fn parse(self) -> Result<(CounterKind, Counter), Error> {
        let kind = CounterKind::from_word(&self.kind).ok_or_else(|| Error::BadRow {
            column: "login_counters.kind".to_owned(),
            source: format!("unknown kind `{}`", self.kind).into(),
        })?;
        let counter = Counter {
            failures: u32::try_from(self.failures).unwrap_or(u32::MAX),
            window_started_at: self.window_started_at,
            locked_until: self.locked_until,
            expires_at: self.expires_at,
        };
        Ok((kind, counter))
    }
}

/// The columns of a [`CounterRow`].
macro_rules! columns {
    () => {
        "kind, failures, window_started_at, locked_until, expires_at"
    };
}

/// The key of a counter within its kind: the account, then what tells it from others.
fn row_key(key: &CounterKey) -> Vec<u8> {
    let mut bytes = owner(key).unwrap_or_default();
    bytes.extend_from_slice(key.part());
    bytes
}

fn owner(key: &CounterKey) -> Option<Vec<u8>> {
    key.account().map(AccountKey::to_bytes)
}

fn optional_key(key: Option<CounterKey>) -> Option<Vec<u8>> {
    key.as_ref().map(row_key)
}

fn standing_of(rows: Vec<CounterRow>) -> Result<Standing, Error> {
    let mut standing = Standing::default();
    for row in rows {
        let (kind, counter) = row.parse()?;
        standing.set(kind, Some(counter));
    }
    Ok(standing)
}

/// Reads how everything stands that a try is about.
pub(crate) async fn find_standing(conn: &mut Conn, login: &LoginTry) -> Result<Standing, Error> {
    // One text whether there is a device or not, and whether the account exists or not.
    let rows = conn
        .q(concat!(
            "SELECT ",
            columns!(),
            " FROM login_counters WHERE (kind IN ('account', 'devices') AND key = $1) \
             OR (kind = 'pair' AND key = $2) OR (kind = 'address' AND key = $3) OR (kind = 'device' AND key = $4)"
        ))
        .bind(login.account.to_bytes())
        .bind(optional_key(login.key(CounterKind::Pair)))
        .bind(optional_key(login.key(CounterKind::Address)))
        .bind(optional_key(login.key(CounterKind::Device)))
        .all::<CounterRow>()
        .await?;
    standing_of(rows)
}

/// A try that was counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) by: TryBy,
    pub(crate) after: Standing,
}

/// Counts a failed try, unless it has become locked meanwhile: two statements, however many counters.
pub(crate) async fn count_failure(
    tx: &mut Tx,
    login: &LoginTry,
    config: &ThrottleConfig,
    now: DateTime<Utc>,
) -> Result<Result<Failed, LoginRefused>, Error> {
    let mut standing = Standing::default();
    if login.device.is_some() {
        // What it counts as depends on its own counters, so those are locked first.
        let known = locked(tx, login, TryBy::KnownDevice, now).await?;
        (standing.device, standing.devices) = (known.device, known.devices);
        if standing.judge(login, now) != Ok(TryBy::KnownDevice) {
            let strangers = locked(tx, login, TryBy::Stranger, now).await?;
            standing = Standing { device: standing.device, devices: standing.devices, ..strangers };
        }
    } else {
        standing = locked(tx, login, TryBy::Stranger, now).await?;
    }
    let (by, after) = match standing.failed(login, config, now) {
        Ok(counted) => counted,
        Err(refused) => return Ok(Err(refused)),
    };
    let changed = by.counters().iter().filter_map(|kind| Some((login.key(*kind)?, after.get(*kind)?)));
    let changed: Vec<(CounterKey, Counter)> = changed.collect();
    save(tx, &changed).await?;
    Ok(Ok(Failed { by, after }))
}

/// Reads the counters of one side and locks them until the transaction ends.
async fn locked(tx: &mut Tx, login: &LoginTry, by: TryBy, now: DateTime<Utc>) -> Result<Standing, Error> {
    let keys: Vec<CounterKey> = by.counters().iter().filter_map(|kind| login.key(*kind)).collect();
    standing_of(lock(tx, &keys, now).await?)
}

/// Makes the rows that do not exist, without failures, and locks them all, in the order of `keys`.
async fn lock(tx: &mut Tx, keys: &[CounterKey], now: DateTime<Utc>) -> Result<Vec<CounterRow>, Error> {
    let empty: Vec<(CounterKey, Counter)> = keys.iter().map(|key| (*key, Counter::new(now))).collect();
    // The update that changes nothing locks the row on both engines, also when another transaction is just making it,
    // so that of parallel failures none is lost.
    let mut sql = insert(tx, &empty);
    sql.push(" DO UPDATE SET failures = login_counters.failures RETURNING ").push(columns!());
    tx.q_build(sql).all::<CounterRow>().await
}

/// Stores counters, whatever there was.
async fn save(tx: &mut Tx, counters: &[(CounterKey, Counter)]) -> Result<(), Error> {
    let mut sql = insert(tx, counters);
    sql.push(
        " DO UPDATE SET failures = excluded.failures, window_started_at = excluded.window_started_at, \
         locked_until = excluded.locked_until, expires_at = excluded.expires_at",
    );
    tx.q_build(sql).run().await?;
    Ok(())
}

/// `INSERT` of some rows, up to what to do about those that exist.
fn insert(tx: &Tx, counters: &[(CounterKey, Counter)]) -> SqlBuilder {
    let mut sql = tx.builder(
        "INSERT INTO login_counters \
         (kind, key, account, failures, window_started_at, locked_until, expires_at) VALUES ",
    );
    for (index, (key, counter)) in counters.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" }).value(key.kind().as_str().to_owned());
        // Accounts' own rows are found by their key.
        let owner = owner(key).filter(|_| matches!(key, CounterKey::Pair(..) | CounterKey::Device(..)));
        sql.push(", ").value(row_key(key)).push(", ").value(owner);
        sql.push(", ").value(i64::from(counter.failures)).push(", ").value(counter.window_started_at);
        sql.push(", ").value(counter.locked_until).push(", ").value(counter.expires_at).push(")");
    }
    sql.push(" ON CONFLICT (kind, key)");
    sql
}

/// `DELETE` of the counters that fulfil a condition. PostgreSQL locks them in the order in which failures do: a success
/// and a failure at the same moment would otherwise wait for each other until one is sent away.
macro_rules! delete_where {
    ($condition:literal) => {
        Sql::Per {
            pg: concat!(
                "WITH locked AS (SELECT kind, key FROM login_counters WHERE ",
                $condition,
                " ORDER BY CASE kind WHEN 'device' THEN 1 WHEN 'devices' THEN 2 WHEN 'account' THEN 3 ELSE 4 END, key \
                 FOR UPDATE) \
                 DELETE FROM login_counters AS c USING locked AS l WHERE c.kind = l.kind AND c.key = l.key"
            ),
            lite: concat!("DELETE FROM login_counters WHERE ", $condition),
        }
    };
}

/// Forgets the failures that a success of `by` ends.
pub(crate) async fn forget(tx: &mut Tx, login: &LoginTry, by: TryBy) -> Result<(), Error> {
    let device = optional_key(login.key(CounterKind::Device));
    let account = login.account.to_bytes();
    let query = match by {
        TryBy::KnownDevice => tx
            .q(delete_where!("(kind = 'devices' AND key = $1) OR (kind = 'device' AND key = $2)"))
            .bind(account)
            .bind(device),
        TryBy::Stranger => tx
            .q(delete_where!(
                "(kind IN ('account', 'devices') AND key = $1) OR (kind = 'device' AND key = $2) \
                 OR (kind = 'pair' AND key = $3)"
            ))
            .bind(account)
            .bind(device)
            .bind(optional_key(login.key(CounterKind::Pair))),
    };
    query.run().await?;
    Ok(())
}

/// A counter, and the account that it belongs to.
#[derive(sqlx::FromRow)]
struct OwnedRow {
    owner: Vec<u8>,
    #[sqlx(flatten)]
    counter: CounterRow,
}

/// Reads everything that belongs to some accounts, each with its account.
pub(crate) async fn find_accounts(
    conn: &mut Conn,
    accounts: &[AccountKey],
) -> Result<Vec<(AccountKey, CounterKind, Counter)>, Error> {
    let keys = || accounts.iter().map(AccountKey::to_bytes);
    let mut sql = conn.builder("SELECT COALESCE(account, key) AS owner, ");
    sql.push(columns!()).push(" FROM login_counters WHERE account IN ").list(keys());
    sql.push(" OR (kind IN ('account', 'devices') AND key IN ").list(keys()).push(")");
    let mut found = Vec::new();
    for row in conn.q_build(sql).all::<OwnedRow>().await? {
        let account = accounts.iter().find(|account| account.to_bytes() == row.owner);
        let (kind, counter) = row.counter.parse()?;
        if let Some(account) = account.filter(|_| counter.failures > 0) {
            found.push((*account, kind, counter));
        }
    }
    Ok(found)
}

/// Forgets all failures of an account, its clients and its devices. Returns whether there were any.
pub(crate) async fn clear(tx: &mut Tx, account: &AccountKey) -> Result<bool, Error> {
    let rows = tx
        .q(delete_where!("account = $1 OR (kind IN ('account', 'devices') AND key = $1)"))
        .bind(account.to_bytes())
        .run()
        .await?;
    Ok(rows > 0)
}

/// Deletes up to `rows_max` counters that do not matter any more since `from` or later. Returns how many, and the latest
/// of those times: the next batch begins there, and so reads nothing that earlier ones have deleted.
pub(crate) async fn sweep(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let forgotten = tx
        .q("DELETE FROM login_counters WHERE (kind, key) IN \
              (SELECT kind, key FROM login_counters WHERE expires_at >= $1 AND expires_at <= $2 \
               ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = forgotten.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((forgotten.len() as u64, latest))
}

/// Counters in the tables of this crate, each call in a transaction of its own.
///
/// `Auth` counts in the same tables unless told otherwise, and in its own transactions, which costs less.
#[derive(Debug, Clone)]
pub struct SqlCounters {
    db: Db,
}

impl SqlCounters {
    /// Counts in `db`, whose tables [`MIGRATIONS`](crate::MIGRATIONS) makes.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }

    async fn find_all(&self, keys: &[CounterKey]) -> Result<Vec<Option<Counter>>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        let mut conn = self.db.read().await?;
        for key in keys {
            let row = conn
                .q(concat!("SELECT ", columns!(), " FROM login_counters WHERE kind = $1 AND key = $2"))
                .bind(key.kind().as_str())
                .bind(row_key(key))
                .opt::<CounterRow>()
                .await?;
            let counter = row.map(CounterRow::parse).transpose()?.map(|(_, counter)| counter);
            found.push(counter.filter(|counter| counter.failures > 0));
        }
        Ok(found)
    }

    async fn replace_all(&self, changes: &[CounterChange], now: DateTime<Utc>) -> Result<bool, Error> {
        let mut changes = changes.to_vec();
        changes.sort_by_key(|change| change.key);
        let replace = async move |tx: &mut Tx| {
            for change in &changes {
                let rows = lock(tx, &[change.key], now).await?;
                let present = rows.into_iter().next().map(CounterRow::parse).transpose()?;
                let present = present.map(|(_, counter)| counter).filter(|counter| counter.failures > 0);
                if present != change.before {
                    return Err(Replace::Changed);
                }
                match change.after {
                    Some(counter) => save(tx, &[(change.key, counter)]).await?,
                    None => {
                        tx.q("DELETE FROM login_counters WHERE kind = $1 AND key = $2")
                            .bind(change.key.kind().as_str())
                            .bind(row_key(&change.key))
                            .run()
                            .await?;
                    }
                }
            }
            Ok(())
        };
        match self.db.transact(SCOPE, replace).await {
            Ok(()) => Ok(true),
            Err(Replace::Changed) => Ok(false),
            Err(Replace::Db(error)) => Err(error),
        }
    }
}

const SCOPE: Scope = Scope::Platform("sign-in");

/// Why a change is rolled back.
#[derive(Debug)]
enum Replace {
    /// A counter is no longer what it was.
    Changed,
    Db(Error),
}

impl From<Error> for Replace {
    fn from(error: Error) -> Self {
        Self::Db(error)
    }
}

impl TransactError for Replace {
    fn as_db(&self) -> Option<&Error> {
        match self {
            Self::Changed => None,
            Self::Db(error) => Some(error),
        }
    }
}

impl CounterStore for SqlCounters {
    fn find<'a>(
        &'a self,
        keys: &'a [CounterKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Counter>>, CounterStoreError>> {
        Box::pin(async move { self.find_all(keys).await.map_err(CounterStoreError::Db) })
    }

    fn replace<'a>(
        &'a self,
        changes: &'a [CounterChange],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        Box::pin(async move { self.replace_all(changes, now).await.map_err(CounterStoreError::Db) })
    }

    fn find_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<(CounterKind, Counter)>, CounterStoreError>> {
        Box::pin(async move {
            let mut conn = self.db.read().await.map_err(CounterStoreError::Db)?;
            let found = find_accounts(&mut conn, &[*account]).await.map_err(CounterStoreError::Db)?;
            Ok(found.into_iter().map(|(_, kind, counter)| (kind, counter)).collect())
        })
    }

    fn clear_account<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<bool, CounterStoreError>> {
        let account = *account;
        Box::pin(async move {
            let clear = async move |tx: &mut Tx| clear(tx, &account).await;
            self.db.transact(SCOPE, clear).await.map_err(CounterStoreError::Db)
        })
    }

    fn sweep(&self, now: DateTime<Utc>, counters_max: u32) -> BoxFuture<'_, Result<u64, CounterStoreError>> {
        Box::pin(async move {
            let sweep =
                async move |tx: &mut Tx| sweep(tx, now, DateTime::UNIX_EPOCH, i64::from(counters_max)).await;
            self.db.transact(SCOPE, sweep).await.map(|(swept, _)| swept).map_err(CounterStoreError::Db)
        })
    }
}
