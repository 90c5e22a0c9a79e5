//! Every statement on `org_documents`.

use chrono::{DateTime, Utc};
use stylobate::{
    core::{PersonId, TenantId},
    db::{Conn, Error, Sql, Tx},
};

use super::documents::{Document, Kind};

#[derive(sqlx::FromRow)]
struct DocumentRow {
    document: String,
    version: i64,
    updated_at: DateTime<Utc>,
}

impl TryFrom<DocumentRow> for Document {
    type Error = Error;

    fn try_from(row: DocumentRow) -> Result<Self, Error> {
        let bad = |source: serde_json::Error| Error::BadRow {
            column: "org_documents.document".to_owned(),
            source: source.into(),
        };
        let fields = serde_json::from_str(&row.document).map_err(bad)?;
        Ok(Self { fields, version: row.version, updated_at: Some(row.updated_at) })
    }
}

pub(super) async fn find(conn: &mut Conn, tenant: TenantId, kind: Kind) -> Result<Option<Document>, Error> {
    let row = conn
        .q("SELECT document, version, updated_at FROM org_documents WHERE tenant_id = $1 AND kind = $2")
        .bind(tenant.as_uuid())
        .bind(kind.as_str())
        .opt::<DocumentRow>()
        .await?;
    row.map(Document::try_from).transpose()
}

/// The document as nobody else changes it until the transaction ends.
pub(super) async fn lock(tx: &mut Tx, tenant: TenantId, kind: Kind) -> Result<Document, Error> {
    // A row that is not there cannot be locked. Version 0 says what a missing row says.
    tx.q("INSERT INTO org_documents (tenant_id, kind, document, version, updated_at) VALUES ($1, $2, '{}', 0, $3) \
          ON CONFLICT (tenant_id, kind) DO NOTHING")
        .bind(tenant.as_uuid())
        .bind(kind.as_str())
        .bind(DateTime::UNIX_EPOCH)
        .run()
        .await?;
    let row = tx
        .q(Sql::Per {
            pg: "SELECT document, version, updated_at FROM org_documents WHERE tenant_id = $1 AND kind = $2 FOR UPDATE",
            lite: "SELECT document, version, updated_at FROM org_documents WHERE tenant_id = $1 AND kind = $2",
        })
        .bind(tenant.as_uuid())
        .bind(kind.as_str())
        .one::<DocumentRow>()
        .await?;
    row.try_into()
}

/// Writes a document; the caller holds its row.
pub(super) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    kind: Kind,
    document: &Document,
    updated_by: Option<PersonId>,
) -> Result<(), Error> {
    let json = serde_json::Value::Object(document.fields.clone()).to_string();
    tx.q("UPDATE org_documents SET document = $3, version = $4, updated_at = $5, updated_by = $6 \
          WHERE tenant_id = $1 AND kind = $2")
        .bind(tenant.as_uuid())
        .bind(kind.as_str())
        .bind(json)
        .bind(document.version)
        .bind(document.updated_at.unwrap_or(DateTime::UNIX_EPOCH))
        .bind(updated_by.map(|person| person.as_uuid()))
        .run()
        .await?;
    Ok(())
}

pub(super) async fn forget_person(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    tx.q("UPDATE org_documents SET updated_by = NULL WHERE updated_by = $1")
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}
