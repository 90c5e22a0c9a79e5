use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{PersonId, SessionId, TenantId};
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::{SessionKey, SessionLife, SessionRecord, SessionState};
use crate::{Revocation, Revocations, revocation};

/// A live session, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its public id.
    pub id: SessionId,
    /// Whose it is.
    pub person_id: PersonId,
    /// For which tenant it was begun.
    pub tenant_id: Option<TenantId>,
    /// How the person signed in (RFC 8176).
    pub amr: Vec<String>,
    /// When the person last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// From where it was begun.
    pub address: Option<IpAddr>,
    /// With which program it was begun.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last renewed or, of a cookie, used; to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// Why a session was ended, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    Logout,
    Revoked,
    RefreshReuse,
    SessionLimit,
    PasswordChange,
    /// Somebody else made the person change the password.
    PasswordChangeRequired,
    PersonDisabled,
    PersonDeleted,
    MembershipEnded,
    /// With everything of the tenant that it was begun for.
    TenantEnded,
    /// By a new session of the same sign-in: after a login, a step-up, a change of privileges.
    Replaced,
}

impl EndReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Revoked => "revoked",
            Self::RefreshReuse => "refresh_reuse",
            Self::SessionLimit => "session_limit",
            Self::PasswordChange => "password_change",
            Self::PasswordChangeRequired => "password_change_required",
            Self::PersonDisabled => "person_disabled",
            Self::PersonDeleted => "person_deleted",
            Self::MembershipEnded => "membership_ended",
            Self::TenantEnded => "tenant_ended",
            Self::Replaced => "replaced",
        }
    }
}

/// What a session begins with.
pub(crate) struct NewSession<'a> {
    pub(crate) id: SessionId,
    pub(crate) person: PersonId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) epoch: i64,
    pub(crate) amr: &'a [String],
    pub(crate) auth_time: DateTime<Utc>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) now: DateTime<Utc>,
    /// Of a session that a cookie carries.
    pub(crate) cookie: Option<NewCookie>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// By what a cookie's session is found, and when it ends by idling.
#[derive(Clone, Copy)]
pub(crate) struct NewCookie {
    pub(crate) key: SessionKey,
    pub(crate) idle_expires_at: DateTime<Utc>,
}

/// A cookie session and the epoch it belongs to.
pub(crate) struct KnownSession {
    pub(crate) record: SessionRecord,
    pub(crate) epoch: i64,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    id: Uuid,
    person_id: Uuid,
    tenant_id: Option<Uuid>,
    credential_epoch: i64,
    amr: String,
    auth_time: DateTime<Utc>,
    address: Option<String>,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<KnownRow> for KnownSession {
    fn from(row: KnownRow) -> Self {
        let record = SessionRecord {
            id: SessionId::from_uuid(row.id),
            person: PersonId::from_uuid(row.person_id),
            tenant: row.tenant_id.map(TenantId::from_uuid),
            amr: methods(&row.amr),
            auth_time: row.auth_time,
            address: row.address.and_then(|text| text.parse().ok()),
            user_agent: row.user_agent,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
        };
        Self { record, epoch: row.credential_epoch }
    }
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: Uuid,
    person_id: Uuid,
    tenant_id: Option<Uuid>,
    amr: String,
    auth_time: DateTime<Utc>,
    address: Option<String>,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    idle_expires_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl SessionRow {
    fn life(&self) -> SessionLife {
        SessionLife {
            idle_expires_at: self.idle_expires_at,
            expires_at: self.expires_at,
            ended_at: self.ended_at,
        }
    }

    fn into_session(self, current: Option<SessionId>) -> Session {
        let id = SessionId::from_uuid(self.id);
        Session {
            id,
            person_id: PersonId::from_uuid(self.person_id),
            tenant_id: self.tenant_id.map(TenantId::from_uuid),
            amr: methods(&self.amr),
            auth_time: self.auth_time,
            address: self.address.and_then(|text| text.parse().ok()),
            user_agent: self.user_agent,
            created_at: self.created_at,
            // A refresh writes its family alone; that is when the session was last seen.
            last_seen_at: self.rotated_at.unwrap_or(self.last_seen_at).max(self.last_seen_at),
            expires_at: self.expires_at,
            is_current: current == Some(id),
        }
    }
}

/// Authentication methods out of the column, in which blanks separate them.
pub(crate) fn methods(amr: &str) -> Vec<String> {
    amr.split(' ').filter(|method| !method.is_empty()).map(str::to_owned).collect()
}

/// The condition that a session is live at a time, as [`SessionLife::state`] decides: for every query that reads, counts
/// or ends live ones.
macro_rules! is_live {
    ($now:literal) => {
        concat!(
            "ended_at IS NULL AND expires_at > ",
            $now,
            " AND (idle_expires_at IS NULL OR idle_expires_at > ",
            $now,
            ")"
        )
    };
}

/// Begins a session. Returns how many others of the person live: the caller has locked the person, so that none begins
/// meanwhile.
pub(crate) async fn insert(tx: &mut Tx, new: &NewSession<'_>) -> Result<i64, Error> {
    tx.q(concat!(
        "INSERT INTO sessions (id, person_id, tenant_id, credential_epoch, amr, auth_time, address, user_agent, \
                               last_seen_at, expires_at, created_at, token_hash, idle_expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         RETURNING (SELECT count(*) FROM sessions others WHERE person_id = $2 AND id <> $1 AND ",
        is_live!("$9"),
        ")"
    ))
        .bind(new.id.as_uuid())
        .bind(new.person.as_uuid())
        .bind(new.tenant.map(|tenant| tenant.as_uuid()))
        .bind(new.epoch)
        .bind(new.amr.join(" "))
        .bind(new.auth_time)
        .bind(new.address.map(|address| address.to_string()))
        .bind(new.user_agent.map(stored_text))
        .bind(new.now)
        .bind(new.expires_at)
        .bind(new.created_at)
        .bind(new.cookie.map(|cookie| cookie.key.as_bytes().to_vec()))
        .bind(new.cookie.map(|cookie| cookie.idle_expires_at))
        .scalar()
        .await
}

/// `SELECT` of cookie sessions that their persons' state lets live, with a condition.
macro_rules! select_known {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.person_id, s.tenant_id, s.credential_epoch, s.amr, s.auth_time, s.address, s.user_agent, \
             s.created_at, s.last_seen_at, s.idle_expires_at, s.expires_at \
             FROM sessions s JOIN people p ON p.id = s.person_id \
             WHERE s.ended_at IS NULL AND p.status = 'active' AND p.credential_epoch = s.credential_epoch \
             AND s.idle_expires_at IS NOT NULL AND ",
            $condition
        )
    };
}

/// Finds the live cookie session of a secret.
pub(crate) async fn find_by_key(
    conn: &mut Conn,
    key: SessionKey,
    now: DateTime<Utc>,
) -> Result<Option<KnownSession>, Error> {
    let row =
        conn.q(select_known!("s.token_hash = $1")).bind(key.as_bytes().to_vec()).opt::<KnownRow>().await?;
    Ok(row.map(KnownSession::from).filter(|known| known.record.is_live(now)))
}

/// The live cookie sessions of `person`, oldest first. The limit on parallel sessions bounds how many.
pub(super) async fn list_known(
    conn: &mut Conn,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<Vec<SessionRecord>, Error> {
    let rows = conn
        .q(select_known!("s.person_id = $1 AND s.expires_at > $2 ORDER BY s.created_at, s.id"))
        .bind(person.as_uuid())
        .bind(now)
        .all::<KnownRow>()
        .await?;
    let records = rows.into_iter().map(|row| KnownSession::from(row).record);
    Ok(records.filter(|record| record.is_live(now)).collect())
}

/// A session of a person whose epoch it has, to be replaced by another one; `None` when it is over.
pub(crate) async fn find_live(
    conn: &mut Conn,
    id: SessionId,
    person: PersonId,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<Option<LiveSession>, Error> {
    let row = conn
        .q("SELECT tenant_id, amr, auth_time, created_at, idle_expires_at, expires_at, ended_at FROM sessions \
            WHERE id = $1 AND person_id = $2 AND credential_epoch = $3")
        .bind(id.as_uuid())
        .bind(person.as_uuid())
        .bind(epoch)
        .opt::<LiveSession>()
        .await?;
    Ok(row.filter(|row| {
        let (idle_expires_at, expires_at, ended_at) = (row.idle_expires_at, row.expires_at, row.ended_at);
        SessionLife { idle_expires_at, expires_at, ended_at }.state(now) == SessionState::Live
    }))
}

/// What a session hands on to the one that replaces it.
#[derive(sqlx::FromRow)]
pub(crate) struct LiveSession {
    pub(crate) tenant_id: Option<Uuid>,
    pub(crate) amr: String,
    pub(crate) auth_time: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    /// Only cookies' sessions have one.
    pub(crate) idle_expires_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// Writes that a cookie session was used. Neither time ever moves back. Returns whether it is live.
pub(crate) async fn touch(
    tx: &mut Tx,
    key: SessionKey,
    now: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q(concat!(
            "UPDATE sessions \
             SET last_seen_at = CASE WHEN last_seen_at < $1 THEN $1 ELSE last_seen_at END, \
                 idle_expires_at = CASE WHEN idle_expires_at < $2 THEN $2 ELSE idle_expires_at END \
             WHERE token_hash = $3 AND ",
            is_live!("$1")
        ))
        .bind(now)
        .bind(idle_expires_at)
        .bind(key.as_bytes().to_vec())
        .run()
        .await?;
    Ok(rows > 0)
}

/// PostgreSQL refuses NUL in text, and a header has no business with more than a line.
fn stored_text(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(512).collect()
}

/// The live sessions of `person`, oldest first. The limit on parallel sessions bounds how many.
pub(crate) async fn list_live(
    conn: &mut Conn,
    person: PersonId,
    current: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<Vec<Session>, Error> {
    let rows = conn
        .q("SELECT s.id, s.person_id, s.tenant_id, s.amr, s.auth_time, s.address, s.user_agent, s.created_at, \
                   s.last_seen_at, f.rotated_at, s.idle_expires_at, s.expires_at, s.ended_at \
            FROM sessions s LEFT JOIN refresh_families f ON f.session_id = s.id \
            WHERE s.person_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 \
            ORDER BY s.created_at, s.id")
        .bind(person.as_uuid())
        .bind(now)
        .all::<SessionRow>()
        .await?;
    let live = rows.into_iter().filter(|row| row.life().state(now) == SessionState::Live);
    Ok(live.map(|row| row.into_session(current)).collect())
}

/// The ids of what [`list_live`] lists.
pub(crate) async fn find_live_ids(
    conn: &mut Conn,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    let rows = conn
        .q(concat!(
            "SELECT id FROM sessions WHERE person_id = $1 AND ",
            is_live!("$2"),
            " ORDER BY created_at, id"
        ))
        .bind(person.as_uuid())
        .bind(now)
        .all::<(Uuid,)>()
        .await?;
    Ok(rows.into_iter().map(|(id,)| SessionId::from_uuid(id)).collect())
}

/// The ids of those of them that were begun for `tenant`.
pub(crate) async fn find_live_ids_in(
    conn: &mut Conn,
    person: PersonId,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, Error> {
    let rows = conn
        .q(concat!(
            "SELECT id FROM sessions WHERE person_id = $1 AND tenant_id = $2 AND ",
            is_live!("$3"),
            " ORDER BY created_at, id"
        ))
        .bind(person.as_uuid())
        .bind(tenant.as_uuid())
        .bind(now)
        .all::<(Uuid,)>()
        .await?;
    Ok(rows.into_iter().map(|(id,)| SessionId::from_uuid(id)).collect())
}

/// Whose session `id` is, if it has not ended.
pub(crate) async fn find_owner(conn: &mut Conn, id: SessionId) -> Result<Option<PersonId>, Error> {
    let owner = conn
        .q("SELECT person_id FROM sessions WHERE id = $1 AND ended_at IS NULL")
        .bind(id.as_uuid())
        .scalar_opt::<Uuid>()
        .await?;
    Ok(owner.map(PersonId::from_uuid))
}

/// For which tenant the session was begun.
pub(crate) async fn find_tenant(conn: &mut Conn, id: SessionId) -> Result<Option<TenantId>, Error> {
    let tenant = conn
        .q("SELECT tenant_id FROM sessions WHERE id = $1")
        .bind(id.as_uuid())
        .scalar_opt::<Option<Uuid>>()
        .await?;
    Ok(tenant.flatten().map(TenantId::from_uuid))
}

/// For which tenant the person began their latest session, but for those that they have [left](leave); `None` asks the same of
/// nobody.
pub(crate) async fn find_latest_tenant(
    conn: &mut Conn,
    person: Option<PersonId>,
) -> Result<Option<TenantId>, Error> {
    let tenant = conn
        .q("SELECT tenant_id FROM sessions WHERE person_id = $1 AND left_at IS NULL \
            ORDER BY created_at DESC, id DESC LIMIT 1")
        .bind(person.map_or(Uuid::nil(), |person| person.as_uuid()))
        .scalar_opt::<Option<Uuid>>()
        .await?;
    Ok(tenant.flatten().map(TenantId::from_uuid))
}

/// Has no session that the person ever began for `tenant`, however it ended, say any more where they are at work.
pub(crate) async fn leave(
    tx: &mut Tx,
    person: PersonId,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("UPDATE sessions SET left_at = $1 WHERE person_id = $2 AND tenant_id = $3 AND left_at IS NULL")
        .bind(now)
        .bind(person.as_uuid())
        .bind(tenant.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Whether the session is alive and its person active: what decides when revocations in memory are stale.
pub(crate) async fn is_alive(
    conn: &mut Conn,
    id: SessionId,
    person: PersonId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let row = conn
        .q("SELECT s.idle_expires_at, s.expires_at, s.ended_at \
            FROM sessions s JOIN people p ON p.id = s.person_id \
            WHERE s.id = $1 AND s.person_id = $2 AND s.credential_epoch = p.credential_epoch AND p.status = 'active'")
        .bind(id.as_uuid())
        .bind(person.as_uuid())
        .opt::<(Option<DateTime<Utc>>, DateTime<Utc>, Option<DateTime<Utc>>)>()
        .await?;
    Ok(row.is_some_and(|(idle_expires_at, expires_at, ended_at)| {
        SessionLife { idle_expires_at, expires_at, ended_at }.state(now) == SessionState::Live
    }))
}

/// Ends a session with its refresh tokens, and revokes its access tokens, which live at most `access_ttl` more.
/// Returns whether it was live: one that ran out stays as it is, and needs no revocation.
pub(crate) async fn end(
    tx: &mut Tx,
    live: &Revocations,
    id: SessionId,
    reason: EndReason,
    now: DateTime<Utc>,
    access_ttl: Duration,
) -> Result<bool, Error> {
    let ended = end_row(tx, id, reason, now).await?;
    if ended {
        revocation::insert(tx, live, Revocation::Session(id), now, now + access_ttl).await?;
    }
    Ok(ended)
}

/// Ends a session with its refresh tokens. Returns whether it was live.
pub(super) async fn end_row(
    tx: &mut Tx,
    id: SessionId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let rows = tx
        .q(concat!("UPDATE sessions SET ended_at = $1, end_reason = $2 WHERE id = $3 AND ", is_live!("$1")))
        .bind(now)
        .bind(reason.as_str())
        .bind(id.as_uuid())
        .run()
        .await?;
    if rows == 0 {
        return Ok(false);
    }
    tx.q("DELETE FROM refresh_families WHERE session_id = $1").bind(id.as_uuid()).run().await?;
    Ok(true)
}

/// Ends the sessions of `person` but `except`. Returns those it ended.
pub(crate) async fn end_all(
    tx: &mut Tx,
    live: &Revocations,
    person: PersonId,
    except: Option<SessionId>,
    reason: EndReason,
    now: DateTime<Utc>,
    access_ttl: Duration,
) -> Result<Vec<SessionId>, Error> {
    let mut ended = Vec::new();
    for id in find_live_ids(tx, person, now).await? {
        if Some(id) != except && end(tx, live, id, reason, now, access_ttl).await? {
            ended.push(id);
        }
    }
    Ok(ended)
}

/// Deletes up to `rows_max` sessions past their absolute limit, which was at `from` or later; their families go with them.
/// Returns how many, and the latest of their limits: the next batch begins there.
///
/// In the order of the index: without it PostgreSQL reads the table from its beginning, past everything that earlier batches
/// have deleted, and so would each batch read longer than the one before.
pub(crate) async fn delete_expired(
    tx: &mut Tx,
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    rows_max: i64,
) -> Result<(u64, DateTime<Utc>), Error> {
    let limits = tx
        .q("DELETE FROM sessions WHERE id IN \
              (SELECT id FROM sessions WHERE expires_at >= $1 AND expires_at <= $2 ORDER BY expires_at LIMIT 0 + $3) \
            RETURNING expires_at")
        .bind(from)
        .bind(now)
        .bind(rows_max)
        .all::<(DateTime<Utc>,)>()
        .await?;
    let latest = limits.iter().map(|(at,)| *at).max().unwrap_or(from);
    Ok((limits.len() as u64, latest))
}
