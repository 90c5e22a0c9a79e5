use std::collections::HashMap;

use chrono::{DateTime, Utc};
use stylobate_core::PersonId;
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use crate::{Category, Preferences, QuietHours};

#[derive(sqlx::FromRow)]
struct PreferencesRow {
    person_id: Uuid,
    quiet_from_min: Option<i64>,
    quiet_to_min: Option<i64>,
    muted: String,
}

impl From<PreferencesRow> for Preferences {
    fn from(row: PreferencesRow) -> Self {
        let minute = |minute: Option<i64>| minute.and_then(|minute| u16::try_from(minute).ok());
        let quiet_hours = minute(row.quiet_from_min)
            .zip(minute(row.quiet_to_min))
            .map(|(from_min, to_min)| QuietHours { from_min, to_min });
        let muted: Vec<String> = serde_json::from_str(&row.muted).unwrap_or_default();
        // One that is known no more mutes nothing.
        let muted = muted.iter().filter_map(|name| Category::named(name)).collect();
        Self { quiet_hours, muted }
    }
}

/// What people want, of those who ever said.
pub(crate) async fn of_people(
    conn: &mut Conn,
    people: Vec<Uuid>,
) -> Result<HashMap<Uuid, Preferences>, Error> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = conn.builder(
        "SELECT person_id, quiet_from_min, quiet_to_min, muted FROM notify_preferences WHERE person_id IN ",
    );
    sql.list(people);
    let rows: Vec<PreferencesRow> = conn.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|row| (row.person_id, row.into())).collect())
}

/// What a person wants; nothing in particular when they never said.
pub(crate) async fn find(conn: &mut Conn, person: PersonId) -> Result<Preferences, Error> {
    let mut found = of_people(conn, vec![person.as_uuid()]).await?;
    Ok(found.remove(&person.as_uuid()).unwrap_or_default())
}

pub(crate) async fn put(
    tx: &mut Tx,
    person: PersonId,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO notify_preferences (person_id, quiet_from_min, quiet_to_min, muted, updated_at)
          VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (person_id) DO UPDATE SET quiet_from_min = excluded.quiet_from_min, quiet_to_min = excluded.quiet_to_min,
            muted = excluded.muted, updated_at = excluded.updated_at")
    .bind(person.as_uuid())
    .bind(preferences.quiet_hours.map(|quiet| i64::from(quiet.from_min)))
    .bind(preferences.quiet_hours.map(|quiet| i64::from(quiet.to_min)))
    .bind(serde_json::to_string(&preferences.muted).unwrap_or_default())
    .bind(now)
    .run()
    .await?;
    Ok(())
}

pub(crate) async fn remove_of(tx: &mut Tx, person: PersonId) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_preferences WHERE person_id = $1").bind(person.as_uuid()).run().await
}
