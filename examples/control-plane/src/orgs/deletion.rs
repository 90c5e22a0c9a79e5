//! The end of an organisation for good: the platform asks for it, a job does it, and counting proves it.
//!
//! Asking is what begins the removal, on record and for good. The job only goes on with what was asked for: one that somebody makes
//! or edits for another organisation is given up.

mod left;
mod own;
mod progress;
mod work;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use stylobate::{
    Platform,
    core::{RequestContext, TenantId},
    db::{Db, Scope, Tx},
    endpoints::{Permission, Route, Routes},
    jobs::Jobs,
    middleware::{ApiResult, Context, PathId, StrictJson, problem_for},
    rbac::Rbac,
    tenancy::{self, Tenancy},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::OrgTarget;
use crate::refused::{Refused, field};

pub(crate) use work::{DeleteOrg, OrgRemoval};

const MANAGE: &str = "platform.organizations.manage";

/// What the route works with.
#[derive(Clone)]
struct Deletion {
    db: Db,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    jobs: Jobs,
}

pub(super) fn routes(platform: &Platform) -> Routes {
    let deletion = Deletion {
        db: platform.db().clone(),
        rbac: platform.rbac().clone(),
        tenancy: platform.tenancy().clone(),
        jobs: platform.jobs().clone(),
    };
    let route = Route::post("/v1/orgs/{id}/delete", Permission::Key(MANAGE))
        .tag("organisations")
        .summary("Has an inactive organisation removed for good, with everything but its audit trail")
        .body::<DeletionInput>()
        .returns::<DeletionView>(202);
    Routes::new().add(route, &deletion, delete)
}

/// What is to be removed, said twice.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeletionInput {
    /// The code of the organisation, so that nobody removes another one by a slip.
    #[serde(alias = "org_code")]
    code: String,
}

/// Who does it.
#[derive(Serialize, ToSchema)]
struct DeletionView {
    /// The background job: `GET /v1/jobs/{id}` tells how far it is, and what it removed.
    job_id: Uuid,
}

async fn delete(
    State(deletion): State<Deletion>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<DeletionInput>,
) -> ApiResult<(StatusCode, Json<DeletionView>)> {
    let Deletion { db, rbac, tenancy, .. } = &deletion;
    let target = OrgTarget::find(rbac, tenancy, db, &context, id, MANAGE, MANAGE).await?;
    let job_id = deletion.ask(&target.context, target.tenant, input.code).await?;
    Ok((StatusCode::ACCEPTED, Json(DeletionView { job_id })))
}

impl Deletion {
    /// Begins the removal, or asks for the job once more where it has begun.
    async fn ask(&self, context: &RequestContext, tenant: TenantId, code: String) -> Result<Uuid, Refused> {
        let (this, context) = (self.clone(), context.clone());
        let ask = async move |tx: &mut Tx| {
            let org = this.tenancy.find_org(tx, tenant).await?.ok_or(tenancy::Error::OrgNotFound)?;
            if !org.code.as_str().eq_ignore_ascii_case(&code) {
                return Err(field("code", "is not the code of the organisation").into());
            }
            if org.is_active && !org.is_default {
                return Err(problem_for("org_active").into());
            }
            this.tenancy.begin_org_removal(tx, &context, tenant, org.version).await?;
            Ok::<_, Refused>(this.jobs.enqueue(tx, &DeleteOrg::of(tenant)).await?.id.as_uuid())
        };
        self.db.transact(Scope::Platform("begin the removal of an organisation"), ask).await
    }
}
