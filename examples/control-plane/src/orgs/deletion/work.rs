//! The job that removes an organisation.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    Handles, MESSAGE_QUEUE, REQUEST_TIMEOUT,
    auth::{Auth, ServiceAccountQuery},
    core::{AuditEvent, PersonId, RequestContext, ServiceId, TenantId},
    db::{Db, Scope, Tx},
    events::Events,
    jobs::{Attempt, Backoff, Failed, Job, Jobs, Unique},
    middleware::ApiError,
    notify::Notifier,
    rbac::Rbac,
    tenancy::{Org, Tenancy},
};

use super::{left, own, progress};
use crate::{orgs::told, people::People, refused::Refused};

/// How many rows of a kind one transaction removes: few enough that nobody waits long for the writer.
const STEP: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
const SCOPE: Scope = Scope::Platform("remove an organisation");
/// How long a request may still be under way that was let in before the organisation was closed: all processes know within a
/// second.
const REQUESTS_END: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(1));
/// Tables that empty by themselves once everybody has heard what the organisation has told.
const TOLD: [&str; 3] = ["event_aggregates", "event_dead_letters", "events"];

/// Removes everything that there is of an organisation whose removal was asked for, but for its audit trail.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteOrg {
    organization_id: TenantId,
}

impl DeleteOrg {
    pub(super) fn of(organization: TenantId) -> Self {
        Self { organization_id: organization }
    }
}

/// What was removed since it was asked for, by whatever jobs. As the result it says all: nothing was left when that was written, which
/// is counted in the same transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Accounts of people who belonged to no other organisation.
    pub(super) people: u64,
    /// People who belong to another one, or to the platform, and keep their account.
    pub(super) left: u64,
    /// Rows beside those.
    pub(super) rows: u64,
}

/// What the job works with.
#[derive(Clone)]
pub(crate) struct OrgRemoval {
    db: Db,
    auth: Auth,
    rbac: Rbac,
    tenancy: Arc<Tenancy>,
    jobs: Jobs,
    events: Events,
    notifier: Notifier,
    people: People,
    /// How long after the beginning somebody may still add rows.
    settled_after: Duration,
}

impl OrgRemoval {
    pub(crate) fn new(handles: &Handles<'_>) -> Self {
        let Handles { settings, db, auth, rbac, tenancy, jobs, events, notifier, .. } = *handles;
        let people =
            People::new(db.clone(), auth.clone(), rbac.clone(), Arc::clone(tenancy), notifier.clone());
        Self {
            db: db.clone(),
            auth: auth.clone(),
            rbac: rbac.clone(),
            tenancy: Arc::clone(tenancy),
            jobs: jobs.clone(),
            events: events.clone(),
            notifier: notifier.clone(),
            people,
            // A worker stops within a lease whose job was taken from it.
            settled_after: REQUESTS_END.max(settings.job_lease),
        }
    }
}

/// Kinds of rows, in the order in which they go: who may act first, what decisions are made by after those that they are made
/// about, what was told after the removals that tell something, and what carries messages after the messages.
#[derive(Debug, Clone, Copy)]
enum Part {
    Auth,
    Jobs,
    Messages,
    Own,
    Tenancy,
    Rbac,
    Events,
    JobsOfMessages,
}

const PARTS: [Part; 8] = [
    Part::Auth,
    Part::Jobs,
    Part::Messages,
    Part::Own,
    Part::Tenancy,
    Part::Rbac,
    Part::Events,
    Part::JobsOfMessages,
];

impl Job for DeleteOrg {
    const NAME: &'static str = "orgs.delete";
    const QUEUE: &'static str = "maintenance";
    const TIMEOUT: Duration = Duration::from_secs(30 * 60);
    // Mail servers and brokers are away for a day, and then something is left for so long.
    const ATTEMPTS_MAX: u16 = 1_000;
    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(300) };

    type State = OrgRemoval;
    type Output = Removed;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live(self.organization_id.to_string()))
    }

    async fn run(self, attempt: Attempt, removal: OrgRemoval) -> Result<Removed, Failed> {
        let (org, began_at) = removal.begun(self.organization_id).await?;
        removal.remove_people(&attempt, org.id).await?;
        removal.remove_services(&attempt, org.id).await?;
        for part in PARTS {
            removal.remove(&attempt, org.id, part).await?;
        }
        removal.require_settled(&attempt, began_at)?;
        removal.tell(&attempt, &org).await?;
        removal.remove(&attempt, org.id, Part::Events).await?;
        removal.finish(&attempt, &org).await
    }
}

impl OrgRemoval {
    // A12
    /// The organisation, and when its removal began. Only what the platform has asked for by its route is removed: a schedule or an
    /// edited job decides nothing, and does not tell whether there is such an organisation.
    async fn begun(&self, tenant: TenantId) -> Result<(Org, DateTime<Utc>), Failed> {
        let mut reader = self.db.read().await?;
        let org = self.tenancy.find_org(&mut reader, tenant).await?;
        if let Some(org) = org
            && let Some(began_at) = org.removal_began_at
        {
            return Ok((org, began_at));
        }
        Err(Failed::discard("nobody has asked for the removal of such an organisation"))
    }

    /// Whoever was let in before the organisation was closed adds nothing any more: what they added is swept up by then.
    fn require_settled(&self, attempt: &Attempt, began_at: DateTime<Utc>) -> Result<(), Failed> {
        let passed = attempt.clock().now().signed_duration_since(began_at).max(TimeDelta::zero());
        let left = self.settled_after.saturating_sub(passed.to_std().unwrap_or_default());
        if left.is_zero() {
            return Ok(());
        }
        Err(Failed::retry_after(left, "somebody may still be at work who was let in before"))
    }

    /// Removes the accounts of people who belong to no other organisation, and the memberships of the others.
    async fn remove_people(&self, attempt: &Attempt, tenant: TenantId) -> Result<(), Failed> {
        loop {
            let members = self.people.members_of(tenant, STEP.get()).await.map_err(failed)?;
            if members.is_empty() {
                return Ok(());
            }
            for person in members {
                go_on(attempt)?;
                self.remove_person(attempt, tenant, person).await?;
            }
        }
    }

    async fn remove_person(
        &self,
        attempt: &Attempt,
        tenant: TenantId,
        person: PersonId,
    ) -> Result<(), Failed> {
        let (this, attempt, context) = (self.clone(), attempt.clone(), context(attempt));
        let remove = async move |tx: &mut Tx| {
            let mut removed = Removed::default();
            if this.people.end_with_organisation(tx, &context, tenant, person).await? {
                // Whoever hears of it later does it by a job of the organisation, which goes with that.
                this.notifier.forget_person(tx, person).await?;
                removed.people = 1;
            } else {
                removed.left = 1;
            }
            note(tx, &attempt, tenant, removed).await
        };
        self.db.transact(SCOPE, remove).await.map_err(failed)
    }

    /// Removes service accounts one by one, with what they have on the platform.
    async fn remove_services(&self, attempt: &Attempt, tenant: TenantId) -> Result<(), Failed> {
        loop {
            let page = self.auth.service_accounts().list(tenant, &ServiceAccountQuery::default()).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            for service in page.items {
                go_on(attempt)?;
                self.remove_service(attempt, tenant, service.id).await?;
            }
        }
    }

    async fn remove_service(
        &self,
        attempt: &Attempt,
        tenant: TenantId,
        service: ServiceId,
    ) -> Result<(), Failed> {
        let (this, attempt, context) = (self.clone(), attempt.clone(), context(attempt));
        let remove = async move |tx: &mut Tx| {
            // First, so that nobody gives it a role meanwhile.
            this.rbac.remove_subject_everywhere(tx, &context, service, &[tenant]).await?;
            this.auth.service_accounts().delete(tx, &context, (tenant, service)).await?;
            note(tx, &attempt, tenant, Removed { rows: 1, ..Removed::default() }).await
        };
        self.db.transact(SCOPE, remove).await.map_err(failed)
    }

    /// Removes all rows of a kind, some at a time.
    async fn remove(&self, attempt: &Attempt, tenant: TenantId, part: Part) -> Result<(), Failed> {
        loop {
            go_on(attempt)?;
            let (this, step) = (self.clone(), attempt.clone());
            let remove = async move |tx: &mut Tx| {
                let rows = this.remove_some(tx, tenant, part).await?;
                if rows > 0 {
                    note(tx, &step, tenant, Removed { rows, ..Removed::default() }).await?;
                }
                Ok::<_, Refused>(rows)
            };
            if self.db.transact(SCOPE, remove).await.map_err(failed)? == 0 {
                return Ok(());
            }
        }
    }

    async fn remove_some(&self, tx: &mut Tx, tenant: TenantId, part: Part) -> Result<u64, Refused> {
        Ok(match part {
            Part::Auth => self.auth.remove_tenant_rows(tx, tenant, STEP).await?,
            // Messages that are under way come to their end first.
            Part::Jobs => self.remove_jobs(tx, tenant, &[MESSAGE_QUEUE]).await?,
            Part::JobsOfMessages => match self.notifier.has_messages(tx, tenant).await? {
                true => 0,
                false => self.remove_jobs(tx, tenant, &[]).await?,
            },
            Part::Messages => {
                let set_up = self.notifier.forget_tenant(tx, tenant, STEP).await?;
                let rest = self.notifier.remove_tenant_rows(tx, tenant, STEP).await;
                set_up + rest?
            }
            Part::Own => own::remove_some(tx, tenant, STEP).await?,
            Part::Tenancy => self.tenancy.remove_tenant_rows(tx, tenant, STEP).await?,
            Part::Rbac => self.rbac.remove_tenant_rows(tx, tenant, STEP).await?,
            Part::Events => self.events.remove_tenant_rows(tx, tenant, STEP).await?,
        })
    }

    async fn remove_jobs(&self, tx: &mut Tx, tenant: TenantId, kept: &[&str]) -> Result<u64, Refused> {
        Ok(self.jobs.remove_tenant_rows(tx, tenant, kept, STEP).await?)
    }

    /// Tells that the organisation is gone, once, when nothing of it is left but what it has told itself. It is an event of the
    /// platform: the organisation's own go with it. The last event of all stays in its table, and this one is later than theirs.
    async fn tell(&self, attempt: &Attempt, org: &Org) -> Result<(), Failed> {
        let (step, org) = (attempt.clone(), org.clone());
        let tell = async move |tx: &mut Tx| {
            let mut left = left::count(tx, org.id).await?;
            left.retain(|table, _| !TOLD.contains(table));
            if left.is_empty() && progress::tell(tx, org.id).await? {
                told::tell_deleted(tx, &context(&step), &org);
            }
            Ok::<_, Refused>(left)
        };
        require_none(&self.db.transact(SCOPE, tell).await.map_err(failed)?)
    }

    /// Removes the organisation itself, when counting finds nothing else of it.
    async fn finish(&self, attempt: &Attempt, org: &Org) -> Result<Removed, Failed> {
        let (this, step, org) = (self.clone(), attempt.clone(), org.clone());
        let finish = async move |tx: &mut Tx| {
            let left = left::count(tx, org.id).await?;
            if !left.is_empty() {
                return Ok((left, Removed::default()));
            }
            let context = context(&step);
            let removed = progress::end(tx, org.id).await?;
            this.tenancy.remove_org(tx, &context, org.id).await?;
            let event = AuditEvent::new(&context, "org.delete", "org").on(org.id).in_tenant(Some(org.id));
            let event = event.with("org_code", org.code.as_str()).with("name", org.name.as_str());
            let event = event.with("people_removed", removed.people).with("people_left", removed.left);
            tx.audit_instead(event.with("rows_removed", removed.rows).with("rows_left", 0));
            step.complete_in(tx, &removed).await?;
            Ok::<_, Refused>((left, removed))
        };
        let (left, removed) = self.db.transact(SCOPE, finish).await.map_err(failed)?;
        require_none(&left)?;
        Ok(removed)
    }
}

/// Refuses what is left: events that somebody has yet to hear, and messages that are under way.
fn require_none(left: &BTreeMap<&'static str, i64>) -> Result<(), Failed> {
    if left.is_empty() {
        return Ok(());
    }
    Err(Failed::retry(format!("not everything has been told yet ({})", left::told(left))))
}

/// Notes what goes in this transaction. The job shows it too, which only a worker that has its lease can write.
async fn note(tx: &mut Tx, attempt: &Attempt, tenant: TenantId, more: Removed) -> Result<(), Refused> {
    let removed = progress::add(tx, tenant, more).await?;
    Ok(attempt.set_checkpoint_in(tx, &removed).await?)
}

/// The platform, acting for none of the organisations.
fn context(attempt: &Attempt) -> RequestContext {
    RequestContext { process: Some("orgs.delete"), ..attempt.context() }
}

/// Between two steps: whoever shuts down, or called the job off, does not wait for the end.
fn go_on(attempt: &Attempt) -> Result<(), Failed> {
    if attempt.should_stop() { Err(Failed::retry("told to stop")) } else { Ok(()) }
}

/// What was refused is tried again: the lists of what removes rows know nothing that stays refused.
fn failed(refused: Refused) -> Failed {
    Failed::retry(ApiError::from(refused))
}
