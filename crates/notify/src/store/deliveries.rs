use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use stylobate_core::{Direction, MessageDeliveryId, NotificationChannelId, Page};
use stylobate_db::{Conn, Error, Keyset, KeysetKey, Scope, Tx};
use uuid::Uuid;

use super::{bad_row, push_scope, small, tenant_of};
use crate::{
    DeliveryRef, DeliveryState, Medium, MessageDelivery, MessageDeliveryQuery, NotifierError, Reason,
    policy::budget::Counted,
};

const COLUMNS: &str = "id, lane, message_id, kind, medium, channel_id, person_id, destination, state, reason, attempts, due_at, \
     last_error, last_status, created_at, attempted_at, finished_at";

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: Uuid,
    lane: Uuid,
    message_id: Uuid,
    kind: String,
    medium: String,
    channel_id: Option<Uuid>,
    person_id: Option<Uuid>,
    destination: String,
    state: String,
    reason: Option<String>,
    attempts: i64,
    due_at: DateTime<Utc>,
    last_error: Option<String>,
    last_status: Option<i64>,
    created_at: DateTime<Utc>,
    attempted_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<DeliveryRow> for MessageDelivery {
    type Error = Error;

    fn try_from(row: DeliveryRow) -> Result<Self, Error> {
        let bad = |column| bad_row(column, row.id);
        let state = DeliveryState::of(&row.state).ok_or(bad("notify_deliveries.state"))?;
        let reason =
            row.reason.as_deref().map(|text| Reason::of(text).ok_or(bad("notify_deliveries.reason")));
        Ok(Self {
            id: row.id.into(),
            tenant_id: tenant_of(row.lane),
            message_id: row.message_id.into(),
            medium: Medium::of(&row.medium).ok_or(bad("notify_deliveries.medium"))?,
            channel_id: row.channel_id.map(Into::into),
            person_id: row.person_id.map(Into::into),
            state,
            reason: reason.transpose()?,
            attempts: small(row.attempts),
            due_at: Some(row.due_at).filter(|_| state == DeliveryState::Pending),
            last_status: row.last_status.and_then(|status| status.try_into().ok()),
            kind: row.kind,
            destination: row.destination,
            last_error: row.last_error,
            created_at: row.created_at,
            attempted_at: row.attempted_at,
            finished_at: row.finished_at,
        })
    }
}

/// A delivery to be made, or not to be.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    pub(crate) id: MessageDeliveryId,
    pub(crate) lane: Uuid,
    pub(crate) message: Uuid,
    pub(crate) kind: String,
    pub(crate) medium: Medium,
    pub(crate) channel: Option<Uuid>,
    pub(crate) person: Option<Uuid>,
    pub(crate) address_key: Vec<u8>,
    pub(crate) destination: String,
    pub(crate) destination_sealed: Option<Vec<u8>>,
    pub(crate) state: DeliveryState,
    pub(crate) reason: Option<Reason>,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) now: DateTime<Utc>,
}

impl NewDelivery {
    /// The delivery, for whoever makes it.
    pub(crate) fn reference(&self) -> DeliveryRef {
        DeliveryRef {
            id: self.id,
            tenant: tenant_of(self.lane),
            medium: self.medium,
            channel: self.channel.map(Into::into),
            due_at: self.due_at,
        }
    }
}

/// Notes deliveries: at least one.
pub(crate) async fn insert(tx: &mut Tx, new: Vec<NewDelivery>) -> Result<(), Error> {
    let mut sql = tx.builder(
        "INSERT INTO notify_deliveries (id, lane, message_id, kind, medium, channel_id, person_id, address_key, destination, \
         destination_sealed, state, reason, attempts, claims, due_at, created_at, finished_at) VALUES ",
    );
    for (n, one) in new.into_iter().enumerate() {
        let is_pending = one.state == DeliveryState::Pending;
        sql.push(if n == 0 { "(" } else { ", (" }).value(one.id.as_uuid());
        sql.push(", ").value(one.lane).push(", ").value(one.message).push(", ").value(one.kind);
        sql.push(", ").value(one.medium.as_str()).push(", ").value(one.channel).push(", ").value(one.person);
        sql.push(", ").value(one.address_key).push(", ").value(one.destination);
        sql.push(", ").value(one.destination_sealed.filter(|_| is_pending));
        sql.push(", ").value(one.state.as_str()).push(", ").value(one.reason.map(Reason::as_str));
        sql.push(", 0, 0, ").value(one.due_at).push(", ").value(one.now);
        sql.push(", ").value(Some(one.now).filter(|_| !is_pending)).push(")");
    }
    tx.q_build(sql).run().await?;
    Ok(())
}

pub(crate) async fn find(
    conn: &mut Conn,
    scope: Scope,
    id: MessageDeliveryId,
) -> Result<Option<MessageDelivery>, Error> {
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notify_deliveries WHERE id = ").value(id.as_uuid());
    push_scope(&mut sql, scope);
    conn.q_build(sql).opt::<DeliveryRow>().await?.map(MessageDelivery::try_from).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn,
    scope: Scope,
    query: &MessageDeliveryQuery,
) -> Result<Page<MessageDelivery>, NotifierError> {
    let cursor = query.cursor.as_deref();
    let keyset = Keyset::new("created_at", "created_at", "id", true, Direction::Desc, query.limit, cursor)?;
    let mut sql = conn.builder("SELECT ");
    sql.push(COLUMNS).push(" FROM notify_deliveries WHERE id IS NOT NULL");
    push_scope(&mut sql, scope);
    if let Some(channel) = query.channel {
        sql.push(" AND channel_id = ").value(channel.as_uuid());
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").value(state.as_str());
    }
    if let Some(medium) = query.medium {
        sql.push(" AND medium = ").value(medium.as_str());
    }
    keyset.push(&mut sql);
    let rows = conn.q_build(sql).all::<DeliveryRow>().await?;
    let Page { items, next_cursor, total } =
        keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = items.into_iter().map(MessageDelivery::try_from);
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next_cursor, total })
}

/// Which deliveries to an address count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    All,
    /// Those to somebody's own address.
    Own,
    /// Those through channels, said in a lane.
    ChannelsIn(Uuid),
}

/// What is counted of what was sent to an address: everything since `all_since`, and what was of `kind` since `kind_since`.
#[derive(Clone, Copy)]
pub(crate) struct Tally<'a> {
    pub(crate) address_key: &'a [u8],
    pub(crate) share: Share,
    pub(crate) kind: &'static str,
    pub(crate) all_since: DateTime<Utc>,
    pub(crate) kind_since: DateTime<Utc>,
}

/// Counts what each of `all` asks for, in their order.
pub(crate) async fn count(conn: &mut Conn, all: Vec<Tally<'_>>) -> Result<Vec<Counted>, Error> {
    let asked = all.len();
    if asked == 0 {
        return Ok(Vec::new());
    }
    let mut sql =
        conn.builder("WITH asked (place, address_key, share, lane, kind, all_since, kind_since) AS (VALUES ");
    sql.each(", ", (0_i64..).zip(all), |sql, (place, tally)| {
        let (share, lane) = match tally.share {
            Share::All => ("all", Uuid::nil()),
            Share::Own => ("own", Uuid::nil()),
            Share::ChannelsIn(lane) => ("channels", lane),
        };
        sql.push("(").value(place).push(", ").value(tally.address_key.to_vec());
        sql.push(", ").value(share).push(", ").value(lane).push(", ").value(tally.kind);
        sql.push(", ").value(tally.all_since).push(", ").value(tally.kind_since).push(")");
    });
    // As values of rows neither engine makes a join of them, and each is looked up by the index.
    sql.push(") SELECT (SELECT count(*) FROM notify_deliveries d WHERE d.created_at > asked.all_since");
    sql.push(COUNTS);
    sql.push("), (SELECT count(*) FROM notify_deliveries d WHERE d.created_at > asked.kind_since AND d.kind = asked.kind");
    sql.push(COUNTS).push(") FROM asked ORDER BY place");
    // What was repeated comes last.
    let rows: Vec<(i64, i64)> = conn.q_build(sql).all().await?;
    Ok(rows.into_iter().take(asked).map(|(all, of_kind)| Counted { all, of_kind }).collect())
}

/// Whether a delivery counts for a [`Tally`].
const COUNTS: &str = " AND d.address_key = asked.address_key AND d.state <> 'dropped' AND (asked.share = 'all' \
     OR asked.share = 'own' AND d.channel_id IS NULL \
     OR asked.share = 'channels' AND d.channel_id IS NOT NULL AND d.lane = asked.lane)";

/// A pending delivery, as an attempt needs it, with the message that it is of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Owed {
    pub(crate) id: Uuid,
    pub(crate) lane: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) kind: String,
    pub(crate) medium: String,
    pub(crate) channel_id: Option<Uuid>,
    pub(crate) person_id: Option<Uuid>,
    pub(crate) address_key: Vec<u8>,
    pub(crate) destination: String,
    pub(crate) destination_sealed: Option<Vec<u8>>,
    pub(crate) attempts: i64,
    pub(crate) claims: i64,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) lease_until: Option<DateTime<Utc>>,
    pub(crate) outage_since: Option<DateTime<Utc>>,
    pub(crate) topic: String,
    pub(crate) locale: Option<String>,
    pub(crate) values_sealed: Option<Vec<u8>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) accepted_at: DateTime<Utc>,
}

impl Owed {
    /// How often it was tried.
    pub(crate) fn attempts(&self) -> u32 {
        small(self.attempts)
    }

    /// How long nothing could be sent there at all.
    pub(crate) fn outage(&self, now: DateTime<Utc>) -> Duration {
        self.outage_since.and_then(|since| (now - since).to_std().ok()).unwrap_or_default()
    }
}

/// Those of `ids` that are pending.
pub(crate) async fn owed(conn: &mut Conn, ids: &[MessageDeliveryId]) -> Result<Vec<Owed>, Error> {
    let mut sql = conn.builder(
        "SELECT d.id, d.lane, d.message_id, d.kind, d.medium, d.channel_id, d.person_id, d.address_key, d.destination, \
         d.destination_sealed, d.attempts, d.claims, d.due_at, d.lease_until, d.outage_since, m.topic, m.locale, m.values_sealed, \
         m.expires_at, m.created_at AS accepted_at \
         FROM notify_deliveries d JOIN notify_messages m ON m.id = d.message_id WHERE d.state || '' = 'pending' AND d.id IN ",
    );
    sql.list(ids.iter().map(|id| id.as_uuid()));
    conn.q_build(sql).all().await
}

/// Begins attempts; `None` for each that somebody else was quicker with.
pub(crate) async fn claim(
    tx: &mut Tx,
    all: Vec<Owed>,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> Result<Vec<Option<Owed>>, Error> {
    let mut sql = tx
        .builder("UPDATE notify_deliveries SET attempts = attempts + 1, claims = claims + 1, lease_until = ");
    sql.value(lease_until).push(", attempted_at = ").value(now).push(" WHERE state || '' = 'pending' AND (");
    sql.each(" OR ", &all, |sql, owed| {
        sql.push("(id = ").value(owed.id).push(" AND claims = ").value(owed.claims);
        sql.push(" AND attempts = ").value(owed.attempts).push(")");
    });
    sql.push(") RETURNING id");
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    let mut claimed: HashSet<Uuid> = rows.into_iter().map(|(id,)| id).collect();
    let next = |owed: Owed| {
        // Asked for twice, it is given out once.
        let is_claimed = claimed.remove(&owed.id);
        is_claimed.then(|| Owed { attempts: owed.attempts + 1, claims: owed.claims + 1, ..owed })
    };
    Ok(all.into_iter().map(next).collect())
}

/// How a delivery is left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// To be tried again then.
    Pending(DateTime<Utc>, Why),
    /// Finished.
    Finished(DeliveryState, Option<Reason>),
}

/// Why something is still pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// An attempt failed.
    Failed,
    /// An attempt was begun, and nothing could be sent at all: it was none.
    NoAttempt,
    /// Something is away, and no attempt was begun.
    Away,
    /// Its recipient is not to be disturbed.
    Quiet,
}

impl Left {
    /// The state that it is left in.
    pub(crate) fn state(self) -> DeliveryState {
        match self {
            Self::Pending(..) => DeliveryState::Pending,
            Self::Finished(state, _) => state,
        }
    }
}

/// Writes what came of the claim `owed`; `false` when it is not the last one any more.
pub(crate) async fn settle(
    tx: &mut Tx,
    owed: &Owed,
    left: Left,
    error: Option<&'static str>,
    status: Option<u16>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let (state, reason, due_at, finished_at, why) = match left {
        Left::Pending(due_at, why) => (DeliveryState::Pending, None, due_at, None, Some(why)),
        Left::Finished(state, reason) => (state, reason, owed.due_at, Some(now), None),
    };
    let outage_since =
        matches!(why, Some(Why::NoAttempt | Why::Away)).then(|| owed.outage_since.unwrap_or(now));
    let settled = tx
        .q("UPDATE notify_deliveries SET state = $3, reason = $4, due_at = $5, finished_at = $6,
                last_error = CASE WHEN $10 THEN last_error ELSE $7 END, last_status = CASE WHEN $10 THEN last_status ELSE $8 END,
                lease_until = NULL, attempts = attempts - $9, outage_since = $11,
                destination_sealed = CASE WHEN $3 = 'pending' THEN destination_sealed END
            WHERE id = $1 AND claims = $2 AND state || '' = 'pending'")
        .bind(owed.id)
        .bind(owed.claims)
        .bind(state.as_str())
        .bind(reason.map(Reason::as_str))
        .bind(due_at)
        .bind(finished_at)
        .bind(error)
        .bind(status.map(i64::from))
        .bind(i64::from(why == Some(Why::NoAttempt)))
        // Nobody was asked: what the last one said still stands.
        .bind(error.is_none() && state == DeliveryState::Pending)
        .bind(outage_since)
        .run()
        .await?;
    Ok(settled == 1)
}

/// Writes that the claims `all` were sent, with the same answer. Returns the deliveries whose last claims they still were.
pub(crate) async fn sent(
    tx: &mut Tx,
    all: &[&Owed],
    status: Option<u16>,
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>, Error> {
    let mut sql = tx.builder(
        "UPDATE notify_deliveries SET state = 'sent', reason = NULL, last_error = NULL, finished_at = ",
    );
    sql.value(now).push(", last_status = ").value(status.map(i64::from));
    sql.push(", lease_until = NULL, outage_since = NULL, destination_sealed = NULL WHERE state || '' = 'pending' AND (");
    sql.each(" OR ", all, |sql, owed| {
        sql.push("(id = ").value(owed.id).push(" AND claims = ").value(owed.claims).push(")");
    });
    sql.push(") RETURNING id");
    let rows: Vec<(Uuid,)> = tx.q_build(sql).all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// How many deliveries through a channel were given up after `since`.
pub(crate) async fn given_up(
    conn: &mut Conn,
    channel: NotificationChannelId,
    since: DateTime<Utc>,
) -> Result<i64, Error> {
    conn.q("SELECT count(*) FROM notify_deliveries WHERE channel_id = $1 AND finished_at > $2 AND state = 'failed'
            AND reason IN ('refused', 'bad_recipient', 'exhausted')")
        .bind(channel.as_uuid())
        .bind(since)
        .scalar()
        .await
}

/// The message of a delivery that was dropped, what would have carried it and when it was made.
pub(crate) type Dropped = (Uuid, String, DateTime<Utc>);

/// Ends what is pending for a person who is gone.
pub(crate) async fn end_of_person(
    tx: &mut Tx,
    person: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<Dropped>, Error> {
    tx.q("UPDATE notify_deliveries SET state = 'dropped', reason = 'no_address', finished_at = $2, destination_sealed = NULL,
            lease_until = NULL, outage_since = NULL, claims = claims + 1 WHERE person_id = $1 AND state = 'pending'
          RETURNING message_id, medium, created_at")
        .bind(person)
        .bind(now)
        .all()
        .await
}

/// Ends up to `most` of what is pending to the channels of a lane that is to have none any more.
pub(crate) async fn end_of_channels(
    tx: &mut Tx,
    lane: Uuid,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Dropped>, Error> {
    tx.q("UPDATE notify_deliveries SET state = 'dropped', reason = 'channel_gone', finished_at = $2, destination_sealed = NULL,
            lease_until = NULL, outage_since = NULL, claims = claims + 1
          WHERE state = 'pending' AND id IN (SELECT id FROM notify_deliveries WHERE lane = $1 AND state = 'pending'
            AND channel_id IS NOT NULL AND person_id IS NULL ORDER BY id LIMIT 0 + $3)
          RETURNING message_id, medium, created_at")
        .bind(lane)
        .bind(now)
        .bind(most)
        .all()
        .await
}
