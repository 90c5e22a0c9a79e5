//! Organisations that come with their administrator, for whoever knows the operator's secret: the first of an installation, and
//! further ones where there may be any.

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use stylobate::{
    Platform,
    auth::{self, AuthError, PeopleError},
    core::{FieldProblem, Principal, Problem, RequestContext},
    db::{Scope, Tx},
    endpoints::{AccountError, Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, InternalSecret, IntoProblem as _, StrictJson, problem_for},
    tenancy::{LicenseStatus, Org, OrgChange},
};
use utoipa::ToSchema;

use super::{
    model::{self, OrgDraft, OrgView},
    routes::TAG,
    service::Orgs,
    target::OrgTarget,
    told::tell_org,
};
use crate::{
    admin::{self, ADMIN},
    caller,
    members::{AccountInput, Members, UserView},
    people::Draft,
    refused::{Refused, invalid},
};

const X_BOOTSTRAP_SECRET: &str = "x-bootstrap-secret";

#[derive(Clone)]
struct Bootstrap {
    platform: Platform,
    orgs: Orgs,
    members: Members,
    /// Without one there is nothing here.
    secret: Option<InternalSecret>,
}

/// An organisation and its administrator, to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BootstrapInput {
    /// 1 to 200 characters. Other spellings: `name`, `org_name`.
    #[serde(alias = "name", alias = "org_name")]
    organization_name: String,
    /// Made of the name unless given; without one, the first organisation of an installation keeps the code it has. Other spelling:
    /// `org_code`.
    #[serde(default, alias = "org_code")]
    code: Option<String>,
    /// `active` unless given, `suspended` or `expired`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    license_status: Option<LicenseStatus>,
    /// Has to have a password, which the first sign-in asks to change: whoever knows the secret has chosen it. Without `role_id` and
    /// `organization_id`.
    admin_user: AccountInput,
}

/// What there is now.
#[derive(Serialize, ToSchema)]
struct Bootstrapped {
    organization: OrgView,
    admin: UserView,
}

pub(super) fn routes(platform: &Platform, orgs: &Orgs, members: &Members) -> Routes {
    let settings = platform.settings();
    let bootstrap = Bootstrap {
        platform: platform.clone(),
        orgs: orgs.clone(),
        members: members.clone(),
        // The settings have refused a weak one.
        secret: settings.bootstrap_secret.clone().and_then(|secret| InternalSecret::new(secret).ok()),
    };
    let reason =
        Permission::Public("the operator's bootstrap secret is the credential; without one it is not there");
    Routes::new().add(
        Route::post("/v1/bootstrap/organization", reason)
            .tag(TAG)
            .summary("Makes an organisation with its administrator; the first one is the platform's as well")
            .header("X-Bootstrap-Secret", "What BOOTSTRAP_SECRET holds")
            .body::<BootstrapInput>()
            .returns::<Bootstrapped>(201),
        &bootstrap,
        make,
    )
}

async fn make(
    State(bootstrap): State<Bootstrap>,
    context: Context,
    request: Request,
) -> ApiResult<(StatusCode, Json<Bootstrapped>)> {
    // Before the body is looked at: who has no secret learns nothing of what it should be.
    bootstrap.admit(&context, request.headers()).await?;
    let StrictJson(input) = StrictJson::<BootstrapInput>::from_request(request, &()).await?;
    let (organization, admin) = bootstrap.make(&context, input).await?;
    Ok((StatusCode::CREATED, Json(Bootstrapped { organization: organization.into(), admin })))
}

impl BootstrapInput {
    fn read(self) -> Result<(OrgDraft, AccountInput), Refused> {
        let mut problems = Vec::new();
        let name = model::name("organization_name", &self.organization_name, &mut problems);
        let code = self.code.and_then(|text| model::code(&text, &mut problems));
        if !self.admin_user.has_password() {
            problems.push(FieldProblem::new("admin_user.password", "required", "is required"));
        }
        for (field, is_named) in [
            ("admin_user.role_id", self.admin_user.role().is_some()),
            ("admin_user.organization_id", self.admin_user.organization().is_some()),
        ] {
            if is_named {
                problems.push(FieldProblem::new(field, "unknown", "is not for the caller to choose"));
            }
        }
        match name {
            Some(name) if problems.is_empty() => {
                let license_status = self.license_status.unwrap_or_default();
                let draft = OrgDraft { name, code, license_status, purchase_date: None, is_active: true };
                Ok((draft, self.admin_user))
            }
            _ => Err(invalid(problems).into()),
        }
    }
}

impl Bootstrap {
    /// Lets a caller go on who presents the secret.
    async fn admit(&self, context: &RequestContext, headers: &HeaderMap) -> ApiResult<()> {
        let secret = self.secret.as_ref().ok_or_else(ApiError::not_found)?;
        let mut presented = headers.get_all(X_BOOTSTRAP_SECRET).iter();
        let is_right = match (presented.next(), presented.next()) {
            (Some(one), None) => secret.is(one.as_bytes()),
            _ => false,
        };
        self.orgs.auth.admit_bootstrap(context, is_right).await?;
        if is_right {
            return Ok(());
        }
        tracing::warn!(code = "bootstrap_secret_invalid", "a wrong bootstrap secret was presented");
        Err(problem_for("bootstrap_secret_invalid").into())
    }

    async fn make(&self, context: &RequestContext, input: BootstrapInput) -> ApiResult<(Org, UserView)> {
        let (draft, admin) = input.read()?;
        let admin = self.members.prepare(admin).await.map_err(|refused| of_admin(refused.into()))?;
        let context =
            RequestContext { principal: Principal::system(), process: Some("bootstrap"), ..context.clone() };
        let this = self.clone();
        let make = async move |tx: &mut Tx| this.make_in(tx, &context, &draft, &admin).await;
        let made = self.orgs.db.transact(Scope::Platform("bootstrap an organisation"), make).await;
        let (org, admin) = made.map_err(of_admin)?;
        self.orgs.serve(org.id).await;
        Ok((org, admin))
    }

    async fn make_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        draft: &OrgDraft,
        admin: &Draft,
    ) -> Result<(Org, UserView), AccountError> {
        let rbac = &self.orgs.rbac;
        // Of two at once, one is the first: the other waits here, and then sees somebody.
        rbac.lock_policy(tx, None).await?;
        let is_first = self.is_untouched(tx).await?;
        let org = match is_first {
            true => self.rename_first(tx, context, draft).await?,
            false => {
                self.orgs.require_room()?;
                self.orgs.create_in(tx, context, draft).await?
            }
        };
        let target =
            OrgTarget { tenant: org.id, context: caller::in_tenant(context, org.id), is_foreign: false };
        let role = rbac.role_named(tx, Some(org.id), ADMIN).await?.ok_or_else(Problem::internal)?;
        let made = self.members.make_in(tx, &target, admin, Some(role.id)).await?;
        // Whoever knows the secret knows the password.
        self.orgs.auth.disown_password(tx, made.id()).await?;
        if is_first {
            admin::give_roles(&self.platform, tx, context, made.id()).await?;
        }
        Ok((org, made))
    }

    /// Whether there is only what the first start makes.
    async fn is_untouched(&self, tx: &mut Tx) -> Result<bool, AccountError> {
        Ok(auth::People::is_empty(tx).await? && self.orgs.tenancy.org_ids(tx, None, 2).await?.len() == 1)
    }

    /// The organisation that every installation has becomes the one that is asked for.
    async fn rename_first(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        draft: &OrgDraft,
    ) -> Result<Org, AccountError> {
        let default_org = self.platform.default_org();
        // Before the organisation's row, as everybody does.
        self.orgs.rbac.lock_policy(tx, Some(default_org)).await?;
        let change = OrgChange {
            name: Some(draft.name.clone()),
            code: draft.code.clone(),
            license_status: Some(draft.license_status),
            ..OrgChange::default()
        };
        let (org, is_changed) = self.orgs.tenancy.update_org(tx, context, default_org, &change).await?;
        if is_changed {
            tell_org(tx, context, "organization.updated", &org);
        }
        Ok(org)
    }
}

/// Says of fields of the administrator where they stand in the body.
fn of_admin(error: AccountError) -> ApiError {
    let problem = match error {
        AccountError::Problem(problem) => *problem,
        AccountError::Auth(AuthError::People(
            error @ (PeopleError::UsernameTaken | PeopleError::EmailTaken),
        )) => error.into_problem(),
        other => return other.into(),
    };
    let nested =
        |problem: FieldProblem| FieldProblem { field: format!("admin_user.{}", problem.field), ..problem };
    Problem { errors: problem.errors.into_iter().map(nested).collect(), ..problem }.into()
}
