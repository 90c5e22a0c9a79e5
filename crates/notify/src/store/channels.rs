use std::collections::HashMap;

use chrono::{DateTime, Utc};
use stylobate_core::{Direction, NotificationChannelId, Page, PersonId, TenantId};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use super::bad_row;
use crate::{
    ChannelDisabled, ChannelOwner, ChannelQuery, Medium, NotificationChannel, NotifierError, Severity,
};

const COLUMNS: &str = "id, lane, person_id, channel_type, label, config_sealed, destination, address_key, events, severity_min, is_active, \
     disabled_reason, failing_since, version, created_at, updated_at";

#[derive(sqlx::FromRow)]
struct ChannelRow {
    id: Uuid,
    lane: Uuid,
    person_id: Option<Uuid>,
    channel_type: String,
    label: String,
    config_sealed: Vec<u8>,
    destination: String,
    address_key: Vec<u8>,
    events: String,
    severity_min: String,
    is_active: bool,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Where a channel leads, as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) sealed: Vec<u8>,
    /// What suppressions and budgets go by.
    pub(crate) address_key: Vec<u8>,
}

/// A channel, with its configuration as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) channel: NotificationChannel,
    pub(crate) config_sealed: Vec<u8>,
    pub(crate) address_key: Vec<u8>,
}

impl TryFrom<ChannelRow> for Stored {
    type Error = Error;

    fn try_from(row: ChannelRow) -> Result<Self, Error> {
        let bad = |column| bad_row(column, row.id);
        let reason = row.disabled_reason.as_deref();
        let reason =
            reason.map(|text| ChannelDisabled::of(text).ok_or(bad("notification_channels.disabled_reason")));
        let owner = match row.person_id {
            Some(person) => ChannelOwner::Person(person.into()),
            None => ChannelOwner::Tenant(row.lane.into()),
        };
        let channel = NotificationChannel {
            id: row.id.into(),
            owner,
            channel_type: Medium::of(&row.channel_type).ok_or(bad("notification_channels.channel_type"))?,
            events: events_of(&row.events).ok_or(bad("notification_channels.events"))?,
            severity_min: Severity::named(&row.severity_min)
                .ok_or(bad("notification_channels.severity_min"))?,
            disabled_reason: reason.transpose()?,
            label: row.label,
            destination: row.destination,
            is_active: row.is_active,
            failing_since: row.failing_since,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self { channel, config_sealed: row.config_sealed, address_key: row.address_key })
    }
}

fn events_of(column: &str) -> Option<Vec<String>> {
    serde_json::from_str(column).ok()
}

/// Writing texts as JSON cannot fail.
fn events_column(events: &[String]) -> String {
    serde_json::to_string(events).unwrap_or_default()
}

fn push_owner(sql: &mut SqlBuilder, owner: ChannelOwner) {
    match owner {
        ChannelOwner::Tenant(tenant) => {
            sql.push(" AND lane = ").value(tenant.as_uuid()).push(" AND person_id IS NULL");
        }
        ChannelOwner::Person(person) => {
            sql.push(" AND lane = ").value(Uuid::nil()).push(" AND person_id = ").value(person.as_uuid());
        }
    }
}

pub(crate) async fn count(conn: &mut Conn, owner: ChannelOwner) -> Result<usize, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM notification_channels WHERE id IS NOT NULL");
    push_owner(&mut sql, owner);
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(crate) async fn insert(tx: &mut Tx, channel: &NotificationChannel, config: Config) -> Result<(), Error> {
    let (lane, person) = match channel.owner {
        ChannelOwner::Tenant(tenant) => (tenant.as_uuid(), None),
        ChannelOwner::Person(person) => (Uuid::nil(), Some(person.as_uuid())),
    };
    tx.q("INSERT INTO notification_channels (id, lane, person_id, channel_type, label, config_sealed, destination, address_key, events,
            severity_min, is_active, disabled_reason, failing_since, version, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, NULL, $12, $13, $13)")
    .bind(channel.id.as_uuid())
    .bind(lane)
    .bind(person)
    .bind(channel.channel_type.as_str())
    .bind(channel.label.clone())
    .bind(config.sealed)
    .bind(channel.destination.clone())
    .bind(config.address_key)
    .bind(events_column(&channel.events))
    .bind(channel.severity_min.name())
    .bind(channel.is_active)
    .bind(channel.version)
    .bind(channel.created_at)
    .run()
    .await?;
    Ok(())
}

/// The channel of `owner`; with `to_change`, nobody else changes it until the transaction ends.
pub(crate) async fn find(
    conn: &mut Conn,
    owner: ChannelOwner,
    id: NotificationChannelId,
    to_change: bool,
) -> Result<Option<Stored>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notification_channels WHERE id = ").value(id.as_uuid());
    push_owner(&mut sql, owner);
    if to_change {
        sql.push_sql(Sql::Per { pg: " FOR UPDATE", lite: "" });
    }
    conn.q_build(sql).opt::<ChannelRow>().await?.map(Stored::try_from).transpose()
}

/// A channel that was asked for by its id.
#[derive(Debug, Clone)]
pub(crate) enum ById {
    Gone,
    /// It is there, and this version cannot read it.
    Unreadable,
    Found(Box<Stored>),
}

/// The channels, whosever they are: for deliveries, which were made for them. What is missing is gone.
pub(crate) async fn by_ids(conn: &mut Conn, ids: Vec<Uuid>) -> Result<HashMap<Uuid, ById>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notification_channels WHERE id IN ").list(ids);
    let rows = conn.q_build(sql).all::<ChannelRow>().await?;
    let found = |row: ChannelRow| {
        (row.id, readable(row).map_or(ById::Unreadable, |stored| ById::Found(Box::new(stored))))
    };
    Ok(rows.into_iter().map(found).collect())
}

/// The channel, if it can be read.
fn readable(row: ChannelRow) -> Option<Stored> {
    let id = row.id;
    match Stored::try_from(row) {
        Ok(stored) => Some(stored),
        Err(error) => {
            tracing::error!(notify.channel = %id, %error, "a channel cannot be read");
            None
        }
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    owner: ChannelOwner,
    query: &ChannelQuery,
) -> Result<Page<NotificationChannel>, NotifierError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, Direction::Desc, query.limit, cursor)?;
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notification_channels WHERE id IS NOT NULL");
    push_owner(&mut sql, owner);
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<ChannelRow>().await?;
    let Page { items, next_cursor, total } =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = items.into_iter().map(|row| Ok(Stored::try_from(row)?.channel));
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next_cursor, total })
}

/// Writes what can be edited, and the configuration if there is another.
pub(crate) async fn update(
    tx: &mut Tx,
    channel: &NotificationChannel,
    config: Option<Config>,
) -> Result<(), Error> {
    let (sealed, key) = config.map(|config| (config.sealed, config.address_key)).unzip();
    tx.q("UPDATE notification_channels SET label = $2, destination = $3, events = $4, severity_min = $5, is_active = $6,
            disabled_reason = $7, failing_since = $8, version = $9, updated_at = $10,
            config_sealed = coalesce($11, config_sealed), address_key = coalesce($12, address_key) WHERE id = $1")
    .bind(channel.id.as_uuid())
    .bind(channel.label.clone())
    .bind(channel.destination.clone())
    .bind(events_column(&channel.events))
    .bind(channel.severity_min.name())
    .bind(channel.is_active)
    .bind(channel.disabled_reason.map(ChannelDisabled::as_str))
    .bind(channel.failing_since)
    .bind(channel.version)
    .bind(channel.updated_at)
    .bind(sealed)
    .bind(key)
    .run()
    .await?;
    Ok(())
}

pub(crate) async fn delete(tx: &mut Tx, id: NotificationChannelId) -> Result<(), Error> {
    tx.q("DELETE FROM notification_channels WHERE id = $1").bind(id.as_uuid()).run().await?;
    Ok(())
}

/// The active channels of `owners`; without those that cannot be read.
pub(crate) async fn listening(conn: &mut Conn, owners: &[ChannelOwner]) -> Result<Vec<Stored>, Error> {
    let tenants = owners.iter().filter_map(|owner| match owner {
        ChannelOwner::Tenant(tenant) => Some(tenant.as_uuid()),
        ChannelOwner::Person(_) => None,
    });
    let people = owners.iter().filter_map(|owner| match owner {
        ChannelOwner::Person(person) => Some(person.as_uuid()),
        ChannelOwner::Tenant(_) => None,
    });
    let mut listening = Vec::new();
    for (condition, ids) in [
        (" AND person_id IS NULL AND lane IN ", tenants.collect::<Vec<_>>()),
        (" AND person_id IN ", people.collect()),
    ] {
        if ids.is_empty() {
            continue;
        }
        let mut sql = conn.builder("SELECT ");
        sql.push(COLUMNS).push(" FROM notification_channels WHERE is_active").push(condition).list(ids);
        sql.push(" ORDER BY id");
        let rows = conn.q_build(sql).all::<ChannelRow>().await?;
        listening.extend(rows.into_iter().filter_map(readable));
    }
    Ok(listening)
}

/// Notes that an attempt succeeded, if that is news.
pub(crate) async fn note_success(tx: &mut Tx, id: NotificationChannelId) -> Result<(), Error> {
    tx.q("UPDATE notification_channels SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL")
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Notes that attempts fail from `now` on, if that is news and it still is as it was.
pub(crate) async fn note_failure(
    tx: &mut Tx,
    channel: &NotificationChannel,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("UPDATE notification_channels SET failing_since = $3 WHERE id = $1 AND version = $2 AND failing_since IS NULL")
        .bind(channel.id.as_uuid())
        .bind(channel.version)
        .bind(now)
        .run()
        .await?;
    Ok(())
}

/// Switches `channel` off, if it is on, still is as it was and, with `failing`, has been failing since before that.
pub(crate) async fn disable(
    tx: &mut Tx,
    channel: &NotificationChannel,
    reason: ChannelDisabled,
    failing: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let disabled = tx
        .q("UPDATE notification_channels SET is_active = $3, disabled_reason = $4, updated_at = $5, version = version + 1
            WHERE id = $1 AND version = $2 AND is_active AND (failing_since <= $6 OR $7)")
        .bind(channel.id.as_uuid())
        .bind(channel.version)
        .bind(false)
        .bind(reason.as_str())
        .bind(now)
        .bind(failing)
        .bind(failing.is_none())
        .run()
        .await?;
    Ok(disabled == 1)
}

pub(crate) async fn remove_of_person(tx: &mut Tx, person: PersonId) -> Result<u64, Error> {
    tx.q("DELETE FROM notification_channels WHERE person_id = $1").bind(person.as_uuid()).run().await
}

/// Removes up to `most` channels of a tenant. Returns how many.
pub(crate) async fn remove_of_tenant(tx: &mut Tx, tenant: TenantId, most: i64) -> Result<u64, Error> {
    tx.q(
        "DELETE FROM notification_channels WHERE id IN (SELECT id FROM notification_channels WHERE lane = $1 \
          AND person_id IS NULL ORDER BY created_at, id LIMIT 0 + $2)",
    )
    .bind(tenant.as_uuid())
    .bind(most)
    .run()
    .await
}
