use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use stylobate_core::TenantId;

use super::{
    CasbinInvalid, CasbinModel, CasbinRules,
    enforcer::{Contained, Verdict},
    export::{Lowered, LoweredRule, Origin, assignee_text, domain_text, is_alive, object_text, role_text},
    functions::on_texts,
};
use crate::{Assignee, Catalogue, Condition, Effect, Policy};

/// The model of [`CasbinModel::RBAC_WITH_DOMAINS`] with conditions: a rule names the one that it needs, a request those that
/// hold.
const MODEL: &str = "\
[request_definition]
r = sub, dom, obj, act, facts
[policy_definition]
p = sub, dom, obj, act, eft, needs
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.dom == p.dom && keyMatch(r.act, p.act) && keyMatch(r.obj, p.obj) && holds(r.facts, p.needs) && g(r.sub, p.sub, r.dom)
";

/// One policy (a tenant's or the platform's) in casbin, for the engine in its place.
///
/// Conditions are evaluated here and handed to casbin as facts. Rules and links that end are left out from their end on:
/// casbin gets a new policy at the first question after it.
#[derive(Debug)]
pub(crate) struct Tier {
    model: Result<CasbinModel, CasbinInvalid>,
    domain: String,
    lowered: Lowered,
    /// What the rules need, by the number in their facts.
    conditions: Vec<Condition>,
    loaded: ArcSwap<Loaded>,
    loading: Mutex<()>,
}

#[derive(Debug)]
struct Loaded {
    casbin: Option<Contained>,
    /// Of the rule at each place in casbin.
    rules: Vec<Spoken>,
    /// The first end among the rows that are loaded.
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
struct Spoken {
    origin: Origin,
    condition: Option<usize>,
}

/// What a tier says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Said<'a> {
    Allows(Origin),
    Denies(Origin),
    /// A rule would allow it if this condition held.
    Unmet(&'a Condition),
    Nothing,
    Failed,
}

impl Tier {
    /// Loads the policy of `tenant` (or of the platform). One that casbin cannot take denies everything.
    pub(crate) fn new(
        catalogue: &Catalogue,
        tenant: Option<TenantId>,
        policy: &Policy,
        now: DateTime<Utc>,
    ) -> Self {
        let lowered = Lowered::of(policy, tenant.is_none(), catalogue, &|role| role_text(None, role));
        let mut conditions: Vec<Condition> = Vec::new();
        for rule in &lowered.rules {
            if let Some(condition) = &rule.condition
                && !conditions.contains(condition)
            {
                conditions.push(condition.clone());
            }
        }
        let model = CasbinModel::parse_with(MODEL, Some("holds"));
        let empty = Loaded { casbin: None, rules: Vec::new(), until: None };
        let tier = Self {
            model,
            domain: domain_text(tenant),
            lowered,
            conditions,
            loaded: ArcSwap::from_pointee(empty),
            loading: Mutex::new(()),
        };
        tier.loaded.store(Arc::new(tier.load(now)));
        tier
    }

    fn load(&self, now: DateTime<Utc>) -> Loaded {
        match self.try_load(now) {
            Ok(loaded) => loaded,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "casbin does not take the policy; everything is denied");
                Loaded { casbin: None, rules: Vec::new(), until: None }
            }
        }
    }

    fn try_load(&self, now: DateTime<Utc>) -> Result<Loaded, CasbinInvalid> {
        let model = self.model.as_ref().map_err(CasbinInvalid::clone)?;
        let mut rules = CasbinRules::default();
        let mut spoken = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for rule in self.lowered.rules.iter().filter(|rule| is_alive(rule.expires_at, now)) {
            let condition = rule
                .condition
                .as_ref()
                .and_then(|wanted| self.conditions.iter().position(|one| one == wanted));
            let values = vec![
                rule.subject.clone(),
                self.domain.clone(),
                rule.object.clone(),
                rule.permission.clone(),
                rule.effect.as_str().to_owned(),
                needs(rule, condition),
            ];
            if seen.insert(values.clone()) {
                rules.push_policy(values);
                spoken.push(Spoken { origin: rule.origin, condition });
            }
        }
        for link in self.lowered.links.iter().filter(|link| is_alive(link.expires_at, now)) {
            rules.push_role(vec![link.from.clone(), link.to.clone(), self.domain.clone()]);
        }
        let (casbin, problems) = Contained::new(
            model,
            &rules,
            Some((
                "holds",
                ::casbin::function_map::OperatorFunction::Arg2(|facts, needs| {
                    on_texts(&facts, &needs, holds)
                }),
            )),
        )?;
        // A rule that was dropped would shift the places of all that follow.
        if let Some(first) = problems.first() {
            return Err(CasbinInvalid::Casbin(format!("rule {}: {:?}", first.rule, first.kind)));
        }
        let ends = self.lowered.rules.iter().map(|rule| rule.expires_at);
        let ends = ends.chain(self.lowered.links.iter().map(|link| link.expires_at)).flatten();
        let until = ends.filter(|at| now < *at).min();
        Ok(Loaded { casbin: Some(casbin), rules: spoken, until })
    }

    /// The policy as it is now.
    fn current(&self, now: &dyn Fn() -> DateTime<Utc>) -> Arc<Loaded> {
        let loaded = self.loaded.load_full();
        let Some(until) = loaded.until else { return loaded };
        if now() < until {
            return loaded;
        }
        // A panic while loading was contained there, so that the lock protects nothing that could be half done.
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.loaded.load_full();
        let now = now();
        if loaded.until.is_none_or(|until| now < until) {
            return loaded;
        }
        let loaded = Arc::new(self.load(now));
        self.loaded.store(Arc::clone(&loaded));
        loaded
    }

    /// What the policy says about `assignee` and the permission with this canonical name. `is_met` tells whether a condition
    /// holds, as far as that is known.
    pub(crate) fn ask(
        &self,
        assignee: Assignee,
        permission: &str,
        resource: Option<(&str, &str)>,
        now: &dyn Fn() -> DateTime<Utc>,
        is_met: &dyn Fn(&Condition) -> Option<bool>,
    ) -> Said<'_> {
        let loaded = self.current(now);
        let Some(casbin) = &loaded.casbin else { return Said::Failed };
        let (subject, object) = (assignee_text(assignee), object_text(resource));
        let mut facts = String::from(" ");
        for (condition, number) in self.conditions.iter().zip(0_usize..) {
            // What is not known lets no rule allow, and every rule deny.
            let known = is_met(condition);
            if known == Some(true) {
                facts.push_str(&format!("allow{number} "));
            }
            if known != Some(false) {
                facts.push_str(&format!("deny{number} "));
            }
        }
        let ask = |facts: &str| casbin.ask_trusted(&[&subject, &self.domain, &object, permission, facts]);
        let origin = |rule: usize| loaded.rules.get(rule).map(|spoken| spoken.origin);
        match ask(&facts) {
            Verdict::Allows(rule) => origin(rule).map_or(Said::Failed, Said::Allows),
            Verdict::Denies(rule) => origin(rule).map_or(Said::Failed, Said::Denies),
            Verdict::Failed => Said::Failed,
            Verdict::Silent if self.conditions.is_empty() => Said::Nothing,
            Verdict::Silent => {
                let all: String =
                    (0..self.conditions.len()).map(|number| format!(" allow{number} ")).collect();
                let Verdict::Allows(rule) = ask(&all) else { return Said::Nothing };
                let condition = loaded.rules.get(rule).and_then(|spoken| spoken.condition);
                condition.and_then(|number| self.conditions.get(number)).map_or(Said::Nothing, Said::Unmet)
            }
        }
    }
}

fn needs(rule: &LoweredRule, condition: Option<usize>) -> String {
    match condition {
        Some(number) => {
            let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
            format!("{effect}{number}")
        }
        None => "nothing".to_owned(),
    }
}

fn holds(facts: &str, needs: &str) -> bool {
    needs == "nothing" || facts.split(' ').any(|fact| fact == needs)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use stylobate_core::{Clock as _, PermissionId, PersonId, RoleId, SystemClock};

    use super::*;
    use crate::{PolicyAssignment, PolicyGrant, PolicyPermission, PolicyRole, default_catalogue};

    fn policy(condition: Option<Condition>, expires_at: Option<DateTime<Utc>>) -> (Policy, Assignee, RoleId) {
        let now = SystemClock.now();
        let (person, role, permission) = (PersonId::new(now), RoleId::new(now), PermissionId::new(now));
        let policy = Policy {
            permissions: vec![PolicyPermission { id: permission, key: "user.*".into(), is_active: true }],
            roles: vec![PolicyRole { id: role, is_active: true }],
            grants: vec![PolicyGrant { condition, ..PolicyGrant::allow(role, permission) }],
            assignments: vec![PolicyAssignment { expires_at, ..PolicyAssignment::new(person, role) }],
            ..Policy::default()
        };
        (policy, person.into(), role)
    }

    #[test]
    fn an_assignment_counts_until_its_end_and_not_at_it() {
        let now = SystemClock.now();
        let end = now + TimeDelta::seconds(10);
        let (policy, person, role) = policy(None, Some(end));
        let tier = Tier::new(&default_catalogue(), None, &policy, now);
        let at = |time: DateTime<Utc>| tier.ask(person, "user.read", None, &|| time, &|_| None);
        assert_eq!(at(now), Said::Allows(Origin::Role(role)));
        assert_eq!(at(end - TimeDelta::microseconds(1)), Said::Allows(Origin::Role(role)));
        assert_eq!(at(end), Said::Nothing);
    }

    #[test]
    fn a_condition_is_a_fact_and_the_one_that_is_missing_is_named() {
        let now = SystemClock.now();
        let (policy, person, role) = policy(Some(Condition::Owner {}), None);
        let tier = Tier::new(&default_catalogue(), None, &policy, now);
        let with = |met: Option<bool>| tier.ask(person, "user.read", None, &|| now, &move |_| met);
        assert_eq!(with(Some(true)), Said::Allows(Origin::Role(role)));
        assert_eq!(with(Some(false)), Said::Unmet(&Condition::Owner {}));
        assert_eq!(with(None), Said::Unmet(&Condition::Owner {}));
        assert_eq!(tier.ask(person, "role.read", None, &|| now, &|_| Some(true)), Said::Nothing);
    }
}
