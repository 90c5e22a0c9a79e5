use std::{
    future::Future,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta};
use stylobate_db::{Error, Tx};

use super::{Auth, AuthError, SCOPE};
use crate::{ApiKeys, flow_limit, one_time, revocation, session, setup_token, signing, throttle};

/// Between two reads of the latest revocations. With a read of up to 200 ms they arrive twice a second.
const POLL_EVERY: Duration = Duration::from_millis(300);
/// How far back a read looks: rows appear when their transaction commits, which is later than the time on them.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(30);
/// After this long without a successful read, rows may have been missed, and all live ones are read again.
const RELOAD_AFTER: Duration = Duration::from_secs(15);
/// Between two reads of the key ring: a withdrawn key is noticed within a second.
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// Between two sweeps.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
/// Rows that one statement of a sweep deletes: few milliseconds, so that nobody waits for it.
const SWEEP_ROWS: i64 = 250;
/// How long revocations are kept after the last token that they concern has run out: by the clock of whoever sweeps, which may
/// be ahead of those that judge tokens.
const REVOCATIONS_KEPT: TimeDelta = TimeDelta::days(1);

impl Auth {
    /// Keeps the service up to date until `shutdown` completes: reads revocations of other processes at least twice a
    /// second and so the key ring, counts what stored password hashes cost, writes what API keys were used for, and deletes what
    /// has run out. None of them waits for another. Run it as one task beside the server.
    ///
    /// Without it everything stays correct, only slower: every token costs a read of its session row.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        self.keep_up_to_date(true, shutdown).await;
    }

    /// As [`run`](Self::run), without deleting what has run out: for a service with several processes, one of which calls
    /// [`sweep`](Self::sweep) now and then.
    pub async fn run_without_sweeps(&self, shutdown: impl Future<Output = ()>) {
        self.keep_up_to_date(false, shutdown).await;
    }

    async fn keep_up_to_date(&self, sweeps: bool, shutdown: impl Future<Output = ()>) {
        // What is under way when the end comes is rolled back; uses of API keys are written once more.
        tokio::select! {
            () = shutdown => {}
            () = Box::pin(self.follow_revocations()) => {}
            () = Box::pin(self.follow_keys()) => {}
            () = Box::pin(self.keep_house(sweeps)) => {}
            () = Box::pin(self.follow_costs()) => {}
            () = Box::pin(self.inner.api_keys.follow_uses()) => {}
            () = Box::pin(self.inner.api_keys.follow_counts()) => {}
        }
        self.inner.api_keys.write_last_uses().await;
    }

    async fn follow_revocations(&self) {
        // The first read is a whole one: time may have passed since the service was built.
        let mut last_read = None::<Instant>;
        let mut is_failing = false;
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            let began = Instant::now();
            let reload = last_read.is_none_or(|read| began.duration_since(read) > RELOAD_AFTER);
            let read = if reload { self.load_revocations().await } else { self.poll_revocations().await };
            match read {
                Ok(()) => {
                    last_read = Some(began);
                    if is_failing {
                        tracing::info!("revocations are read again");
                    }
                    is_failing = false;
                }
                // Once per outage: the poll repeats three times a second.
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(
                        code = error.code(),
                        "revocations cannot be read: sessions are checked one by one"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// The sealer of a new key may be on the network, and take its time.
    async fn follow_keys(&self) {
        let Some(ring) = &self.inner.key_ring else { return std::future::pending().await };
        let mut is_failing = false;
        loop {
            tokio::time::sleep(KEYS_EVERY).await;
            let read = ring.reload().await;
            if let Err(error) = &read
                && !is_failing
            {
                tracing::warn!(code = error.code(), "the key ring could not be read; the present keys stay");
            }
            is_failing = read.is_err();
        }
    }

    /// After a day without it, there may be work for minutes.
    async fn keep_house(&self, sweeps: bool) {
        loop {
            tokio::time::sleep(HOUSEKEEPING_EVERY).await;
            self.inner.revocations.forget_expired(self.inner.clock.now());
            if !sweeps {
                continue;
            }
            match self.sweep_measured().await {
                Ok(Swept { rows: 0, .. }) => {}
                Ok(Swept { rows, longest }) => tracing::debug!(rows, ?longest, "swept what had run out"),
                Err(error) => tracing::warn!(code = error.code(), "what had run out could not be swept"),
            }
        }
    }

    /// Reads all live revocations.
    pub(super) async fn load_revocations(&self) -> Result<(), Error> {
        let began = Instant::now();
        let mut conn = self.inner.db.read().await?;
        let rows = revocation::find_all_live(&mut conn, self.inner.clock.now()).await?;
        self.take_in(rows, began);
        Ok(())
    }

    /// Reads the latest revocations.
    async fn poll_revocations(&self) -> Result<(), Error> {
        let began = Instant::now();
        let now = self.inner.clock.now();
        let mut conn = self.inner.db.read().await?;
        let rows = revocation::find_since(&mut conn, now - LOOK_BACK).await?;
        self.take_in(rows, began);
        Ok(())
    }

    fn take_in(&self, rows: Vec<revocation::Row>, began: Instant) {
        for (revocation, expires_at) in rows {
            self.inner.revocations.add(revocation, expires_at);
        }
        self.inner.revocations.mark_read(began);
    }

    /// Deletes sessions, revocations, counters, single-use tokens, set-up links and used request signatures that have run out, API
    /// keys 90 days after they expired and what keys were used for 90 days ago, in small transactions of one statement each.
    /// Returns how many rows. [`run`](Self::run) does it once a minute.
    ///
    /// # Errors
    /// What the database reports; what was deleted until then stays deleted.
    pub async fn sweep(&self) -> Result<u64, AuthError> {
        Ok(self.sweep_measured().await?.rows)
    }

    /// [`sweep`](Self::sweep)s, and says how long its longest statement took: that long, at most, a login waited for it.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep).
    pub async fn sweep_measured(&self) -> Result<Swept, AuthError> {
        let now = self.inner.clock.now();
        let mut swept = Swept { rows: self.sweep_counters(now).await?, ..Swept::default() };
        for table in Table::ALL {
            let mut from = DateTime::UNIX_EPOCH;
            loop {
                let batch = async move |tx: &mut Tx| {
                    let began = Instant::now();
                    let (rows, latest) = match table {
                        Table::Sessions => session::delete_expired(tx, now, from, SWEEP_ROWS).await?,
                        Table::Revocations => {
                            revocation::sweep(tx, now - REVOCATIONS_KEPT, from, SWEEP_ROWS).await?
                        }
                        Table::LoginCounters => throttle::sweep(tx, now, from, SWEEP_ROWS).await?,
                        Table::OneTimeTokens => one_time::sweep(tx, now, from, SWEEP_ROWS).await?,
                        Table::FlowCounters => flow_limit::sweep(tx, now, from, SWEEP_ROWS).await?,
                        Table::SetupTokens => (setup_token::sweep(tx, now).await?, from),
                        Table::ApiKeys => (ApiKeys::sweep_keys(tx, now, SWEEP_ROWS).await?, from),
                        Table::ApiKeyUsage => (ApiKeys::sweep_usage(tx, now, SWEEP_ROWS).await?, from),
                        Table::RequestNonces => signing::sweep(tx, now, from, SWEEP_ROWS).await?,
                    };
                    Ok::<_, AuthError>((rows, latest, began.elapsed()))
                };
                let (rows, latest, took) = self.inner.db.transact(SCOPE, batch).await?;
                from = latest;
                swept.rows += rows;
                swept.longest = swept.longest.max(took);
                if rows < SWEEP_ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(swept)
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many rows it deleted, those not counted that went with them.
    pub rows: u64,
    /// How long its longest statement took.
    pub longest: Duration,
}

#[derive(Clone, Copy)]
enum Table {
    Sessions,
    Revocations,
    LoginCounters,
    OneTimeTokens,
    FlowCounters,
    SetupTokens,
    ApiKeys,
    ApiKeyUsage,
    RequestNonces,
}

impl Table {
    const ALL: [Self; 9] = [
        Self::Sessions,
        Self::Revocations,
        Self::LoginCounters,
        Self::OneTimeTokens,
        Self::FlowCounters,
        Self::SetupTokens,
        Self::ApiKeys,
        Self::ApiKeyUsage,
        Self::RequestNonces,
    ];
}
