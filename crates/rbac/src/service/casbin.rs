mod import;

use std::collections::HashMap;

use stylobate_core::{RequestContext, RoleId};

pub use self::import::CasbinImported;
use super::{Rbac, scope_of};
use crate::{CasbinExport, RbacError, store::roles};

impl Rbac {
    /// The policy of the caller's tenant (or of the platform, for a caller without one) as casbin rules, with roles by their
    /// names.
    ///
    /// # Errors
    /// [`RbacError::PlatformOwned`] when the platform's is asked for by somebody without a platform role.
    pub async fn export_casbin(&self, context: &RequestContext) -> Result<CasbinExport, RbacError> {
        let owner = context.principal.tenant;
        self.visible_assignments(&context.principal).await?;
        let policy = self.policy(owner).await?;
        let ids: Vec<RoleId> = policy.roles.iter().map(|role| role.id).collect();
        let mut tx = self.db.begin_read(scope_of(owner, "export the platform's access policy")).await?;
        let names: HashMap<RoleId, String> = roles::names(&mut tx, &ids).await?.into_iter().collect();
        tx.rollback().await?;
        Ok(CasbinExport::of(&policy, owner, self.catalogue(), self.now(), &|role| names.get(&role).cloned()))
    }
}
