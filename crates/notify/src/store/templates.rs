use std::collections::HashSet;

use chrono::{DateTime, Utc};
use stylobate_db::{Conn, Error, Tx};
use uuid::Uuid;

use super::tenant_of;
use crate::{StoredTemplate, TemplateOverride, TemplateVersion};

#[derive(sqlx::FromRow)]
struct TemplateRow {
    lane: Uuid,
    kind: String,
    locale: String,
    subject: String,
    text: String,
    html: Option<String>,
    version: i64,
    updated_at: DateTime<Utc>,
    updated_by: Option<Uuid>,
}

impl From<TemplateRow> for StoredTemplate {
    fn from(row: TemplateRow) -> Self {
        Self {
            tenant_id: tenant_of(row.lane),
            kind: row.kind,
            template: TemplateOverride {
                locale: row.locale,
                subject: row.subject,
                text: row.text,
                html: row.html,
            },
            version: row.version,
            updated_at: row.updated_at,
            updated_by: row.updated_by.map(Into::into),
        }
    }
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    lane: Uuid,
    kind: String,
    locale: String,
    version: i64,
    updated_at: DateTime<Utc>,
    updated_by: Option<Uuid>,
}

impl From<VersionRow> for TemplateVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            tenant_id: tenant_of(row.lane),
            kind: row.kind,
            locale: row.locale,
            version: row.version,
            updated_at: row.updated_at,
            updated_by: row.updated_by.map(Into::into),
        }
    }
}

/// Which templates a lane, and everybody where it has none, puts in the place of the product's own: for one kind, or for all. What
/// they say is not read.
pub(crate) async fn versions(
    conn: &mut Conn,
    lanes: [Uuid; 2],
    kind: Option<&str>,
) -> Result<Vec<TemplateVersion>, Error> {
    let [own, shared] = lanes;
    let mut sql = conn.builder(
        "SELECT lane, kind, locale, version, updated_at, updated_by FROM notify_templates WHERE lane IN (",
    );
    sql.value(own).push(", ").value(shared).push(")");
    if let Some(kind) = kind {
        sql.push(" AND kind = ").value(kind.to_owned());
    }
    sql.push(" ORDER BY kind, locale, lane DESC");
    let rows = conn.q_build(sql).all::<VersionRow>().await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Which templates lanes and everybody put in the place of the product's own for `kinds`, as [`versions`] says them.
pub(crate) async fn of_kinds(
    conn: &mut Conn,
    lanes: HashSet<Uuid>,
    kinds: HashSet<String>,
) -> Result<Vec<TemplateVersion>, Error> {
    let mut sql = conn.builder(
        "SELECT lane, kind, locale, version, updated_at, updated_by FROM notify_templates WHERE kind IN ",
    );
    sql.list(kinds).push(" AND lane IN ").list(lanes.into_iter().chain([Uuid::nil()]));
    sql.push(" ORDER BY kind, locale, lane DESC");
    let rows = conn.q_build(sql).all::<VersionRow>().await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Those of `all` that concern a message of `kind` in `lane`.
pub(crate) fn concerning(all: &[TemplateVersion], lane: Uuid, kind: &str) -> Vec<TemplateVersion> {
    let concerns = |one: &&TemplateVersion| {
        one.kind == kind && one.tenant_id.is_none_or(|tenant| tenant.as_uuid() == lane)
    };
    all.iter().filter(concerns).cloned().collect()
}

/// What a lane, and everybody where it has nothing, says instead of the product's own words for one kind.
pub(crate) async fn list(
    conn: &mut Conn,
    lanes: [Uuid; 2],
    kind: &str,
) -> Result<Vec<StoredTemplate>, Error> {
    let [own, shared] = lanes;
    let rows = conn
        .q("SELECT lane, kind, locale, subject, text, html, version, updated_at, updated_by FROM notify_templates
            WHERE lane IN ($1, $2) AND kind = $3 ORDER BY locale, lane DESC")
        .bind(own)
        .bind(shared)
        .bind(kind.to_owned())
        .all::<TemplateRow>()
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// How many locales of a kind a lane has.
pub(crate) async fn count(conn: &mut Conn, lane: Uuid, kind: &str) -> Result<usize, Error> {
    let counting = conn.q("SELECT count(*) FROM notify_templates WHERE lane = $1 AND kind = $2");
    let count: i64 = counting.bind(lane).bind(kind.to_owned()).scalar().await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(crate) async fn find(
    conn: &mut Conn,
    lane: Uuid,
    kind: &str,
    locale: &str,
) -> Result<Option<StoredTemplate>, Error> {
    let row = conn
        .q("SELECT lane, kind, locale, subject, text, html, version, updated_at, updated_by FROM notify_templates
            WHERE lane = $1 AND kind = $2 AND locale = $3")
        .bind(lane)
        .bind(kind.to_owned())
        .bind(locale.to_owned())
        .opt::<TemplateRow>()
        .await?;
    Ok(row.map(Into::into))
}

/// Writes an override as its next version, and returns that. Versions of one that was removed do not come again: what was read of
/// it may still be kept somewhere.
pub(crate) async fn put(
    tx: &mut Tx,
    lane: Uuid,
    kind: &str,
    template: &TemplateOverride,
    version: i64,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.q("INSERT INTO notify_templates (lane, kind, locale, subject, text, html, version, updated_at, updated_by)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
          ON CONFLICT (lane, kind, locale) DO UPDATE SET subject = excluded.subject, text = excluded.text, html = excluded.html,
            version = excluded.version, updated_at = excluded.updated_at, updated_by = excluded.updated_by")
    .bind(lane)
    .bind(kind.to_owned())
    .bind(template.locale.clone())
    .bind(template.subject.clone())
    .bind(template.text.clone())
    .bind(template.html.clone())
    .bind(version)
    .bind(now)
    .bind(by)
    .run()
    .await?;
    Ok(())
}

pub(crate) async fn delete(tx: &mut Tx, lane: Uuid, kind: &str, locale: &str) -> Result<bool, Error> {
    let deleted = tx
        .q("DELETE FROM notify_templates WHERE lane = $1 AND kind = $2 AND locale = $3")
        .bind(lane)
        .bind(kind.to_owned())
        .bind(locale.to_owned())
        .run()
        .await?;
    Ok(deleted == 1)
}

/// Removes up to `most` templates of a lane. Returns how many.
pub(crate) async fn remove_of(tx: &mut Tx, lane: Uuid, most: i64) -> Result<u64, Error> {
    tx.q("DELETE FROM notify_templates WHERE (lane, kind, locale) IN (SELECT lane, kind, locale FROM notify_templates \
          WHERE lane = $1 ORDER BY kind, locale LIMIT 0 + $2)")
        .bind(lane)
        .bind(most)
        .run()
        .await
}
