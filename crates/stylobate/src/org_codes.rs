//! The codes of organisations, as the database has them.

use std::sync::Arc;

use stylobate_core::{BoxFuture, TenantId};
use stylobate_db::Db;
use stylobate_tenancy::{OrgCode, Tenancy};
use stylobate_tower_middleware::{ApiError, TenantNames};

pub(crate) struct OrgCodes {
    pub(crate) db: Db,
    pub(crate) tenancy: Arc<Tenancy>,
}

impl TenantNames for OrgCodes {
    fn code(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<OrgCode>, ApiError>> {
        Box::pin(async move {
            let mut reader = self.db.read().await?;
            let org = self.tenancy.find_org(&mut reader, tenant).await?;
            Ok(org.map(|org| org.code))
        })
    }
}
