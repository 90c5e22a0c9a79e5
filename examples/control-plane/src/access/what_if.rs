//! What somebody might do after a change that nobody has made yet.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{OverrideId, PermissionId, RoleId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, StrictJson},
    rbac::{
        Assignee, Authorizer as _, Condition, Effect, Policy, PolicyAssignment, PolicyGrant, PolicyOverride,
    },
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Access, questions::DecisionView, target::QuestionInput};
use crate::caller;

pub(super) fn routes(access: &Access) -> Routes {
    Routes::new().add(
        Route::post("/v1/rbac/what-if", Permission::Key("role.read"))
            .tag("decisions")
            .summary("Whether somebody might do something if the organisation's policy were changed")
            .body::<WhatIfInput>()
            .returns::<WhatIfView>(200),
        access,
        what_if,
    )
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WhatIfInput {
    question: QuestionInput,
    /// One to 32 changes, made one after the other. Nothing of it is written.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Change>,
}

/// As many as anybody thinks through at once.
const CHANGES_MAX: usize = 32;

/// A change of the policy. Roles and overrides are those of the user that is asked about.
#[derive(Debug, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
enum Change {
    AssignRole {
        role_id: RoleId,
    },
    RevokeRole {
        role_id: RoleId,
    },
    AttachPermission {
        role_id: RoleId,
        permission_id: PermissionId,
        #[serde(default)]
        effect: Effect,
        #[serde(default)]
        condition: Option<Condition>,
    },
    DetachPermission {
        role_id: RoleId,
        permission_id: PermissionId,
    },
    AddParent {
        role_id: RoleId,
        parent_id: RoleId,
    },
    RemoveParent {
        role_id: RoleId,
        parent_id: RoleId,
    },
    SwitchRole {
        role_id: RoleId,
        is_active: bool,
    },
    SetOverride {
        permission_id: PermissionId,
        effect: Effect,
        #[serde(default)]
        condition: Option<Condition>,
    },
    RemoveOverride {
        permission_id: PermissionId,
    },
}

#[derive(Serialize, ToSchema)]
struct WhatIfView {
    /// The answer now.
    before: DecisionView,
    /// The answer after the changes.
    after: DecisionView,
}

async fn what_if(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<WhatIfInput>,
) -> ApiResult<Json<WhatIfView>> {
    let WhatIfInput { question, changes } = input;
    if changes.is_empty() || changes.len() > CHANGES_MAX {
        return Err(ApiError::field("changes", "out_of_range", "has not one to 32 entries"));
    }
    let tenant = access.prepared(&context, &question).await?;
    let mut policy = access.rbac.policy(Some(tenant)).await?;
    let asked = caller::in_tenant(&context, tenant);
    for (index, change) in changes.into_iter().enumerate() {
        // What only platform roles can have no rule of the organisation is about, tried or made.
        if let Change::AttachPermission { permission_id, .. } | Change::SetOverride { permission_id, .. } =
            &change
            && policy.permissions.iter().any(|permission| permission.id == *permission_id)
        {
            access.rbac.require_may_rule_on(&asked, *permission_id).await?;
        }
        apply(&mut policy, question.person().into(), index, change)?;
    }
    let engine = Arc::clone(access.rbac.engine());
    // A large policy takes long enough to compile that others would wait for this thread.
    let answers = tokio::task::spawn_blocking(move || {
        question.put(tenant, |question| (engine.decide(question), engine.what_if(question, &policy)))
    });
    let (before, after) = answers.await.map_err(ApiError::internal)?;
    let sees_platform = access.is_of_platform(&context);
    let seen = |decision| DecisionView::new(decision, sees_platform);
    Ok(Json(WhatIfView { before: seen(before), after: seen(after) }))
}

fn apply(policy: &mut Policy, user: Assignee, index: usize, change: Change) -> ApiResult<()> {
    let unknown = |field: &str, what: &str| {
        let message = format!("is not {what} that the organisation has or sees");
        ApiError::field(format!("changes[{index}].{field}"), "not_found", message)
    };
    let has_role = |policy: &Policy, field, id: RoleId| {
        let is_there = policy.roles.iter().any(|role| role.id == id);
        if is_there { Ok(()) } else { Err(unknown(field, "a role")) }
    };
    let has_permission = |policy: &Policy, id: PermissionId| {
        let is_there = policy.permissions.iter().any(|permission| permission.id == id);
        if is_there { Ok(()) } else { Err(unknown("permission_id", "a permission")) }
    };
    match change {
        Change::AssignRole { role_id } => {
            has_role(policy, "role_id", role_id)?;
            policy.assignments.push(PolicyAssignment::new(user, role_id));
        }
        Change::RevokeRole { role_id } => {
            has_role(policy, "role_id", role_id)?;
            policy.assignments.retain(|one| one.assignee != user || one.role != role_id);
        }
        Change::AttachPermission { role_id, permission_id, effect, condition } => {
            has_role(policy, "role_id", role_id)?;
            has_permission(policy, permission_id)?;
            policy.grants.retain(|one| one.role != role_id || one.permission != permission_id);
            policy.grants.push(PolicyGrant { role: role_id, permission: permission_id, effect, condition });
        }
        Change::DetachPermission { role_id, permission_id } => {
            has_role(policy, "role_id", role_id)?;
            has_permission(policy, permission_id)?;
            policy.grants.retain(|one| one.role != role_id || one.permission != permission_id);
        }
        Change::AddParent { role_id, parent_id } => {
            has_role(policy, "role_id", role_id)?;
            has_role(policy, "parent_id", parent_id)?;
            policy.add_parent(role_id, parent_id)?;
        }
        Change::RemoveParent { role_id, parent_id } => {
            has_role(policy, "role_id", role_id)?;
            policy.inheritance.retain(|pair| *pair != (role_id, parent_id));
        }
        Change::SwitchRole { role_id, is_active } => {
            has_role(policy, "role_id", role_id)?;
            for role in policy.roles.iter_mut().filter(|role| role.id == role_id) {
                role.is_active = is_active;
            }
        }
        Change::SetOverride { permission_id, effect, condition } => {
            has_permission(policy, permission_id)?;
            policy.overrides.retain(|one| one.assignee != user || one.permission != permission_id);
            policy.overrides.push(PolicyOverride {
                // Nil is nobody's id: the rule is not there.
                id: OverrideId::from_uuid(Uuid::nil()),
                assignee: user,
                permission: permission_id,
                effect,
                condition,
                expires_at: None,
            });
        }
        Change::RemoveOverride { permission_id } => {
            has_permission(policy, permission_id)?;
            policy.overrides.retain(|one| one.assignee != user || one.permission != permission_id);
        }
    }
    Ok(())
}
