use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use stylobate_core::{AuditEvent, AuditEventId, Clock, Direction, Page, PageLimit, RequestContext, TenantId};
use stylobate_db::{Db, Keyset, KeysetKey, Scope};
use uuid::Uuid;

use crate::{AuditRecord, Error, ExportLimit, Filter, csv_header, csv_rows, store};

/// Rows of one step of an export: a few hundred kilobytes of memory, and a read short enough not to hold up others.
const CHUNK_ROWS: u32 = 1_000;

/// Reads the audit trail of the caller's tenant.
///
/// The tenant is always that of the principal; a record of another tenant answers like a missing one. Whoever reads it for the platform
/// ([`RequestContext::for_platform_in`]) is shown who acted for the platform, too
/// ([`AuditEvent::PLATFORM_ACTOR`]); whether they may is the caller's question.
#[derive(Debug, Clone)]
pub struct AuditLog {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// A service on `db`, whose participants include a [`Writer`](crate::Writer): exports are recorded.
    #[must_use]
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// One page of the records that `filter` selects, ordered by time.
    ///
    /// # Errors
    /// [`Error::Cursor`] when `cursor` was not made by this list in this direction, [`Error::FilterInvalid`] when the
    /// filter cannot match, [`Error::TenantRequired`] when the caller acts for no tenant.
    pub async fn list(
        &self,
        context: &RequestContext,
        filter: &Filter,
        limit: PageLimit,
        cursor: Option<&str>,
        direction: Direction,
    ) -> Result<Page<AuditRecord>, Error> {
        let tenant = tenant_of(context)?;
        filter.validate()?;
        let keyset = Keyset::new("occurred_at", "occurred_at", "id", true, direction, limit, cursor)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let rows = store::list(&mut tx, tenant, filter, &keyset).await;
        tx.rollback().await?;
        let page = keyset.page(rows?, |row| (KeysetKey::Time(row.occurred_at), row.id));
        let record = |row| AuditRecord::of(row, context.is_for_platform);
        let items = page.items.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
    }

    /// The record `id`, or `None` when the caller's tenant has none of that id.
    ///
    /// # Errors
    /// [`Error::TenantRequired`] when the caller acts for no tenant; [`Error::Db`] otherwise.
    pub async fn find(
        &self,
        context: &RequestContext,
        id: AuditEventId,
    ) -> Result<Option<AuditRecord>, Error> {
        let tenant = tenant_of(context)?;
        let mut tx = self.db.begin_read(Scope::Tenant(tenant)).await?;
        let row = store::find(&mut tx, tenant, id).await;
        tx.rollback().await?;
        row?.map(|row| AuditRecord::of(row, context.is_for_platform)).transpose()
    }

    /// The records that `filter` selects as CSV ([`csv_header`], [`csv_rows`]), newest first, at most `limit` of them.
    ///
    /// Records `audit.export` first, so that an interrupted export is on record as well; that record is not in the
    /// file. The stream then reads step by step in a short transaction each: memory stays flat however many rows there
    /// are, and a slow reader holds no connection. Records made meanwhile are newer than the first step and left out.
    ///
    /// # Errors
    /// As [`list`](Self::list). An error inside the stream ends it: the file is then incomplete and the answer must be
    /// cut off rather than finished.
    pub async fn export(
        &self,
        context: &RequestContext,
        filter: Filter,
        limit: ExportLimit,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, Error>> + Send + use<>, Error> {
        let tenant = tenant_of(context)?;
        filter.validate()?;
        let own_id = AuditEventId::new(self.clock.now());
        let mut event = AuditEvent::new(context, "audit.export", "audit_event")
            .with("max_rows", limit.get())
            .with("filter", serde_json::to_value(&filter).unwrap_or_default());
        event.id = Some(own_id);
        self.db
            .transact(Scope::Tenant(tenant), async move |tx| {
                tx.audit(event.clone());
                Ok::<_, Error>(())
            })
            .await?;
        let export = Export {
            db: self.db.clone(),
            tenant,
            for_platform: context.is_for_platform,
            filter,
            own_id,
            rows_left: limit.get(),
            before: None,
            header_is_sent: false,
        };
        Ok(stream::try_unfold(export, Export::step))
    }
}

fn tenant_of(context: &RequestContext) -> Result<TenantId, Error> {
    context.principal.tenant.ok_or(Error::TenantRequired)
}

/// How far an export has come.
struct Export {
    db: Db,
    tenant: TenantId,
    for_platform: bool,
    filter: Filter,
    own_id: AuditEventId,
    rows_left: u32,
    /// The last row that was sent.
    before: Option<(DateTime<Utc>, Uuid)>,
    header_is_sent: bool,
}

impl Export {
    async fn step(mut self) -> Result<Option<(Vec<u8>, Self)>, Error> {
        if !self.header_is_sent {
            self.header_is_sent = true;
            return Ok(Some((csv_header(), self)));
        }
        let rows_max = self.rows_left.min(CHUNK_ROWS);
        if rows_max == 0 {
            return Ok(None);
        }
        let mut tx = self.db.begin_read(Scope::Tenant(self.tenant)).await?;
        let rows = store::chunk(&mut tx, self.tenant, &self.filter, self.own_id, self.before, rows_max).await;
        tx.rollback().await?;
        let rows = rows?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.before = Some((last.occurred_at, last.id));
        let count = u32::try_from(rows.len()).unwrap_or(rows_max);
        // A short step is the last one: no further read is needed to learn that.
        self.rows_left = if count < rows_max { 0 } else { self.rows_left - count };
        let record = |row| AuditRecord::of(row, self.for_platform);
        let records = rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        Ok(Some((csv_rows(&records), self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[expect(dead_code, reason = "compiling it is the test: handlers need futures that move between threads")]
    fn every_future_is_send(log: &AuditLog, context: &RequestContext, id: AuditEventId) {
        is_send(&log.find(context, id));
        is_send(&log.list(context, &Filter::default(), PageLimit::default(), None, Direction::Asc));
        is_send(&log.export(context, Filter::default(), ExportLimit::default()));
    }
}
