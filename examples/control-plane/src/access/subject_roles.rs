//! The roles of a subject: what the routes of people, service accounts and groups have in common.

use axum::{Json, http::StatusCode};
use stylobate::{
    core::{Page, RequestContext, RoleId},
    middleware::{ApiResult, ListQuery, PolicyEpoch},
    rbac::{Assignee, RoleAssignment},
};

use super::{
    Access,
    model::{AssignInput, AssignedRoleView, ListFilter},
    roles::{Order, role_query},
    written,
};

impl Access {
    /// Lists the roles of `subject`, of whom the caller knows that it is the organisation's.
    pub(super) async fn roles_of(
        &self,
        context: &RequestContext,
        subject: impl Into<Assignee>,
        query: ListQuery<ListFilter, Order>,
    ) -> ApiResult<Json<Page<AssignedRoleView>>> {
        let page = self.rbac.roles_of(context, subject, &role_query(query)).await?;
        Ok(Json(page.map(AssignedRoleView::from)))
    }

    /// Assigns a role. A subject of another organisation answers exactly as a missing one.
    pub(super) async fn assign_role<V: From<RoleAssignment>>(
        &self,
        context: &RequestContext,
        subject: impl Into<Assignee>,
        input: AssignInput,
    ) -> ApiResult<(StatusCode, PolicyEpoch, Json<V>)> {
        let role = RoleId::from_uuid(input.role_id);
        let assigned = self.rbac.assign_until(context, subject, role, input.expires_at).await?;
        let (epoch, link) = written(context, assigned);
        Ok((StatusCode::CREATED, epoch, Json(link.into())))
    }

    /// Takes a role from `subject`, of whom the caller knows that it is the organisation's.
    pub(super) async fn unassign_role(
        &self,
        context: &RequestContext,
        subject: impl Into<Assignee>,
        role: RoleId,
    ) -> ApiResult<(StatusCode, PolicyEpoch)> {
        let (epoch, ()) = written(context, self.rbac.unassign(context, subject, role).await?);
        Ok((StatusCode::NO_CONTENT, epoch))
    }
}
