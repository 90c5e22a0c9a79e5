use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{AuditEvent, Clock, KeyOwner, PersonId, RequestContext, TenantId};
use stylobate_db::{Conn, Error, Sql, TransactError, Tx};
use uuid::Uuid;

use super::{Email, Identifier, Username, lookup::IdentifierKind};
use crate::{
    ContextWords, CounterStoreError, Revocation, Revocations,
    api_key::{OwnedKeys, RevokeReason},
    credential::{self, ChosenBy},
    flow_limit,
    flow_limit::FlowKind,
    one_time, revocation,
    service::Counters,
    session,
    session::EndReason,
};

/// Whether a person may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonStatus {
    /// They may.
    Active,
    /// They may not, and nothing issued to them works.
    Disabled,
}

impl PersonStatus {
    /// The status as rows and bodies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A person. Serialised, it is what callers may see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Names the person for good.
    pub id: PersonId,
    /// What they sign in with, besides the address; as it was typed.
    pub username: Option<String>,
    /// Their address; as it was typed.
    pub email: String,
    /// Whether mail to the address has been answered.
    pub email_verified: bool,
    /// Whether they may sign in.
    pub status: PersonStatus,
    /// Whether they have to set a new password before anything else.
    pub must_change_password: bool,
    /// Counts up whenever what was issued before has to stop working.
    #[serde(skip)]
    pub credential_epoch: i64,
    /// Counts up with every change.
    pub version: i64,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
}

impl Person {
    /// Whether the person may sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == PersonStatus::Active
    }

    /// The words that a password of theirs must not contain.
    #[must_use]
    pub fn context_words(&self) -> ContextWords {
        context_words(self.username.as_deref(), &self.email)
    }
}

fn context_words(username: Option<&str>, email: &str) -> ContextWords {
    let words = ContextWords::new().email(email);
    match username {
        Some(username) => words.username(username),
        None => words,
    }
}

/// A person to be added.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// What they sign in with, besides the address.
    pub username: Option<Username>,
    /// Their address.
    pub email: Email,
    /// Whether the address is known to be theirs.
    pub email_verified: bool,
    /// Whether they have to set a new password before anything else: for passwords that somebody else chose.
    pub must_change_password: bool,
}

impl NewPerson {
    /// The words that a password of theirs must not contain.
    #[must_use]
    pub fn context_words(&self) -> ContextWords {
        context_words(self.username.as_ref().map(Username::as_str), self.email.as_str())
    }
}

/// What to change of a person; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct PersonChange {
    /// The username; `Some(None)` takes it away.
    pub username: Option<Option<Username>>,
    /// The address. A changed one counts as not verified, unless this change says otherwise.
    pub email: Option<Email>,
    /// Whether the address is known to be theirs.
    pub email_verified: Option<bool>,
    /// Whether they have to set a new password before anything else. Whoever gets that duty is signed out everywhere.
    pub must_change_password: Option<bool>,
}

/// A person could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// Somebody has the username.
    #[error("the username is taken")]
    UsernameTaken,
    /// Somebody has the address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// There is no such person.
    #[error("there is no such person")]
    NotFound,
    /// The person has been changed since the version that the update was made from.
    #[error("the person has been changed by somebody else")]
    Stale,
    /// The counters of failed logins, which go with a person, could not be removed.
    #[error("the login counters of the person could not be removed")]
    Counters(#[source] CounterStoreError),
    /// The database could not do it.
    #[error("people could not be read or changed")]
    Db(#[source] Error),
}

impl PeopleError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UsernameTaken => "username_taken",
            Self::EmailTaken => "email_taken",
            Self::NotFound => "person_not_found",
            Self::Stale => "person_stale",
            Self::Counters(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }
}

impl From<Error> for PeopleError {
    fn from(error: Error) -> Self {
        if error.is_unique_violation("people_username_key_key") {
            Self::UsernameTaken
        } else if error.is_unique_violation("people_email_key_key") {
            Self::EmailTaken
        } else {
            Self::Db(error)
        }
    }
}

impl From<CounterStoreError> for PeopleError {
    fn from(error: CounterStoreError) -> Self {
        match error {
            CounterStoreError::Db(error) => Self::Db(error),
            other => Self::Counters(other),
        }
    }
}

impl TransactError for PeopleError {
    fn as_db(&self) -> Option<&Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    username: Option<String>,
    email: String,
    email_verified: bool,
    status: String,
    must_change_password: bool,
    credential_epoch: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<PersonRow> for Person {
    type Error = Error;

    fn try_from(row: PersonRow) -> Result<Self, Error> {
        let status = match row.status.as_str() {
            "active" => PersonStatus::Active,
            "disabled" => PersonStatus::Disabled,
            _ => {
                let source = format!("unknown status of person {}", row.id).into();
                return Err(Error::BadRow { column: "people.status".to_owned(), source });
            }
        };
        Ok(Self {
            id: PersonId::from_uuid(row.id),
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
            status,
            must_change_password: row.must_change_password,
            credential_epoch: row.credential_epoch,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// `SELECT` of a whole person with a condition.
macro_rules! select_person {
    ($condition:literal) => {
        concat!(
            "SELECT id, username, email, email_verified, status, must_change_password, credential_epoch, version, \
             created_at, updated_at FROM people WHERE ",
            $condition
        )
    };
}

/// The people of the platform. It holds no connection: every method takes the one to use.
///
/// Get it from [`Auth::people`](crate::Auth::people), so that ended sessions stop working in this process at once.
#[derive(Debug, Clone)]
pub struct People {
    revocations: Revocations,
    clock: Arc<dyn Clock>,
    access_ttl: Duration,
    counters: Counters,
    keys: OwnedKeys,
}

impl People {
    pub(crate) fn new(
        revocations: Revocations,
        clock: Arc<dyn Clock>,
        access_ttl: Duration,
        counters: Counters,
        keys: OwnedKeys,
    ) -> Self {
        Self { revocations, clock, access_ttl, counters, keys }
    }

    /// Adds a person, active and without a password: nobody can sign in as them until one is set.
    ///
    /// # Errors
    /// [`PeopleError::UsernameTaken`], [`PeopleError::EmailTaken`]. On PostgreSQL the transaction is of no further use
    /// then; wrap the call in [`Tx::nested`] to go on.
    pub async fn insert(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        new: NewPerson,
    ) -> Result<Person, PeopleError> {
        let now = self.clock.now();
        let person = Person {
            id: PersonId::new(now),
            username: new.username.as_ref().map(|name| name.as_str().to_owned()),
            email: new.email.as_str().to_owned(),
            email_verified: new.email_verified,
            status: PersonStatus::Active,
            must_change_password: new.must_change_password,
            credential_epoch: 1,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        tx.q("INSERT INTO people (id, username, username_key, email, email_key, email_verified, status, \
                                  must_change_password, credential_epoch, version, created_at, updated_at) \
              VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, 1, 1, $8, $8)")
            .bind(person.id.as_uuid())
            .bind(person.username.clone())
            .bind(new.username.as_ref().map(|name| name.key().to_owned()))
            .bind(person.email.clone())
            .bind(new.email.key().to_owned())
            .bind(person.email_verified)
            .bind(person.must_change_password)
            .bind(now)
            .run()
            .await?;
        tx.audit(
            AuditEvent::new(ctx, "person.create", "person").on(person.id).change(None::<()>, Some(&person)),
        );
        Ok(person)
    }

    /// Reads a person.
    ///
    /// # Errors
    /// What the database reports.
    pub async fn find(conn: &mut Conn, id: PersonId) -> Result<Option<Person>, PeopleError> {
        Ok(find(conn, id).await?)
    }

    /// Reads the person with a username or an address.
    ///
    /// # Errors
    /// What the database reports.
    pub async fn find_by_identifier(
        conn: &mut Conn,
        identifier: &Identifier,
    ) -> Result<Option<Person>, PeopleError> {
        Ok(find_by_identifier(conn, identifier).await?)
    }

    /// Reads a person and keeps everybody else from changing, disabling or deleting them until the transaction ends: for who is about
    /// to write something elsewhere that must not outlive them, such as a membership.
    ///
    /// # Errors
    /// What the database reports.
    pub async fn lock(tx: &mut Tx, id: PersonId) -> Result<Option<Person>, PeopleError> {
        Ok(lock(tx, id).await?)
    }

    /// Whether there is nobody at all, as on an installation that nobody has set up.
    ///
    /// # Errors
    /// What the database reports.
    pub async fn is_empty(conn: &mut Conn) -> Result<bool, PeopleError> {
        Ok(is_empty(conn).await?)
    }

    /// Changes a person whose present version is `version`. A duty to change the password that was not there before ends
    /// all sessions and voids everything issued: nothing else can be done before. An address that somebody else chooses makes the
    /// password count as theirs: another one would be mailed there.
    ///
    /// # Errors
    /// [`PeopleError::Stale`] when it is another, [`PeopleError::NotFound`], [`PeopleError::UsernameTaken`],
    /// [`PeopleError::EmailTaken`]; after the last two a PostgreSQL transaction is of no further use.
    pub async fn update(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        version: i64,
        change: PersonChange,
    ) -> Result<Person, PeopleError> {
        self.update_as(tx, ctx, (id, version), change, ChosenBy::of(ctx, id)).await
    }

    /// As [`update`](Self::update), where a new address is the choice of `by`.
    pub(crate) async fn update_as(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (id, version): (PersonId, i64),
        change: PersonChange,
        by: ChosenBy,
    ) -> Result<Person, PeopleError> {
        let before = lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        if before.version != version {
            return Err(PeopleError::Stale);
        }
        let mut after = before.clone();
        if let Some(username) = &change.username {
            after.username = username.as_ref().map(|name| name.as_str().to_owned());
        }
        let email_key_is_new = match &change.email {
            Some(email) => {
                after.email = email.as_str().to_owned();
                Email::parse(&before.email).map_or(true, |old| old.key() != email.key())
            }
            None => false,
        };
        after.email_verified = change.email_verified.unwrap_or(before.email_verified && !email_key_is_new);
        after.must_change_password = change.must_change_password.unwrap_or(before.must_change_password);
        if after == before {
            return Ok(before);
        }
        after.version += 1;
        after.updated_at = self.clock.now();
        let is_made_to_change = after.must_change_password && !before.must_change_password;
        after.credential_epoch += i64::from(is_made_to_change);
        // Folded again from what is stored: the same rule made the key there.
        let folded = |name: &String| Identifier::new(name).key().to_owned();
        let rows = tx
            .q("UPDATE people SET username = $1, username_key = $2, email = $3, email_key = $4, email_verified = $5, \
                must_change_password = $6, version = $7, updated_at = $8, credential_epoch = $9 \
                WHERE id = $10 AND version = $11")
            .bind(after.username.clone())
            .bind(after.username.as_ref().map(folded))
            .bind(after.email.clone())
            .bind(folded(&after.email))
            .bind(after.email_verified)
            .bind(after.must_change_password)
            .bind(after.version)
            .bind(after.updated_at)
            .bind(after.credential_epoch)
            .bind(id.as_uuid())
            .bind(version)
            .run()
            .await?;
        if rows == 0 {
            return Err(PeopleError::Stale);
        }
        if email_key_is_new {
            // They were mailed to another mailbox.
            void_links(tx, id).await?;
            if by == ChosenBy::Other {
                credential::mark_chosen_by_other(tx, id).await?;
            }
        }
        if is_made_to_change {
            self.void_all(tx, id, after.credential_epoch, EndReason::PasswordChangeRequired).await?;
        }
        tx.audit(AuditEvent::new(ctx, "person.update", "person").on(id).change(Some(&before), Some(&after)));
        Ok(after)
    }

    /// Raises the version of a person of whom only something outside these tables changes, so that whoever read the
    /// same version has to look again. Records nothing: the caller's change is the record.
    ///
    /// # Errors
    /// [`PeopleError::Stale`] when the version is no longer `version`; [`PeopleError::Db`].
    pub async fn touch(&self, tx: &mut Tx, id: PersonId, version: i64) -> Result<Person, PeopleError> {
        let rows = tx
            .q("UPDATE people SET version = version + 1, updated_at = $1 WHERE id = $2 AND version = $3")
            .bind(self.clock.now())
            .bind(id.as_uuid())
            .bind(version)
            .run()
            .await?;
        if rows == 0 {
            return Err(PeopleError::Stale);
        }
        find(tx, id).await?.ok_or(PeopleError::NotFound)
    }

    /// Lets a person sign in, or no longer: disabling ends all sessions and voids everything issued, API keys included, at once
    /// in this process and within a second everywhere. Setting the present status changes nothing.
    ///
    /// # Errors
    /// [`PeopleError::NotFound`], or what the database reports.
    pub async fn set_status(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        status: PersonStatus,
    ) -> Result<Person, PeopleError> {
        let before = lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        if before.status == status {
            return Ok(before);
        }
        let now = self.clock.now();
        let mut after = Person { status, version: before.version + 1, updated_at: now, ..before.clone() };
        if status == PersonStatus::Disabled {
            after.credential_epoch += 1;
        }
        tx.q("UPDATE people SET status = $1, credential_epoch = $2, version = $3, updated_at = $4 WHERE id = $5")
            .bind(status.as_str())
            .bind(after.credential_epoch)
            .bind(after.version)
            .bind(now)
            .bind(id.as_uuid())
            .run()
            .await?;
        if status == PersonStatus::Disabled {
            void_links(tx, id).await?;
            self.void_all(tx, id, after.credential_epoch, EndReason::PersonDisabled).await?;
            let all = (KeyOwner::Person { id }, None);
            self.keys.revoke(tx, ctx, all, RevokeReason::OwnerDisabled).await?;
        }
        tx.audit(AuditEvent::new(ctx, "person.update", "person").on(id).change(Some(&before), Some(&after)));
        Ok(after)
    }

    /// Removes a person with credentials, sessions and API keys; each key is on record as revoked. What other crates keep about them, memberships and role
    /// assignments, the caller removes in the same transaction.
    ///
    /// # Errors
    /// [`PeopleError::NotFound`], or what the database reports.
    pub async fn delete(&self, tx: &mut Tx, ctx: &RequestContext, id: PersonId) -> Result<(), PeopleError> {
        let before = lock(tx, id).await?.ok_or(PeopleError::NotFound)?;
        self.void_all(tx, id, before.credential_epoch + 1, EndReason::PersonDeleted).await?;
        self.keys.revoke(tx, ctx, (KeyOwner::Person { id }, None), RevokeReason::OwnerDeleted).await?;
        self.counters.clear(tx, id).await?;
        one_time::delete_of(tx, id.as_uuid()).await?;
        flow_limit::forget(tx, id).await?;
        // Credentials, sessions, refresh families and API keys go with the row.
        tx.q("DELETE FROM people WHERE id = $1").bind(id.as_uuid()).run().await?;
        tx.audit(AuditEvent::new(ctx, "person.delete", "person").on(id).change(Some(&before), None::<()>));
        Ok(())
    }

    /// Ends the sessions that a person has for one tenant and revokes their API keys for it, in the transaction that suspends the
    /// membership: before it, so that a sign-in at the same moment either is among them or finds the membership suspended. Returns
    /// how many sessions it ended. For the end of a membership see [`leave_tenant`](Self::leave_tenant).
    ///
    /// # Errors
    /// The database's own.
    pub async fn end_sessions_in(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        tenant: TenantId,
    ) -> Result<usize, PeopleError> {
        lock(tx, id).await?;
        let (now, reason) = (self.clock.now(), EndReason::MembershipEnded);
        let mut ended = 0;
        for session in session::find_live_ids_in(tx, id, tenant, now).await? {
            let ends = session::end(tx, &self.revocations, session, reason, now, self.access_ttl).await?;
            ended += usize::from(ends);
        }
        let here = (KeyOwner::Person { id }, Some(tenant));
        self.keys.revoke(tx, ctx, here, RevokeReason::MembershipEnded).await?;
        Ok(ended)
    }

    /// Ends what a person has for one tenant as [`end_sessions_in`](Self::end_sessions_in) does, in the transaction that ends the
    /// membership. What is of no tenant by itself, failed sign-ins, mailed links and changes of the address, is filed where the person
    /// was last at work, and from now on not there.
    ///
    /// # Errors
    /// The database's own.
    pub async fn leave_tenant(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        id: PersonId,
        tenant: TenantId,
    ) -> Result<usize, PeopleError> {
        let ended = self.end_sessions_in(tx, ctx, id, tenant).await?;
        session::leave(tx, id, tenant, self.clock.now()).await?;
        Ok(ended)
    }

    /// Ends all sessions, and everything that was issued before `epoch`.
    pub(crate) async fn void_all(
        &self,
        tx: &mut Tx,
        id: PersonId,
        epoch: i64,
        reason: EndReason,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        session::end_all(tx, &self.revocations, id, None, reason, now, self.access_ttl).await?;
        let subject = Revocation::Subject(id, epoch);
        revocation::insert(tx, &self.revocations, subject, now, now + self.access_ttl).await
    }
}

pub(crate) async fn find(conn: &mut Conn, id: PersonId) -> Result<Option<Person>, Error> {
    let row = conn.q(select_person!("id = $1")).bind(id.as_uuid()).opt::<PersonRow>().await?;
    row.map(Person::try_from).transpose()
}

pub(crate) async fn find_by_identifier(
    conn: &mut Conn,
    identifier: &Identifier,
) -> Result<Option<Person>, Error> {
    Ok(find_for_login(conn, identifier).await?.map(|(person, _)| person))
}

#[derive(sqlx::FromRow)]
struct LoginRow {
    #[sqlx(flatten)]
    person: PersonRow,
    hash: Option<String>,
}

/// `SELECT` of a whole person and the password hash with a condition.
macro_rules! select_login {
    ($condition:literal) => {
        concat!(
            "SELECT p.id, p.username, p.email, p.email_verified, p.status, p.must_change_password, \
             p.credential_epoch, p.version, p.created_at, p.updated_at, c.hash \
             FROM people p LEFT JOIN credentials c ON c.person_id = p.id AND c.kind = 'password' AND c.is_active WHERE ",
            $condition
        )
    };
}

/// Reads the person with a username or an address, and the stored text of the password hash.
pub(crate) async fn find_for_login(
    conn: &mut Conn,
    identifier: &Identifier,
) -> Result<Option<(Person, Option<String>)>, Error> {
    let sql = match identifier.kind() {
        IdentifierKind::Username => select_login!("p.username_key = $1"),
        IdentifierKind::Email => select_login!("p.email_key = $1"),
        // The query is made all the same, so that nonsense takes as long as a name.
        IdentifierKind::Nobody => select_login!("p.email_key = $1 AND 1 = 0"),
    };
    // PostgreSQL refuses NUL in text; no name contains one.
    let key = identifier.key().replace('\0', "\u{FFFD}");
    let row = conn.q(sql).bind(key).opt::<LoginRow>().await?;
    row.map(|row| Ok((Person::try_from(row.person)?, row.hash))).transpose()
}

/// Reads a person and keeps others from changing it until the transaction ends: logins, changes of status and changes
/// of password happen one after another. On SQLite the transaction is the only writer anyway.
pub(crate) async fn lock(tx: &mut Tx, id: PersonId) -> Result<Option<Person>, Error> {
    let sql = Sql::Per { pg: select_person!("id = $1 FOR NO KEY UPDATE"), lite: select_person!("id = $1") };
    let row = tx.q(sql).bind(id.as_uuid()).opt::<PersonRow>().await?;
    row.map(Person::try_from).transpose()
}

/// Takes away the links that were mailed to a person, and with them what was counted of those that set a password: whoever has just
/// used one may need the next.
pub(crate) async fn void_links(tx: &mut Tx, id: PersonId) -> Result<(), Error> {
    one_time::delete_of(tx, id.as_uuid()).await?;
    flow_limit::clear(tx, FlowKind::PasswordResetOfAccount, id.as_uuid().as_bytes()).await
}

/// Counts a person's epoch up, and sets whether they have to change the password. Returns the new epoch.
pub(crate) async fn raise_epoch(
    tx: &mut Tx,
    person: &Person,
    must_change_password: bool,
    now: DateTime<Utc>,
) -> Result<i64, Error> {
    let epoch = person.credential_epoch + 1;
    tx.q("UPDATE people SET credential_epoch = $1, must_change_password = $2, version = version + 1, updated_at = $3 \
          WHERE id = $4")
        .bind(epoch)
        .bind(must_change_password)
        .bind(now)
        .bind(person.id.as_uuid())
        .run()
        .await?;
    Ok(epoch)
}

/// Notes that mail to the address of a person who is locked has been answered.
pub(crate) async fn mark_email_verified(tx: &mut Tx, id: PersonId, now: DateTime<Utc>) -> Result<(), Error> {
    tx.q("UPDATE people SET email_verified = $1, version = version + 1, updated_at = $2 WHERE id = $3")
        .bind(true)
        .bind(now)
        .bind(id.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Whether there is anybody at all.
pub(crate) async fn is_empty(conn: &mut Conn) -> Result<bool, Error> {
    Ok(conn.q("SELECT id FROM people LIMIT 1").scalar_opt::<Uuid>().await?.is_none())
}
