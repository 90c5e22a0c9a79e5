use chrono::{DateTime, Days, NaiveDate, Utc};
use stylobate_core::ApiKeyId;
use stylobate_db::{Conn, Error, Tx};

use super::{ApiKeyUsage, uses::UnwrittenUse};

/// How long usage is kept, in days.
pub(super) const KEPT_DAYS: i64 = 90;

/// The day of a time, as days since 1970-01-01 in UTC.
pub(super) fn day_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(24 * 60 * 60)
}

fn date_of(day: i64) -> Option<NaiveDate> {
    DateTime::UNIX_EPOCH.date_naive().checked_add_days(Days::new(u64::try_from(day).ok()?))
}

/// Writes what keys were used for since the last time. They are in the order of their ids, so that two processes wait for each
/// other in turn.
pub(super) async fn write(tx: &mut Tx, uses: &[UnwrittenUse]) -> Result<(), Error> {
    for used in uses {
        // The row is written in any case, so that it stays until its days are.
        let rows = tx
            .q("UPDATE api_keys SET last_used_at = CASE WHEN last_used_at >= $1 THEN last_used_at \
                ELSE COALESCE($1, last_used_at) END WHERE id = $2")
            .bind(used.last_used_at)
            .bind(used.id.as_uuid())
            .run()
            .await?;
        if rows == 0 {
            continue;
        }
        for day in &used.days {
            tx.q("INSERT INTO api_key_usage (key_id, day, requests, refused) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (key_id, day) DO UPDATE SET requests = api_key_usage.requests + excluded.requests, \
                  refused = api_key_usage.refused + excluded.refused")
                .bind(used.id.as_uuid())
                .bind(day.day)
                .bind(day.requests)
                .bind(day.refused)
                .run()
                .await?;
        }
    }
    Ok(())
}

/// Reads what a key was used for, the latest day first.
pub(super) async fn list(conn: &mut Conn, id: ApiKeyId, since: i64) -> Result<Vec<ApiKeyUsage>, Error> {
    let rows: Vec<(i64, i64, i64)> = conn
        .q("SELECT day, requests, refused FROM api_key_usage WHERE key_id = $1 AND day > $2 ORDER BY day DESC")
        .bind(id.as_uuid())
        .bind(since)
        .all()
        .await?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let usage = |(day, requests, refused)| {
        Some(ApiKeyUsage { day: date_of(day)?, requests: count(requests), refused: count(refused) })
    };
    Ok(rows.into_iter().filter_map(usage).collect())
}

/// Deletes up to `rows_max` days up to `until`.
pub(super) async fn sweep(tx: &mut Tx, until: i64, rows_max: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM api_key_usage WHERE (key_id, day) IN (SELECT key_id, day FROM api_key_usage WHERE day <= $1 \
          ORDER BY day LIMIT 0 + $2)")
        .bind(until)
        .bind(rows_max)
        .run()
        .await
}
