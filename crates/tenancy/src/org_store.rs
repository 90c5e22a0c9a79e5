//! Every statement on `orgs`.

use chrono::{DateTime, NaiveDate, Utc};
use stylobate_core::{Page, TenantId};
use stylobate_db::{Conn, Keyset, KeysetKey, Sql, SqlBuilder, Tx};
use uuid::Uuid;

use crate::{Error, LicenseStatus, Org, OrgCode, OrgFilter, OrgName, search::contains};

#[derive(sqlx::FromRow)]
struct OrgRow {
    id: Uuid,
    code: String,
    name: String,
    license_status: String,
    purchase_date: Option<NaiveDate>,
    is_active: bool,
    is_default: bool,
    removal_began_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl TryFrom<OrgRow> for Org {
    type Error = Error;

    fn try_from(row: OrgRow) -> Result<Self, Error> {
        let bad = |column| Error::RowInvalid { table: "orgs", column, id: row.id };
        Ok(Self {
            id: row.id.into(),
            code: OrgCode::from_stored(row.code).ok_or_else(|| bad("code"))?,
            name: OrgName::from_stored(row.name).ok_or_else(|| bad("name"))?,
            license_status: LicenseStatus::from_word(&row.license_status)
                .ok_or_else(|| bad("license_status"))?,
            purchase_date: row.purchase_date,
            is_active: row.is_active,
            is_default: row.is_default,
            removal_began_at: row.removal_began_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

const SELECT_ORGS: &str = "SELECT id, code, name, license_status, purchase_date, is_active, is_default, \
     removal_began_at, created_at, updated_at, version FROM orgs WHERE true";

/// Which lock on a row is taken with reading it. On SQLite there is one writer, who has them all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock {
    /// Others may read it as well, and nobody changes it.
    Share,
    /// Nobody else holds it, and nobody adds a row that refers to it.
    Exclusive,
}

impl Lock {
    fn sql(self) -> Sql {
        match self {
            Self::Share => Sql::Per { pg: " FOR SHARE", lite: "" },
            Self::Exclusive => Sql::Per { pg: " FOR UPDATE", lite: "" },
        }
    }
}

async fn find(conn: &mut Conn, which: impl FnOnce(&mut SqlBuilder)) -> Result<Option<Org>, Error> {
    let mut sql = conn.builder(SELECT_ORGS);
    which(&mut sql);
    conn.q_build(sql).opt::<OrgRow>().await?.map(Org::try_from).transpose()
}

pub(crate) async fn find_org(conn: &mut Conn, id: TenantId) -> Result<Option<Org>, Error> {
    find(conn, |sql| {
        sql.push(" AND id = ").value(id.as_uuid());
    })
    .await
}

pub(crate) async fn find_org_by_code(conn: &mut Conn, code: &OrgCode) -> Result<Option<Org>, Error> {
    find(conn, |sql| {
        sql.push(" AND code_folded = ").value(code.folded());
    })
    .await
}

pub(crate) async fn find_default_org(conn: &mut Conn) -> Result<Option<Org>, Error> {
    find(conn, |sql| {
        sql.push(" AND is_default = ").value(true);
    })
    .await
}

/// The organisation as it stays until the transaction ends.
pub(crate) async fn lock_org(tx: &mut Tx, id: TenantId, lock: Lock) -> Result<Option<Org>, Error> {
    find(tx, |sql| {
        sql.push(" AND id = ").value(id.as_uuid()).push_sql(lock.sql());
    })
    .await
}

pub(crate) async fn org_ids(
    conn: &mut Conn,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, Error> {
    let ids: Vec<(Uuid,)> = conn
        .q("SELECT id FROM orgs WHERE id > $1 ORDER BY id LIMIT 0 + $2")
        // Nil is nobody's id, and before all others.
        .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
        .bind(limit)
        .all()
        .await?;
    Ok(ids.into_iter().map(|(id,)| TenantId::from_uuid(id)).collect())
}

pub(crate) async fn list_orgs(
    conn: &mut Conn,
    filter: &OrgFilter,
    keyset: &Keyset,
) -> Result<Page<Org>, Error> {
    let mut sql = conn.builder(SELECT_ORGS);
    push_filter(&mut sql, filter);
    keyset.push(&mut sql);
    let rows: Vec<OrgRow> = conn.q_build(sql).all().await?;
    let page = keyset.page(rows, |row| (KeysetKey::Time(row.created_at), row.id));
    let items = page.items.into_iter().map(Org::try_from).collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
}

/// How many rows a count looks at before it gives up: nobody reads a larger number.
pub(crate) const COUNT_MAX: i64 = 10_000;

pub(crate) async fn count_orgs(conn: &mut Conn, filter: &OrgFilter) -> Result<u64, Error> {
    let mut sql = conn.builder("SELECT count(*) FROM (SELECT id FROM orgs WHERE true");
    push_filter(&mut sql, filter);
    sql.limit(COUNT_MAX).push(") AS counted");
    let count: i64 = conn.q_build(sql).scalar().await?;
    Ok(count.unsigned_abs())
}

fn push_filter(sql: &mut SqlBuilder, filter: &OrgFilter) {
    if let Some(is_active) = filter.is_active {
        sql.push(" AND is_active = ").value(is_active);
    }
    if let Some(status) = filter.license_status {
        sql.push(" AND license_status = ").value(status.as_str());
    }
    if let Some(search) = &filter.search {
        sql.push(" AND search_key LIKE ").value(contains(search)).push(r" ESCAPE '\'");
    }
    if let Some(person) = filter.member {
        sql.push(" AND id IN (SELECT tenant_id FROM memberships WHERE status = 'active' AND person_id = ")
            .value(person.as_uuid())
            .push(")");
    }
    if let Some(ids) = &filter.ids {
        sql.push(" AND id IN ").list(ids.iter().map(|id| id.as_uuid()));
    }
}

/// Adds the organisation unless any of its unique values is taken; tells whether it was added.
pub(crate) async fn insert_org(tx: &mut Tx, org: &Org) -> Result<bool, Error> {
    let rows = tx
        .q("INSERT INTO orgs (id, code, code_folded, name, search_key, license_status, purchase_date, is_active, is_default, \
            created_at, updated_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
            ON CONFLICT DO NOTHING")
        .bind(org.id.as_uuid())
        .bind(org.code.as_str().to_owned())
        .bind(org.code.folded())
        .bind(org.name.as_str().to_owned())
        .bind(org.search_key())
        .bind(org.license_status.as_str())
        .bind(org.purchase_date)
        .bind(org.is_active)
        .bind(org.is_default)
        .bind(org.created_at)
        .bind(org.updated_at)
        .bind(org.version)
        .run()
        .await?;
    Ok(rows == 1)
}

/// How many organisations from before are folded at a start: more than anybody has, and few enough for one transaction.
const FOLDED_AT_ONCE: i64 = 10_000;

/// Makes what a search looks at of organisations that a migration left without: the engines' `lower()` would not do.
pub(crate) async fn fold_search_keys(tx: &mut Tx) -> Result<(), Error> {
    let mut sql = tx.builder(SELECT_ORGS);
    sql.push(" AND search_key = '' ORDER BY id").limit(FOLDED_AT_ONCE);
    let rows: Vec<OrgRow> = tx.q_build(sql).all().await?;
    // One that cannot be read is no reason not to start.
    for org in rows.into_iter().filter_map(|row| Org::try_from(row).ok()) {
        tx.q("UPDATE orgs SET search_key = $2 WHERE id = $1 AND search_key = ''")
            .bind(org.id.as_uuid())
            .bind(org.search_key())
            .run()
            .await?;
    }
    Ok(())
}

/// Writes what `org` says; the caller holds the row.
pub(crate) async fn update_org(tx: &mut Tx, org: &Org) -> Result<(), Error> {
    let updated = tx
        .q("UPDATE orgs SET code = $2, code_folded = $3, name = $4, search_key = $5, license_status = $6, \
            purchase_date = $7, is_active = $8, removal_began_at = $9, updated_at = $10, version = $11 WHERE id = $1")
        .bind(org.id.as_uuid())
        .bind(org.code.as_str().to_owned())
        .bind(org.code.folded())
        .bind(org.name.as_str().to_owned())
        .bind(org.search_key())
        .bind(org.license_status.as_str())
        .bind(org.purchase_date)
        .bind(org.is_active)
        .bind(org.removal_began_at)
        .bind(org.updated_at)
        .bind(org.version)
        .run()
        .await;
    match updated {
        // Somebody took the code after it was looked up.
        Err(error) if error.is_unique_violation("orgs_code_folded_key") => Err(Error::CodeTaken),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

pub(crate) async fn delete_org(tx: &mut Tx, id: TenantId) -> Result<(), Error> {
    tx.q("DELETE FROM orgs WHERE id = $1").bind(id.as_uuid()).run().await?;
    Ok(())
}
