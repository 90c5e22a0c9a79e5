//! An organisation at a glance, for the operator.

use axum::{Json, extract::State};
use chrono::{Days, NaiveDate};
use serde::Serialize;
use stylobate::{
    auth::{ApiKeyQuery, SessionQuery},
    core::TenantId,
    db::Scope,
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, PathId},
    tenancy::InvitationFilter,
};
use utoipa::ToSchema;

use super::{
    model::OrgView,
    overview_store as store,
    routes::TAG,
    service::{ANY_ORGANISATION, Orgs},
    target::OrgTarget,
};
use crate::refused::Refused;

/// How many days are shown, today among them.
const DAYS: u64 = 14;

/// An organisation, and how much of what it has. No number counts further than 10,000, but those of logins and members.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrgOverview {
    organization: OrgView,
    members: MembersView,
    /// Invitations that somebody can still accept.
    invitations_open: u64,
    /// Its own roles.
    roles: u64,
    groups: u64,
    /// Sessions that are alive.
    sessions_active: u64,
    /// API keys that are switched on and have not ended.
    api_keys: u64,
    /// The last 14 days in UTC, the oldest first.
    logins: Vec<LoginsOfDay>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MembersView {
    active: u64,
    suspended: u64,
}

/// How often somebody signed in on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct LoginsOfDay {
    pub(super) day: NaiveDate,
    pub(super) succeeded: u64,
    /// Of people who were last at work here: a wrong password says of no organisation.
    pub(super) failed: u64,
}

pub(super) fn routes(orgs: &Orgs) -> Routes {
    Routes::new().add(
        Route::get("/admin/orgs/{id}/overview", Permission::Key(ANY_ORGANISATION))
            .or_internal_secret()
            .tag(TAG)
            .summary("An organisation at a glance: members, what is open, and who signed in")
            .returns::<OrgOverview>(200),
        orgs,
        overview,
    )
}

async fn overview(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<Json<OrgOverview>> {
    let target = orgs.target(&context, id, ANY_ORGANISATION).await?;
    Ok(Json(orgs.overview(&target).await?))
}

impl Orgs {
    async fn overview(&self, target: &OrgTarget) -> Result<OrgOverview, Refused> {
        let (tenant, today) = (target.tenant, self.tenancy.clock().now().date_naive());
        let organization = self.find(target).await?.into();
        let first = today.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(today);
        let open = InvitationFilter { is_open: Some(true), ..InvitationFilter::default() };
        let mut tx = self.db.begin_read(Scope::Platform("look at an organisation")).await?;
        let members = self.tenancy.count_members(&mut tx, tenant).await?;
        let invitations_open = self.tenancy.count_invitations(&mut tx, tenant, &open).await?;
        let (roles, groups) = store::count_roles_and_groups(&mut tx, tenant).await?;
        let counted = store::logins(&mut tx, tenant, first).await?;
        tx.rollback().await?;
        let live = SessionQuery { is_live: Some(true), with_total: true, ..SessionQuery::default() };
        let usable = ApiKeyQuery { is_active: Some(true), with_total: true, ..ApiKeyQuery::default() };
        Ok(OrgOverview {
            organization,
            members: MembersView { active: members.active, suspended: members.suspended },
            invitations_open,
            roles,
            groups,
            sessions_active: self.auth.list_sessions_in(tenant, &live).await?.total.unwrap_or_default(),
            api_keys: self.auth.api_keys().list(tenant, &usable).await?.total.unwrap_or_default(),
            logins: every_day(first, &counted),
        })
    }
}

/// Every day from `first` on, also those on which nobody came.
fn every_day(first: NaiveDate, counted: &[LoginsOfDay]) -> Vec<LoginsOfDay> {
    let days = first.iter_days().zip(0..DAYS).map(|(day, _)| day);
    let of = |day| counted.iter().find(|one| one.day == day).copied();
    days.map(|day| of(day).unwrap_or(LoginsOfDay { day, succeeded: 0, failed: 0 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_logins_are_there_as_well() {
        let first = NaiveDate::from_ymd_opt(2026, 2, 20).unwrap();
        let busy = LoginsOfDay { day: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(), succeeded: 3, failed: 1 };
        let days = every_day(first, &[busy]);
        assert_eq!((days.len(), days[0].day, days[9]), (14, first, busy));
        assert_eq!(days[13].day.to_string(), "2026-03-05");
        assert_eq!(days.iter().map(|day| day.succeeded).sum::<u64>(), 3);
    }
}
