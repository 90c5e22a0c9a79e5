//! How often something may be asked for: links to one account, requests of one client.
//!
//! A window begins with the first request and lasts its length; whatever comes in it is counted, refused or not, so that whoever
//! goes on asking waits for the end of the window. The count is written in the transaction that does what was asked for: no
//! number of parallel requests gets past it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::PersonId;
use stylobate_db::{Error, Tx};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowKind {
    /// Links to reset the password of one account.
    PasswordResetOfAccount,
    /// Mails that there is no password to reset.
    PasswordResetOfNobody,
    /// Requests of one client for links to reset a password.
    PasswordResetByAddress,
    /// Links that verify the e-mail address of one account.
    VerificationOfAccount,
    /// Links that change the e-mail address of one account.
    EmailChangeOfAccount,
    /// Links to, or news of, accounts that somebody asked for with one address.
    RegistrationOfAccount,
    /// Requests of one client for accounts.
    RegistrationByAddress,
    /// Requests of one client that invite somebody.
    InvitationByAddress,
    /// Bootstrap secrets that one client presents.
    BootstrapByAddress,
}

impl FlowKind {
    /// Those whose key is, or may be, a person.
    const OF_PEOPLE: [Self; 4] = [
        Self::PasswordResetOfAccount,
        Self::VerificationOfAccount,
        Self::EmailChangeOfAccount,
        Self::RegistrationOfAccount,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::PasswordResetOfAccount => "password_reset_account",
            Self::PasswordResetOfNobody => "password_reset_nobody",
            Self::PasswordResetByAddress => "password_reset_address",
            Self::VerificationOfAccount => "email_verification_account",
            Self::EmailChangeOfAccount => "email_change_account",
            Self::RegistrationOfAccount => "registration_account",
            Self::RegistrationByAddress => "registration_address",
            Self::InvitationByAddress => "invitation_address",
            Self::BootstrapByAddress => "bootstrap_address",
        }
    }
}

/// How often, within how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowLimit {
    pub(crate) most: u32,
    pub(crate) within: Duration,
}

impl FlowLimit {
    /// Mailed links of one kind and account.
    pub(crate) const LINKS: Self = Self { most: 5, within: Duration::from_secs(3_600) };
}

/// Too many, and how long until the window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) retry_after: Duration,
}

/// Counts one request of `kind` by or about `key`.
pub(crate) async fn count(
    tx: &mut Tx,
    kind: FlowKind,
    key: &[u8],
    limit: FlowLimit,
    now: DateTime<Utc>,
) -> Result<Result<(), Exceeded>, Error> {
    let within = TimeDelta::from_std(limit.within).unwrap_or(TimeDelta::MAX);
    let ends_at = now.checked_add_signed(within).unwrap_or(DateTime::<Utc>::MAX_UTC);
    // Requests are counted in another order than they looked at the clock, and clocks of processes differ. A window that ends
    // later than any can was begun by a clock that was wrong by more than that.
    let wrong_after = ends_at.checked_add_signed(within).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (count, ends_at): (i64, DateTime<Utc>) = tx
        .q("INSERT INTO flow_counters (kind, key, count, expires_at) VALUES ($1, $2, 1, $4) \
            ON CONFLICT (kind, key) DO UPDATE SET \
              count = CASE WHEN flow_counters.expires_at <= $3 OR flow_counters.expires_at > $5 THEN 1 \
                           ELSE flow_counters.count + 1 END, \
              expires_at = CASE WHEN flow_counters.expires_at <= $3 OR flow_counters.expires_at > $5 THEN $4 \
                                ELSE flow_counters.expires_at END \
            RETURNING count, expires_at")
        .bind(kind.word())
        .bind(key.to_vec())
        .bind(now)
        .bind(ends_at)
        .bind(wrong_after)
        .one()
        .await?;
    if count <= i64::from(limit.most) {
        return Ok(Ok(()));
    }
    let retry_after = (ends_at - now).to_std().unwrap_or_default().max(Duration::from_secs(1));
    Ok(Err(Exceeded { retry_after }))
}

/// Forgets what was counted of `kind` for `key`.
pub(crate) async fn clear(tx: &mut Tx, kind: FlowKind, key: &[u8]) -> Result<(), Error> {
    let clear = tx.q("DELETE FROM flow_counters WHERE kind = $1 AND key = $2");
    clear.bind(kind.word()).bind(key.to_vec()).run().await?;
    Ok(())
}

/// Forgets everything that was counted for a person.
pub(crate) async fn forget(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    for kind in FlowKind::OF_PEOPLE {
        clear(tx, kind, person.as_uuid().as_bytes()).await?;
    }
    Ok(())
}

/// Deletes up to `rows_max` counters whose window has ended since `from` or later. Returns how many, and the latest of those
/// times: the next batch begins there.
pub(crate) async fn sweep(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let ended = tx
        .q("DELETE FROM flow_counters WHERE (kind, key) IN \
              (SELECT kind, key FROM flow_counters WHERE expires_at >= $1 AND expires_at <= $2 \
               ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = ended.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((ended.len() as u64, latest))
}

#[cfg(test)]
mod tests {
    use stylobate_core::Clock as _;
    use stylobate_db::{Db, Scope};
    use stylobate_testkit::{ManualClock, TestDb, both_engines};

    use super::*;

    const LIMIT: FlowLimit = FlowLimit { most: 3, within: Duration::from_secs(60) };
    const SCOPE: Scope = Scope::Platform("test");

    async fn ask(db: Db, kind: FlowKind, key: &'static [u8], now: DateTime<Utc>) -> Result<(), Exceeded> {
        let mut tx = db.begin(SCOPE).await.unwrap();
        let counted = count(&mut tx, kind, key, LIMIT, now).await.unwrap();
        tx.commit().await.unwrap();
        counted
    }

    async fn a_window_takes_so_many_and_then_begins_anew(db: TestDb) {
        use FlowKind::{PasswordResetByAddress as Address, PasswordResetOfAccount as Account};
        let (db, clock) = (db.open(&[]).await, ManualClock::new());
        for _ in 0..3 {
            assert_eq!(ask(db.clone(), Account, b"ada", clock.now()).await, Ok(()));
        }
        clock.advance(TimeDelta::seconds(20));
        let refused = Exceeded { retry_after: Duration::from_secs(40) };
        assert_eq!(ask(db.clone(), Account, b"ada", clock.now()).await, Err(refused));
        // Others, and other kinds, have counters of their own.
        assert_eq!(ask(db.clone(), Account, b"eve", clock.now()).await, Ok(()));
        assert_eq!(ask(db.clone(), Address, b"ada", clock.now()).await, Ok(()));
        clock.advance(TimeDelta::seconds(40));
        for _ in 0..3 {
            assert_eq!(ask(db.clone(), Account, b"ada", clock.now()).await, Ok(()));
        }
        assert!(ask(db.clone(), Account, b"ada", clock.now()).await.is_err());
        // A clock that stepped back by a day refuses nobody for a day.
        assert_eq!(ask(db.clone(), Account, b"ada", clock.now() - TimeDelta::days(1)).await, Ok(()));
    }
    both_engines!(a_window_takes_so_many_and_then_begins_anew, &[&crate::MIGRATIONS]);

    async fn of_many_at_once_no_more_than_the_limit_pass(db: TestDb) {
        let (db, now) = (db.open(&[]).await, ManualClock::new().now());
        let mut asked = tokio::task::JoinSet::new();
        for nth in 0..20 {
            // Each has looked at the clock at another moment, and they come in any order.
            let now = now + TimeDelta::milliseconds(nth * 7 % 20);
            asked.spawn(ask(db.clone(), FlowKind::PasswordResetOfAccount, b"ada", now));
        }
        let passed = asked.join_all().await.into_iter().filter(Result::is_ok).count();
        assert_eq!(passed, 3);
    }
    both_engines!(of_many_at_once_no_more_than_the_limit_pass, &[&crate::MIGRATIONS]);

    async fn windows_that_have_ended_are_swept(db: TestDb) {
        let (db, clock) = (db.open(&[]).await, ManualClock::new());
        let _ = ask(db.clone(), FlowKind::PasswordResetOfAccount, b"ada", clock.now()).await;
        clock.advance(TimeDelta::seconds(30));
        let _ = ask(db.clone(), FlowKind::PasswordResetOfAccount, b"eve", clock.now()).await;
        clock.advance(TimeDelta::seconds(40));
        let now = clock.now();
        let sweep = async move |tx: &mut Tx| sweep(tx, now, DateTime::UNIX_EPOCH, 10).await;
        assert_eq!(db.transact(SCOPE, sweep).await.unwrap().0, 1);
    }
    both_engines!(windows_that_have_ended_are_swept, &[&crate::MIGRATIONS]);
}
