//! What can be done with organisations: each is one transaction over what several crates keep of them.

use std::{error::Error as StdError, sync::Arc};

use stylobate::{
    Platform,
    auth::Auth,
    core::{Direction, Page, PageLimit, Problem, RequestContext, TenantId},
    db::{Db, Scope, Tx},
    middleware::{ApiResult, problem_for},
    rbac::{Rbac, RbacError},
    tenancy::{self, MembershipStatus, Org, OrgChange, OrgCode, OrgFilter, Tenancy, TenancyMode},
};

use super::{
    model::OrgDraft,
    target::{OrgTarget, given_by_platform},
    told::tell_org,
};
use crate::{
    caller,
    refused::{Refused, field},
};

/// What lets somebody see their organisation.
pub(super) const READ: &str = "org.read";
/// What lets somebody act on any organisation.
pub(crate) const ANY_ORGANISATION: &str = "platform.organizations.manage";
/// How many codes are tried in a row before any number is taken.
const CODES_IN_ORDER: u32 = 10;

/// The organisations of the installation.
#[derive(Clone)]
pub(crate) struct Orgs {
    pub(super) db: Db,
    pub(super) auth: Auth,
    pub(super) rbac: Rbac,
    pub(super) tenancy: Arc<Tenancy>,
    /// Whether there may be more than the default one.
    is_multi: bool,
}

/// What a list of organisations asks for.
pub(super) struct ListRequest {
    pub(super) filter: OrgFilter,
    pub(super) direction: Direction,
    pub(super) limit: PageLimit,
    pub(super) cursor: Option<String>,
    pub(super) with_total: bool,
}

impl Orgs {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self {
            db: platform.db().clone(),
            auth: platform.auth().clone(),
            rbac: platform.rbac().clone(),
            tenancy: Arc::clone(platform.tenancy()),
            is_multi: platform.tenancy_mode() == TenancyMode::Multi,
        }
    }

    /// The organisation `id`, for a caller who has `key` already.
    pub(super) async fn target(
        &self,
        context: &RequestContext,
        id: TenantId,
        key: &str,
    ) -> ApiResult<OrgTarget> {
        OrgTarget::find(&self.rbac, &self.tenancy, &self.db, context, id, key, ANY_ORGANISATION).await
    }

    /// Makes an organisation in which nobody is yet.
    pub(super) async fn create(&self, context: &RequestContext, draft: OrgDraft) -> Result<Org, Refused> {
        self.require_room()?;
        // Who of the platform makes it is not for its trail.
        let context = RequestContext { is_for_platform: true, ..caller::of_platform(context) };
        let this = self.clone();
        let create = async move |tx: &mut Tx| this.create_in(tx, &context, &draft).await;
        let org = self.db.transact(Scope::Platform("create an organisation"), create).await?;
        self.serve(org.id).await;
        Ok(org)
    }

    /// Refuses a second organisation where there is to be one.
    pub(super) fn require_room(&self) -> Result<(), Refused> {
        if self.is_multi {
            return Ok(());
        }
        let detail = "This installation has one organisation (TENANCY_MODE=single).";
        Err(problem_for("single_tenant").detail(detail).into())
    }

    /// The same with its roles, inside a transaction of platform scope. Have it [served](Self::serve) after the commit.
    pub(super) async fn create_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        draft: &OrgDraft,
    ) -> Result<Org, Refused> {
        let org = match &draft.code {
            Some(code) => self.tenancy.create_org(tx, context, &draft.with_code(code.clone())).await?,
            None => self.create_named(tx, context, draft).await?,
        };
        self.rbac.seed_in(tx, context, Some(org.id)).await?;
        let org = match draft.is_active {
            true => org,
            false => self.tenancy.deactivate_org(tx, context, org.id).await?.0,
        };
        tell_org(tx, context, "organization.created", &org);
        Ok(org)
    }

    /// With a code made of the name, and a number behind it when somebody has that.
    async fn create_named(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        draft: &OrgDraft,
    ) -> Result<Org, Refused> {
        let base = OrgCode::from_name(&draft.name);
        // Names without a letter of ASCII all begin alike: whoever comes late does not look through all of them.
        let (_, random) = TenantId::new(self.tenancy.clock().now()).as_uuid().as_u64_pair();
        let any = u32::try_from(random & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        for suffix in (1..=CODES_IN_ORDER).chain([any]) {
            let code = if suffix == 1 { base.clone() } else { base.with_suffix(suffix) };
            match self.tenancy.create_org(tx, context, &draft.with_code(code)).await {
                Err(tenancy::Error::CodeTaken) => {}
                answer => return Ok(answer?),
            }
        }
        Err(tenancy::Error::CodeTaken.into())
    }

    /// Loads the policy of a new organisation, so that its first request does not wait for that.
    pub(super) async fn serve(&self, tenant: TenantId) {
        if let Err(error) = self.rbac.ensure(Some(tenant)).await {
            let error: &dyn StdError = &error;
            tracing::warn!(error, "the access policy of a new organisation could not be loaded yet");
        }
    }

    // A12
    /// All organisations, for the platform; for everybody else the one that the credential is of, and for a person who signed in also
    /// those of their others that they may read there: what they may do in one opens none to them. Who holds somebody's key, and perhaps
    /// made it for them, or acts in their name, learns nothing of their other organisations.
    pub(super) async fn list(
        &self,
        context: &RequestContext,
        request: ListRequest,
    ) -> Result<Page<Org>, Refused> {
        let keyset = Tenancy::orgs_keyset(request.direction, request.limit, request.cursor.as_deref())
            .map_err(|_| field("cursor", "does not belong to this list"))?;
        let mut filter = request.filter;
        let mut tx = self.db.begin_read(Scope::Platform("list organisations")).await?;
        if !given_by_platform(&self.rbac, context, [READ, ANY_ORGANISATION]) {
            filter.ids = Some(self.readable(&mut tx, context).await?);
        }
        let mut page = self.tenancy.list_orgs(&mut tx, &filter, &keyset).await?;
        if request.with_total {
            page.total = Some(self.tenancy.count_orgs(&mut tx, &filter).await?);
        }
        tx.rollback().await?;
        Ok(page)
    }

    /// The organisations that the caller, who may read their own, may read by themselves.
    async fn readable(&self, tx: &mut Tx, context: &RequestContext) -> Result<Vec<TenantId>, Refused> {
        let principal = &context.principal;
        let mut readable: Vec<TenantId> = principal.tenant.into_iter().collect();
        let is_own = principal.is_person_unscoped() && principal.impersonator.is_none();
        let Some(person) = principal.person_id().filter(|_| is_own) else { return Ok(readable) };
        for membership in self.tenancy.memberships_of(tx, person).await? {
            let there = membership.tenant_id;
            if membership.status != MembershipStatus::Active || principal.tenant == Some(there) {
                continue;
            }
            // By its rows: where nobody is at work, no policy is loaded for a list.
            match self.rbac.require_held(tx, context, there, READ).await {
                Ok(()) => readable.push(there),
                Err(RbacError::BeyondOwn) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(readable)
    }

    pub(super) async fn find(&self, target: &OrgTarget) -> Result<Org, Refused> {
        let mut reader = self.db.read().await?;
        let found = self.tenancy.find_org(&mut reader, target.tenant).await?;
        found.ok_or_else(|| Problem::not_found().into())
    }

    /// Changes an organisation, and whether anybody `may_act` in it.
    pub(super) async fn change(
        &self,
        target: &OrgTarget,
        change: OrgChange,
        may_act: Option<bool>,
    ) -> Result<Org, Refused> {
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let change = async move |tx: &mut Tx| {
            if may_act == Some(false) {
                this.rbac.lock_policy(tx, None).await?;
            }
            let (org, is_changed) = this.tenancy.update_org(tx, &context, tenant, &change).await?;
            if is_changed {
                tell_org(tx, &context, "organization.updated", &org);
            }
            match may_act {
                None => Ok(org),
                Some(true) => this.activate_in(tx, &context, tenant).await,
                Some(false) => this.deactivate_in(tx, &context, tenant).await,
            }
        };
        self.db.transact(Scope::Platform("change an organisation"), change).await
    }

    /// Ends all that anybody does in an organisation; its rows stay. One that is inactive stays so.
    pub(super) async fn deactivate(&self, target: &OrgTarget) -> Result<Org, Refused> {
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let deactivate = async move |tx: &mut Tx| this.deactivate_in(tx, &context, tenant).await;
        self.db.transact(Scope::Platform("deactivate an organisation"), deactivate).await
    }

    /// Lets people in again. What had ended stays so.
    pub(super) async fn activate(&self, target: &OrgTarget) -> Result<Org, Refused> {
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let activate = async move |tx: &mut Tx| this.activate_in(tx, &context, tenant).await;
        self.db.transact(Scope::Platform("activate an organisation"), activate).await
    }

    async fn deactivate_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
    ) -> Result<Org, Refused> {
        // The policy, then the organisation's row, which whoever begins something in it holds, then what was issued for it.
        let had = self.rbac.has_super_administrator(tx).await?;
        let (org, was_active) = self.tenancy.deactivate_org(tx, context, tenant).await?;
        if was_active {
            self.rbac.require_super_administrator_kept(tx, had).await?;
            self.auth.end_tenant(tx, context, tenant).await?;
            tell_org(tx, context, "organization.deactivated", &org);
        }
        Ok(org)
    }

    async fn activate_in(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        tenant: TenantId,
    ) -> Result<Org, Refused> {
        let (org, was_inactive) = self.tenancy.activate_org(tx, context, tenant).await?;
        if was_inactive {
            self.auth.resume_tenant(tx, context, tenant).await?;
            tell_org(tx, context, "organization.activated", &org);
        }
        Ok(org)
    }
}
