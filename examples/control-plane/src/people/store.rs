//! Reads join what three owners keep about a person; writes touch only the profile and the notes, which are ours.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use stylobate::{
    core::{Direction, Page, PageLimit, PersonId, TenantId},
    db::{Conn, Error, Keyset, KeysetKey, SqlBuilder, Tx},
    tenancy::MembershipStatus,
};
use uuid::Uuid;

use super::model::{Gender, Noted, PersonView, Profile, SeenBy, Status};

/// What a list of people is narrowed to.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// The folded address.
    pub(super) email_key: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) is_active: Option<bool>,
    pub(super) membership: Option<MembershipStatus>,
    /// Those whose account and membership are active, or the others.
    pub(super) takes_part: Option<bool>,
    /// Folded text to find in names and addresses.
    pub(super) search: Option<String>,
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    username: Option<String>,
    email: String,
    email_verified: bool,
    must_change_password: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    joined_at: DateTime<Utc>,
    membership: String,
    first_name: String,
    middle_name: Option<String>,
    last_name: String,
    display_name: Option<String>,
    avatar_url: Option<String>,
    bio: Option<String>,
    phone: Option<String>,
    emergency_number: Option<String>,
    date_of_birth: Option<String>,
    gender: String,
    nationality: Option<String>,
    preferred_contact_method: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    address_line1: Option<String>,
    address_line2: Option<String>,
    city: Option<String>,
    region: Option<String>,
    postal_code: Option<String>,
    country_code: Option<String>,
    country: Option<String>,
    status: String,
    marketing_opt_in: bool,
    notes: Option<String>,
    metadata: Option<String>,
}

/// The columns of [`PersonRow`], with what the list is ordered by.
macro_rules! select_person {
    ($joined_at:literal, $membership:literal, $from:literal) => {
        concat!(
            "SELECT p.id, p.username, p.email, p.email_verified, p.must_change_password, p.version, p.created_at, \
             p.updated_at, ",
            $joined_at,
            " AS joined_at, ",
            $membership,
            " AS membership, f.first_name, f.middle_name, f.last_name, f.display_name, f.avatar_url, f.bio, f.phone, \
             f.emergency_number, f.date_of_birth, f.gender, f.nationality, f.preferred_contact_method, f.locale, \
             f.timezone, f.address_line1, f.address_line2, f.city, f.region, f.postal_code, f.country_code, f.country, \
             f.status, f.marketing_opt_in, n.notes, n.metadata ",
            $from
        )
    };
}

/// Members of a tenant; the membership is what row-level security guards.
const SELECT_MEMBERS: &str = select_person!(
    "m.created_at",
    "m.status",
    "FROM memberships m JOIN people p ON p.id = m.person_id JOIN person_profiles f ON f.person_id = p.id \
     LEFT JOIN member_notes n ON n.tenant_id = m.tenant_id AND n.person_id = m.person_id WHERE m.tenant_id = "
);

/// One's own row, whatever the tenant, with what that one notes.
const SELECT_SELF: &str = select_person!(
    "p.created_at",
    "'active'",
    "FROM people p JOIN person_profiles f ON f.person_id = p.id \
     LEFT JOIN member_notes n ON n.tenant_id = $2 AND n.person_id = p.id WHERE p.id = $1"
);

impl TryFrom<PersonRow> for PersonView {
    type Error = Error;

    /// A value that no version of this program wrote is an error: read as a default, an archived person would be active,
    /// and the next change would store that.
    fn try_from(row: PersonRow) -> Result<Self, Error> {
        let status = Status::parse(&row.status).ok_or_else(|| bad("status", "is no status"))?;
        let gender = Gender::parse(&row.gender).ok_or_else(|| bad("gender", "is no gender"))?;
        let date_of_birth = row.date_of_birth.map(|date| date.parse::<NaiveDate>()).transpose();
        let metadata = row.metadata.map(|json| serde_json::from_str(&json)).transpose();
        let metadata = metadata.map_err(|error| bad_in("member_notes.metadata", error))?;
        Ok(Self {
            id: row.id,
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
            must_change_password: row.must_change_password,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            status,
            is_active: status == Status::Active,
            // What no version of this program wrote lets nobody act.
            seen_by: SeenBy {
                joined_at: row.joined_at,
                is_suspended: row.membership != MembershipStatus::Active.as_str(),
            },
            noted: Noted { notes: row.notes, metadata },
            profile: Profile {
                first_name: row.first_name,
                middle_name: row.middle_name,
                last_name: row.last_name,
                display_name: row.display_name,
                avatar_url: row.avatar_url,
                bio: row.bio,
                phone: row.phone,
                emergency_number: row.emergency_number,
                date_of_birth: date_of_birth.map_err(|error| bad("date_of_birth", error))?,
                gender,
                nationality: row.nationality,
                preferred_contact_method: row.preferred_contact_method,
                locale: row.locale,
                timezone: row.timezone,
                address_line1: row.address_line1,
                address_line2: row.address_line2,
                city: row.city,
                region: row.region,
                postal_code: row.postal_code,
                country_code: row.country_code,
                country: row.country,
                marketing_opt_in: row.marketing_opt_in,
            },
        })
    }
}

fn bad(column: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    bad_in(&format!("person_profiles.{column}"), source)
}

fn bad_in(column: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::BadRow { column: column.to_owned(), source: source.into() }
}

pub(super) async fn find_member(
    conn: &mut Conn,
    tenant: TenantId,
    person: PersonId,
) -> Result<Option<PersonView>, Error> {
    let mut sql = conn.builder(SELECT_MEMBERS);
    sql.value(tenant.as_uuid()).push(" AND m.person_id = ").value(person.as_uuid());
    conn.q_build(sql).opt::<PersonRow>().await?.map(PersonView::try_from).transpose()
}

/// Up to `most` people of the organisation, in no order that matters.
pub(super) async fn some_members(
    conn: &mut Conn,
    tenant: TenantId,
    most: u32,
) -> Result<Vec<PersonId>, Error> {
    let rows: Vec<(Uuid,)> = conn
        .q("SELECT person_id FROM memberships WHERE tenant_id = $1 ORDER BY person_id LIMIT 0 + $2")
        .bind(tenant.as_uuid())
        .bind(i64::from(most))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| PersonId::from_uuid(id)).collect())
}

/// The person, with what `tenant` notes; without one nobody's notes are read, and so on a plain connection, which sees none.
pub(super) async fn find_self(
    conn: &mut Conn,
    person: PersonId,
    tenant: Option<TenantId>,
) -> Result<Option<PersonView>, Error> {
    // Nil is no organisation's id.
    let tenant = tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid());
    let row = conn.q(SELECT_SELF).bind(person.as_uuid()).bind(tenant).opt::<PersonRow>().await?;
    row.map(PersonView::try_from).transpose()
}

/// The usernames of those of `people` who have one: of a page at a time.
pub(crate) async fn usernames(conn: &mut Conn, people: &[PersonId]) -> Result<HashMap<Uuid, String>, Error> {
    let mut sql = conn.builder("SELECT id, username FROM people WHERE username IS NOT NULL AND id IN ");
    sql.list(people.iter().map(|person| person.as_uuid()));
    Ok(conn.q_build(sql).all::<(Uuid, String)>().await?.into_iter().collect())
}

pub(super) async fn list_members(
    conn: &mut Conn,
    tenant: TenantId,
    filter: &Filter,
    keyset: &Keyset,
) -> Result<Page<PersonView>, Error> {
    let mut sql = conn.builder(SELECT_MEMBERS);
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter);
    keyset.push(&mut sql);
    let rows: Vec<PersonRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.joined_at), row.id));
    let items = page.items.into_iter().map(PersonView::try_from).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// How many rows a count looks at before it gives up: nobody reads a larger number.
const COUNT_MAX: i64 = 10_000;

pub(super) async fn count_members(conn: &mut Conn, tenant: TenantId, filter: &Filter) -> Result<u64, Error> {
    let mut sql = conn.builder(
        "SELECT count(*) FROM (SELECT m.person_id FROM memberships m JOIN people p ON p.id = m.person_id \
         JOIN person_profiles f ON f.person_id = p.id WHERE m.tenant_id = ",
    );
    sql.value(tenant.as_uuid());
    push_filter(&mut sql, filter);
    sql.limit(COUNT_MAX).push(") counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn push_filter(sql: &mut SqlBuilder, filter: &Filter) {
    if let Some(email_key) = &filter.email_key {
        sql.push(" AND p.email_key = ").value(email_key.clone());
    }
    if let Some(status) = filter.status {
        sql.push(" AND f.status = ").value(status.as_str());
    }
    match filter.is_active {
        Some(true) => drop(sql.push(" AND f.status = 'active'")),
        Some(false) => drop(sql.push(" AND f.status <> 'active'")),
        None => {}
    }
    if let Some(membership) = filter.membership {
        sql.push(" AND m.status = ").value(membership.as_str());
    }
    match filter.takes_part {
        Some(true) => drop(sql.push(" AND m.status = 'active' AND f.status = 'active'")),
        Some(false) => drop(sql.push(" AND (m.status <> 'active' OR f.status <> 'active')")),
        None => {}
    }
    if let Some(search) = &filter.search {
        let escaped = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        sql.push(" AND f.search_key LIKE ").value(format!("%{escaped}%")).push(" ESCAPE '\\'");
    }
}

pub(super) fn keyset(
    direction: Direction,
    limit: PageLimit,
    cursor: Option<&str>,
) -> Result<Keyset, stylobate::core::CursorInvalid> {
    Keyset::new("created_at", "m.created_at", "m.person_id", true, direction, limit, cursor)
}

/// What `search_key` holds for a person.
pub(super) fn search_key(profile: &Profile, username: Option<&str>, email: &str) -> String {
    let display = profile.display_name.as_deref().unwrap_or_default();
    let username = username.unwrap_or_default();
    format!("{} {} {display} {username} {email}", profile.first_name, profile.last_name).to_lowercase()
}

/// Writes what a search for `person` looks at.
pub(super) async fn put_search_key(tx: &mut Tx, person: PersonId, search_key: String) -> Result<(), Error> {
    tx.q("UPDATE person_profiles SET search_key = $1 WHERE person_id = $2")
        .bind(search_key)
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}

/// Writes the profile of `person`, new or not.
pub(super) async fn put_profile(
    tx: &mut Tx,
    person: PersonId,
    profile: &Profile,
    status: Status,
    search_key: String,
) -> Result<(), Error> {
    tx.q("INSERT INTO person_profiles (person_id, first_name, middle_name, last_name, display_name, avatar_url, bio, \
          phone, emergency_number, date_of_birth, gender, nationality, preferred_contact_method, locale, timezone, \
          address_line1, address_line2, city, region, postal_code, country_code, country, status, marketing_opt_in, \
          search_key) \
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
          $23, $24, $25) \
          ON CONFLICT (person_id) DO UPDATE SET first_name = excluded.first_name, \
          middle_name = excluded.middle_name, last_name = excluded.last_name, display_name = excluded.display_name, \
          avatar_url = excluded.avatar_url, bio = excluded.bio, phone = excluded.phone, \
          emergency_number = excluded.emergency_number, date_of_birth = excluded.date_of_birth, \
          gender = excluded.gender, nationality = excluded.nationality, \
          preferred_contact_method = excluded.preferred_contact_method, locale = excluded.locale, \
          timezone = excluded.timezone, address_line1 = excluded.address_line1, \
          address_line2 = excluded.address_line2, city = excluded.city, region = excluded.region, \
          postal_code = excluded.postal_code, country_code = excluded.country_code, country = excluded.country, \
          status = excluded.status, marketing_opt_in = excluded.marketing_opt_in, \
          search_key = excluded.search_key")
        .bind(person.as_uuid())
        .bind(profile.first_name.clone())
        .bind(profile.middle_name.clone())
        .bind(profile.last_name.clone())
        .bind(profile.display_name.clone())
        .bind(profile.avatar_url.clone())
        .bind(profile.bio.clone())
        .bind(profile.phone.clone())
        .bind(profile.emergency_number.clone())
        .bind(profile.date_of_birth.map(|date| date.to_string()))
        .bind(profile.gender.as_str())
        .bind(profile.nationality.clone())
        .bind(profile.preferred_contact_method.clone())
        .bind(profile.locale.clone())
        .bind(profile.timezone.clone())
        .bind(profile.address_line1.clone())
        .bind(profile.address_line2.clone())
        .bind(profile.city.clone())
        .bind(profile.region.clone())
        .bind(profile.postal_code.clone())
        .bind(profile.country_code.clone())
        .bind(profile.country.clone())
        .bind(status.as_str())
        .bind(profile.marketing_opt_in)
        .bind(search_key)
        .run()
        .await?;
    Ok(())
}

pub(super) async fn delete_profile(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    tx.q("DELETE FROM person_profiles WHERE person_id = $1").bind(person.as_uuid()).run().await?;
    Ok(())
}
