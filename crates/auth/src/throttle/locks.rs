use chrono::{DateTime, Utc};
use stylobate_core::PersonId;
use stylobate_db::{Conn, Error};
use uuid::Uuid;

/// How the account of a person stands, for those who look after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountLock {
    pub(crate) person: PersonId,
    /// Failed tries in a row.
    pub(crate) failures: u32,
    /// Until when tries of some client, or of all strangers, are refused, if they are: the latest.
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct LockRow {
    kind: String,
    key: Vec<u8>,
    account: Option<Vec<u8>>,
    failures: i64,
    locked_until: Option<DateTime<Utc>>,
}

/// Reads how the accounts of `people` stand; those without failures that count are left out.
pub(crate) async fn find_account_locks(
    conn: &mut Conn,
    people: &[PersonId],
    now: DateTime<Utc>,
) -> Result<Vec<AccountLock>, Error> {
    let keys = || people.iter().map(|person| person.as_uuid().as_bytes().to_vec());
    let mut sql = conn
        .builder("SELECT kind, key, account, failures, locked_until FROM login_counters WHERE expires_at > ");
    sql.value(now)
        .push(" AND ((kind = 'account' AND key IN ")
        .list(keys())
        .push(") OR (kind = 'pair' AND account IN ")
        .list(keys())
        .push("))");
    let mut locks: Vec<AccountLock> = Vec::new();
    for row in conn.q_build(sql).all::<LockRow>().await? {
        // The digest of a name that nobody has is longer than an id.
        let Ok(person) = Uuid::from_slice(row.account.as_ref().unwrap_or(&row.key)) else { continue };
        let person = PersonId::from_uuid(person);
        let index = match locks.iter().position(|lock| lock.person == person) {
            Some(index) => index,
            None => {
                locks.push(AccountLock { person, failures: 0, locked_until: None });
                locks.len() - 1
            }
        };
        let Some(lock) = locks.get_mut(index) else { continue };
        if row.kind == "account" {
            lock.failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
        }
        lock.locked_until = lock.locked_until.max(row.locked_until.filter(|until| *until > now));
    }
    Ok(locks)
}
