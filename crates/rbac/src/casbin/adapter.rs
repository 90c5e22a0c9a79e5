use std::sync::Arc;

use ::casbin::{Adapter, Filter, Model, error::AdapterError};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use stylobate_core::{AuditEvent, Clock, RequestContext, TenantId};
use stylobate_db::{Db, Scope, Tx};

use super::{CasbinInvalid, CasbinProblem, CasbinRules, rules::is_value};
use crate::{
    RbacError,
    store::{casbin_rules as store, epochs},
};

/// casbin's own [`Adapter`] on a database: the rules of one tenant (or of the platform) in the table `casbin_rules`.
///
/// It acts for the tenant of the context's principal, and PostgreSQL holds it to that by row-level security. Every change is one
/// transaction with an audit event; who may make it is for the caller to decide. The rows are beside the native roles and say
/// nothing to them: [`CasbinImport`](crate::CasbinImport) and [`CasbinExport`](crate::CasbinExport) are the bridge. Rows that are no
/// rules are left out and logged, unless they deny: then loading fails.
///
/// ```no_run
/// # async fn example(db: stylobate_db::Db, context: stylobate_core::RequestContext) -> casbin::Result<()> {
/// use std::sync::Arc;
/// use casbin::{CoreApi as _, DefaultModel, Enforcer, MgmtApi as _};
/// use stylobate_core::SystemClock;
/// use stylobate_rbac::{CasbinAdapter, CasbinModel};
///
/// let model = DefaultModel::from_str(CasbinModel::RBAC_WITH_DOMAINS).await?;
/// let adapter = CasbinAdapter::new(db, Arc::new(SystemClock), context);
/// let mut enforcer = Enforcer::new(model, adapter).await?;
/// enforcer.add_policy(["role:lead", "t1", "*", "user.*", "allow"].map(str::to_owned).into()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CasbinAdapter {
    db: Db,
    clock: Arc<dyn Clock>,
    context: RequestContext,
    is_filtered: bool,
}

/// What a change of rules does.
enum Change {
    /// Adds all of them, or none if one of them is there.
    Add(Vec<Row>),
    /// Removes all of them, or none if one of them is missing.
    Remove(Vec<Row>),
    /// Removes those of a kind that have these values from a place on; an empty value is any.
    RemoveWhere(String, usize, Vec<String>),
    /// Puts these in the place of all.
    Replace(Vec<Row>),
}

/// A kind and its values.
type Row = Vec<String>;

impl CasbinAdapter {
    /// The most values that a row of the table holds, as in casbin's other adapters.
    pub const VALUES_MAX: usize = 6;

    /// An adapter for the rules of the tenant of `context`'s principal, which its changes are also audited with.
    #[must_use]
    pub fn new(db: Db, clock: Arc<dyn Clock>, context: RequestContext) -> Self {
        Self { db, clock, context, is_filtered: false }
    }

    /// The rules, without an enforcer: for [`CasbinAuthorizer`](crate::CasbinAuthorizer) and for export.
    ///
    /// # Errors
    /// The database's. Inside is what [`CasbinRules::from_rows`] says.
    pub async fn rules(&self) -> Result<Result<(CasbinRules, Vec<CasbinProblem>), CasbinInvalid>, RbacError> {
        Ok(CasbinRules::from_rows(self.rows().await?))
    }

    /// Puts `rules` in the place of all that are there, at once.
    ///
    /// # Errors
    /// [`RbacError::Invalid`] for a rule of more than six values, the database's.
    pub async fn replace(&self, rules: &CasbinRules) -> Result<(), RbacError> {
        self.change(Change::Replace(rules.rows().collect())).await?;
        Ok(())
    }

    fn owner(&self) -> Option<TenantId> {
        self.context.principal.tenant
    }

    fn scope(&self) -> Scope {
        self.owner().map_or(Scope::Platform("rules of the platform's casbin policy"), Scope::Tenant)
    }

    async fn rows(&self) -> Result<Vec<Row>, RbacError> {
        let mut tx = self.db.begin_read(self.scope()).await?;
        let rows = store::all(&mut tx, self.owner()).await?;
        tx.rollback().await?;
        Ok(rows)
    }

    /// Whether anything was changed.
    async fn change(&self, change: Change) -> Result<bool, RbacError> {
        let rows = match &change {
            Change::Add(rows) | Change::Remove(rows) | Change::Replace(rows) => rows.as_slice(),
            Change::RemoveWhere(..) => &[],
        };
        rows.iter().try_for_each(checked)?;
        let (owner, context, now) = (self.owner(), self.context.clone(), self.clock.now());
        let change = Arc::new(change);
        self.db
            .transact(self.scope(), async move |tx: &mut Tx| {
                let done = apply(tx, owner, &change, now).await?;
                if done > 0 {
                    let event = AuditEvent::new(&context, "rbac.casbin_rules.changed", "casbin_rules")
                        .in_tenant(owner);
                    tx.audit(event.change(None::<&()>, Some(&serde_json::json!({ "rules": done }))));
                }
                Ok(done > 0)
            })
            .await
    }
}

async fn apply(
    tx: &mut Tx,
    owner: Option<TenantId>,
    change: &Change,
    now: DateTime<Utc>,
) -> Result<u64, RbacError> {
    // Whoever changes the rules waits for the one before: what is asked for below stays so until the commit.
    epochs::lock(tx, owner, now).await?;
    match change {
        Change::Add(rows) => {
            for row in rows {
                if store::has(tx, owner, row).await? {
                    return Ok(0);
                }
            }
            store::append(tx, owner, rows, now).await
        }
        Change::Remove(rows) => {
            for row in rows {
                if !store::has(tx, owner, row).await? {
                    return Ok(0);
                }
            }
            let mut removed = 0;
            for row in rows {
                removed += store::remove(tx, owner, row).await?;
            }
            Ok(removed)
        }
        Change::RemoveWhere(kind, from, values) => {
            let matches = |row: &Row| {
                row.first() == Some(kind)
                    && values
                        .iter()
                        .zip(from + 1..)
                        .all(|(value, place)| value.is_empty() || row.get(place) == Some(value))
            };
            let mut removed = 0;
            for row in store::all(tx, owner).await?.iter().filter(|row| matches(row)) {
                removed += store::remove(tx, owner, row).await?;
            }
            Ok(removed)
        }
        Change::Replace(rows) => {
            let removed = store::clear(tx, owner).await?;
            Ok(removed + store::append(tx, owner, rows, now).await?)
        }
    }
}

fn checked(row: &Row) -> Result<(), RbacError> {
    let invalid = |code, message| RbacError::Invalid { field: "rule", code, message };
    if row.len() > CasbinAdapter::VALUES_MAX + 1 {
        return Err(invalid("too_long", "has more than six values"));
    }
    let is_kind = row.first().is_some_and(|kind| matches!(kind.as_str(), "p" | "g"));
    if is_kind && row.len() > 1 && row.iter().all(|value| is_value(value)) {
        return Ok(());
    }
    Err(invalid("invalid", "is not `p` or `g` with values of printable ASCII without quotation marks"))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ::casbin::Error {
    AdapterError(Box::new(error)).into()
}

fn with_kind(kind: &str, rule: Vec<String>) -> Row {
    std::iter::once(kind.to_owned()).chain(rule).collect()
}

impl CasbinAdapter {
    async fn load(&self, model: &mut dyn Model, wanted: impl Fn(&Row) -> bool) -> ::casbin::Result<bool> {
        let rows = self.rows().await.map_err(failed)?;
        let (rules, problems) = CasbinRules::from_rows(rows).map_err(failed)?;
        if let Some(first) = problems.first() {
            let (tenant, count) = (self.owner().map(|id| id.to_string()), problems.len());
            tracing::warn!(tenant, count, ?first, "rows of the casbin policy make no sense and give nothing");
        }
        let (mut left_out, mut taken) = (false, Vec::new());
        for row in rules.rows() {
            if wanted(&row) { taken.push(row) } else { left_out = true }
        }
        for mut row in taken {
            let kind = row.remove(0);
            model.add_policy(&kind, &kind, row);
        }
        Ok(left_out)
    }
}

#[async_trait]
impl Adapter for CasbinAdapter {
    async fn load_policy(&mut self, model: &mut dyn Model) -> ::casbin::Result<()> {
        self.load(model, |_| true).await?;
        self.is_filtered = false;
        Ok(())
    }

    async fn load_filtered_policy<'a>(
        &mut self,
        model: &mut dyn Model,
        filter: Filter<'a>,
    ) -> ::casbin::Result<()> {
        let wanted = |row: &Row| {
            let values = if row.first().is_some_and(|kind| kind == "g") { &filter.g } else { &filter.p };
            values
                .iter()
                .zip(1_usize..)
                .all(|(value, place)| value.is_empty() || row.get(place).is_some_and(|own| own == value))
        };
        self.is_filtered = self.load(model, wanted).await?;
        Ok(())
    }

    async fn save_policy(&mut self, model: &mut dyn Model) -> ::casbin::Result<()> {
        let mut rows = Vec::new();
        for kind in ["p", "g"] {
            rows.extend(model.get_policy(kind, kind).into_iter().map(|rule| with_kind(kind, rule)));
        }
        self.change(Change::Replace(rows)).await.map_err(failed)?;
        Ok(())
    }

    async fn clear_policy(&mut self) -> ::casbin::Result<()> {
        self.change(Change::Replace(Vec::new())).await.map_err(failed)?;
        self.is_filtered = false;
        Ok(())
    }

    fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    async fn add_policy(&mut self, _: &str, ptype: &str, rule: Vec<String>) -> ::casbin::Result<bool> {
        self.change(Change::Add(vec![with_kind(ptype, rule)])).await.map_err(failed)
    }

    async fn add_policies(
        &mut self,
        _: &str,
        ptype: &str,
        rules: Vec<Vec<String>>,
    ) -> ::casbin::Result<bool> {
        let rows = rules.into_iter().map(|rule| with_kind(ptype, rule)).collect();
        self.change(Change::Add(rows)).await.map_err(failed)
    }

    async fn remove_policy(&mut self, _: &str, ptype: &str, rule: Vec<String>) -> ::casbin::Result<bool> {
        self.change(Change::Remove(vec![with_kind(ptype, rule)])).await.map_err(failed)
    }

    async fn remove_policies(
        &mut self,
        _: &str,
        ptype: &str,
        rules: Vec<Vec<String>>,
    ) -> ::casbin::Result<bool> {
        let rows = rules.into_iter().map(|rule| with_kind(ptype, rule)).collect();
        self.change(Change::Remove(rows)).await.map_err(failed)
    }

    async fn remove_filtered_policy(
        &mut self,
        _: &str,
        ptype: &str,
        field_index: usize,
        field_values: Vec<String>,
    ) -> ::casbin::Result<bool> {
        // All of them empty would be everything; casbin's own adapters disagree on what that means.
        if field_values.iter().all(String::is_empty) {
            return Ok(false);
        }
        self.change(Change::RemoveWhere(ptype.to_owned(), field_index, field_values)).await.map_err(failed)
    }
}
