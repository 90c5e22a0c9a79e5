//! The rules about one subject and one permission as a filter of lists.

use std::{collections::BTreeMap, ops::ControlFlow};

use stylobate_core::{Principal, Subject};

use super::{Case, Engine};
use crate::{
    Assignee, Condition, Effect, FilterExpr, ListFilter, Question,
    condition::Circumstances,
    snapshot::{Asked, Snapshot, Things},
};

impl Engine {
    /// On which things of a list `principal` may use `permission`, now: for the `WHERE` of a listing, so that pages are
    /// full and counts right. Conditions on the time and on the principal are decided here.
    ///
    /// A thing it lets through is one that [`check_on`](crate::Authorizer::check_on) allows, and the other way round, when
    /// the thing's owner and attributes are the columns that it is asked about.
    #[must_use]
    pub fn list_filter(&self, principal: &Principal, permission: &str) -> ListFilter {
        if principal.subject == Subject::Anonymous {
            return ListFilter::Nothing;
        }
        let loaded = self.loaded(principal.tenant);
        let case = Case::new(self, Question::new(principal, permission), loaded.tenant(), loaded.platform());
        let all = case.asked();
        if all.is_empty() {
            return ListFilter::Nothing;
        }
        ListFilter::new(FilterExpr::all(all.into_iter().map(|asked| case.filter(asked))))
    }
}

/// What the rules of one policy say about lists.
#[derive(Default)]
struct ListRules {
    allowed: Vec<FilterExpr>,
    denied: Vec<FilterExpr>,
}

impl Case<'_> {
    fn filter(&self, asked: Asked<'_>) -> FilterExpr {
        if !self.is_in_scope(asked) {
            return FilterExpr::FALSE;
        }
        if self.question.principal.subject == Subject::System {
            return FilterExpr::TRUE;
        }
        let Some(asker) = Assignee::of(&self.question.principal.subject) else { return FilterExpr::FALSE };
        if self.snapshots().any(|snapshot| snapshot.is_inactive(asked)) {
            return FilterExpr::FALSE;
        }
        let said = |snapshot: Option<&Snapshot>| {
            snapshot.map(|one| self.said(one, asker, asked)).unwrap_or_default()
        };
        let (tenant, platform) = (said(self.tenant), said(self.platform));
        let not_denied = |denied| FilterExpr::any(denied).negate();
        let by_tenant = FilterExpr::all([not_denied(tenant.denied), FilterExpr::any(tenant.allowed)]);
        let allowed = FilterExpr::any(platform.allowed.into_iter().chain([by_tenant]));
        FilterExpr::all([not_denied(platform.denied), allowed])
    }

    fn said(&self, snapshot: &Snapshot, asker: Assignee, asked: Asked<'_>) -> ListRules {
        let of = self.circumstances(asker);
        let mut said = ListRules::default();
        // The ids of each kind with a list: those without further condition, by effect.
        let mut ids: BTreeMap<(bool, &str), Vec<Box<str>>> = BTreeMap::new();
        let _ = snapshot.visit(asker, asked, Things::Every, |rule| {
            if rule.is_over(&of.now) {
                return ControlFlow::Continue(());
            }
            let condition = rule.condition.map(|condition| expr(condition, &of));
            let denies = rule.effect == Effect::Deny;
            let expr = match (rule.resource, condition) {
                (Some((kind, id)), None) => {
                    ids.entry((denies, kind)).or_default().push(id.into());
                    return ControlFlow::Continue(());
                }
                (Some((kind, id)), Some(condition)) => {
                    let this = FilterExpr::Ids { kind: kind.into(), ids: vec![id.into()] };
                    FilterExpr::all([this, condition])
                }
                (None, condition) => condition.unwrap_or(FilterExpr::TRUE),
            };
            if denies {
                said.denied.push(expr)
            } else {
                said.allowed.push(expr)
            }
            ControlFlow::Continue(())
        });
        for ((denies, kind), mut ids) in ids {
            ids.sort_unstable();
            ids.dedup();
            let expr = FilterExpr::Ids { kind: kind.into(), ids };
            if denies { said.denied.push(expr) } else { said.allowed.push(expr) }
        }
        said
    }
}

fn expr<N: Fn() -> chrono::DateTime<chrono::Utc>>(
    condition: &Condition,
    of: &Circumstances<'_, N>,
) -> FilterExpr {
    match condition {
        Condition::Owner {} => FilterExpr::OwnedBy(of.asker),
        Condition::Attribute { name, equals } => {
            FilterExpr::Attribute { name: name.clone(), equals: equals.clone() }
        }
        Condition::All(parts) => FilterExpr::all(parts.iter().map(|part| expr(part, of))),
        Condition::Any(parts) => FilterExpr::any(parts.iter().map(|part| expr(part, of))),
        // About the asker and the time, so decided here.
        Condition::TimeWindow { .. } | Condition::Assurance { .. } | Condition::Unreadable => {
            match condition.holds(of) {
                Some(true) => FilterExpr::TRUE,
                Some(false) => FilterExpr::FALSE,
                None => FilterExpr::Unknown,
            }
        }
    }
}
