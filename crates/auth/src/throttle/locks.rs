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
    /// Until when tries are refused, if they are.
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

/// Reads how the accounts of `people` stand; those without failures that count are left out.
pub(crate) async fn find_account_locks(
    conn: &mut Conn,
    people: &[PersonId],
    now: DateTime<Utc>,
) -> Result<Vec<AccountLock>, Error> {
    let mut sql = conn.builder(
        "SELECT key, failures, locked_until FROM login_counters WHERE kind = 'account' AND expires_at > ",
    );
    sql.value(now)
        .push(" AND key IN ")
        .list(people.iter().map(|person| person.as_uuid().as_bytes().to_vec()));
    let rows: Vec<(Vec<u8>, i64, Option<DateTime<Utc>>)> = conn.q_build(sql).all().await?;
    let lock = |(key, failures, locked_until): (Vec<u8>, i64, Option<DateTime<Utc>>)| {
        Some(AccountLock {
            // The digest of a name that nobody has is longer than an id.
            person: PersonId::from_uuid(Uuid::from_slice(&key).ok()?),
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            locked_until: locked_until.filter(|until| *until > now),
        })
    };
    Ok(rows.into_iter().filter_map(lock).collect())
}
