//! The job that removes an organisation.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use stylobate::{
    Handles,
    auth::Auth,
    core::{AuditEvent, PersonId, RequestContext, TenantId},
    db::{Db, Scope, Tx},
    events::Events,
    jobs::{Attempt, Failed, Job, Jobs, Unique},
    middleware::ApiError,
    notify::Notifier,
    rbac::Rbac,
    tenancy::{self, Tenancy},
};

use super::{left, own};
use crate::{
    orgs::told,
    people::{People, Refused},
};

/// How many rows one transaction removes: few enough that nobody waits long for the writer.
const STEP: u32 = 500;
const SCOPE: Scope = Scope::Platform("remove an organisation");
/// How long what was told has to be heard before it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

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

/// What was removed. Nothing was left when this was written: that is counted in the same transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    /// Accounts of people who belonged to no other organisation.
    people: u64,
    /// People who belong to another one, or to the platform, and keep their account.
    left: u64,
    /// Rows beside those.
    rows: u64,
}

/// How far it is, for the attempt after this one.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Done {
    removed: Removed,
    /// Whether everybody has been told.
    is_told: bool,
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
}

impl OrgRemoval {
    pub(crate) fn new(handles: &Handles<'_>) -> Self {
        let Handles { db, auth, rbac, tenancy, jobs, events, notifier, .. } = *handles;
        let people = People::new(
            db.clone(),
            auth.clone(),
            rbac.clone(),
            Arc::clone(tenancy),
            Arc::new(notifier.clone()),
        );
        Self {
            db: db.clone(),
            auth: auth.clone(),
            rbac: rbac.clone(),
            tenancy: Arc::clone(tenancy),
            jobs: jobs.clone(),
            events: events.clone(),
            notifier: notifier.clone(),
            people,
        }
    }
}

/// Kinds of rows, in the order in which they go: who may act first, what decisions are made by after those that they are made
/// about, what was told last, because the other removals tell something.
#[derive(Debug, Clone, Copy)]
enum Part {
    Auth,
    Jobs,
    Messages,
    Own,
    Tenancy,
    Rbac,
    Events,
}

const PARTS: [Part; 6] = [Part::Auth, Part::Jobs, Part::Messages, Part::Own, Part::Tenancy, Part::Rbac];

impl Job for DeleteOrg {
    const NAME: &'static str = "orgs.delete";
    const QUEUE: &'static str = "maintenance";
    const TIMEOUT: Duration = Duration::from_secs(30 * 60);
    const ATTEMPTS_MAX: u16 = 1_000;

    type State = OrgRemoval;
    type Output = Removed;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live(self.organization_id.to_string()))
    }

    async fn run(self, attempt: Attempt, removal: OrgRemoval) -> Result<Removed, Failed> {
        let tenant = self.organization_id;
        removal.require_begun(tenant).await?;
        let mut done: Done = attempt.checkpoint()?.unwrap_or_default();
        removal.remove_people(&attempt, tenant, &mut done).await?;
        for part in PARTS {
            removal.remove(&attempt, tenant, part, &mut done).await?;
        }
        removal.tell(&attempt, tenant, &mut done).await?;
        removal.remove(&attempt, tenant, Part::Events, &mut done).await?;
        removal.finish(&attempt, tenant, done).await
    }
}

impl OrgRemoval {
    /// Only what the platform has asked for by its route is removed: a schedule or an edited job decides nothing.
    async fn require_begun(&self, tenant: TenantId) -> Result<(), Failed> {
        let mut reader = self.db.read().await?;
        let org = self.tenancy.find_org(&mut reader, tenant).await?;
        match org {
            None => Err(Failed::discard("there is no such organisation")),
            Some(org) if org.removal_began_at.is_none() => {
                Err(Failed::discard("nobody has asked for the removal of this organisation"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Removes the accounts of people who belong to no other organisation, and the memberships of the others.
    async fn remove_people(
        &self,
        attempt: &Attempt,
        tenant: TenantId,
        done: &mut Done,
    ) -> Result<(), Failed> {
        loop {
            let members = self.people.members_of(tenant, STEP).await.map_err(failed)?;
            if members.is_empty() {
                return Ok(());
            }
            for person in members {
                go_on(attempt)?;
                *done = self.remove_person(attempt, tenant, person, *done).await?;
            }
        }
    }

    async fn remove_person(
        &self,
        attempt: &Attempt,
        tenant: TenantId,
        person: PersonId,
        done: Done,
    ) -> Result<Done, Failed> {
        let (people, attempt, context) = (self.people.clone(), attempt.clone(), context(attempt));
        let remove = async move |tx: &mut Tx| {
            let mut done = done;
            match people.end_with_organisation(tx, &context, tenant, person).await? {
                true => done.removed.people += 1,
                false => done.removed.left += 1,
            }
            attempt.set_checkpoint_in(tx, &done).await.map_err(super::refused)?;
            Ok::<_, Refused>(done)
        };
        self.db.transact(SCOPE, remove).await.map_err(failed)
    }

    /// Removes all rows of a kind, some at a time.
    async fn remove(
        &self,
        attempt: &Attempt,
        tenant: TenantId,
        part: Part,
        done: &mut Done,
    ) -> Result<(), Failed> {
        loop {
            go_on(attempt)?;
            let before = *done;
            let (this, step) = (self.clone(), attempt.clone());
            let remove = async move |tx: &mut Tx| {
                let rows = this.remove_some(tx, tenant, part).await?;
                let mut done = before;
                done.removed.rows += rows;
                if rows > 0 {
                    step.set_checkpoint_in(tx, &done).await.map_err(super::refused)?;
                }
                Ok::<_, Refused>((rows, done))
            };
            let (rows, after) = self.db.transact(SCOPE, remove).await.map_err(failed)?;
            *done = after;
            if rows == 0 {
                return Ok(());
            }
        }
    }

    async fn remove_some(&self, tx: &mut Tx, tenant: TenantId, part: Part) -> Result<u64, Refused> {
        Ok(match part {
            Part::Auth => self.auth.remove_tenant_rows(tx, tenant, STEP).await?,
            Part::Jobs => self.jobs.remove_tenant_rows(tx, tenant, STEP).await.map_err(super::refused)?,
            Part::Messages => {
                self.notifier.forget_tenant(tx, tenant).await.map_err(super::unsaid)?;
                self.notifier.remove_tenant_rows(tx, tenant, STEP).await.map_err(super::unsaid)?
            }
            Part::Own => own::remove_some(tx, tenant, STEP).await?,
            Part::Tenancy => self.tenancy.remove_org_rows(tx, tenant, STEP).await?,
            Part::Rbac => self.rbac.remove_tenant_rows(tx, tenant, STEP).await?,
            Part::Events => self.events.remove_tenant_rows(tx, tenant, STEP).await.map_err(super::untold)?,
        })
    }

    /// Tells that the organisation is gone, once. It is an event of the platform: the organisation's own go with it.
    async fn tell(&self, attempt: &Attempt, tenant: TenantId, done: &mut Done) -> Result<(), Failed> {
        if done.is_told {
            return Ok(());
        }
        let (this, step, after) = (self.clone(), attempt.clone(), Done { is_told: true, ..*done });
        let tell = async move |tx: &mut Tx| {
            let org = this.tenancy.find_org(tx, tenant).await?.ok_or(tenancy::Error::OrgNotFound)?;
            told::tell_deleted(tx, &context(&step), &org);
            step.set_checkpoint_in(tx, &after).await.map_err(super::refused)
        };
        self.db.transact(SCOPE, tell).await.map_err(failed)?;
        *done = after;
        Ok(())
    }

    /// Removes the organisation itself, when counting finds nothing else of it.
    async fn finish(&self, attempt: &Attempt, tenant: TenantId, done: Done) -> Result<Removed, Failed> {
        let (this, step, removed) = (self.clone(), attempt.clone(), done.removed);
        let finish = async move |tx: &mut Tx| {
            let left = left::count(tx, tenant).await?;
            if !left.is_empty() {
                return Ok(Some(left));
            }
            let context = context(&step);
            this.tenancy.remove_org(tx, &context, tenant).await?;
            let event = AuditEvent::new(&context, "org.delete", "org").on(tenant).in_tenant(Some(tenant));
            let event = event.with("people_removed", removed.people).with("people_left", removed.left);
            tx.audit_instead(event.with("rows_removed", removed.rows).with("rows_left", 0));
            step.complete_in(tx, &removed).await.map_err(super::refused)?;
            Ok::<_, Refused>(None)
        };
        match self.db.transact(SCOPE, finish).await.map_err(failed)? {
            None => Ok(removed),
            Some(left) => {
                // Events that somebody has yet to hear, and messages that are under way.
                let left: Vec<String> = left.iter().map(|(table, rows)| format!("{table}: {rows}")).collect();
                let message = format!("not everything has been told yet ({})", left.join(", "));
                Err(Failed::retry_after(LOOK_AGAIN, message))
            }
        }
    }
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
