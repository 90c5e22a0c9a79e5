use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use stylobate_core::TenantId;

use super::{
    CasbinInvalid, CasbinModel, CasbinRules,
    enforcer::{Contained, Verdict},
    export::{Lowered, assignee_text, domain_text, is_alive, object_text, role_text},
    functions::on_texts,
};
use crate::{
    Assignee, Catalogue, Condition, Effect, Policy,
    snapshot::{Origin, Reach},
};

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
/// Conditions are evaluated here and handed to casbin as facts: one text with a letter per condition, so that a rule finds
/// its own by its place. Rules and links that end are left out from their end on: casbin gets a new policy at the first
/// question after it.
#[derive(Debug)]
pub(crate) struct Tier {
    model: Result<CasbinModel, CasbinInvalid>,
    domain: String,
    lowered: Lowered,
    /// What the rules need, each once, by its place in the facts.
    conditions: Vec<Condition>,
    /// The place of the condition of each rule of `lowered`.
    needed: Vec<Option<usize>>,
    loaded: ArcSwap<LoadedTier>,
    loading: Mutex<()>,
}

#[derive(Debug)]
struct LoadedTier {
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
pub(crate) enum TierAnswer<'a> {
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
        let lowered = Lowered::of(policy, Reach::of(tenant), catalogue, &|role| role_text(None, role));
        let mut conditions: Vec<Condition> = Vec::new();
        let mut places: HashMap<&Condition, usize> = HashMap::new();
        let needed = lowered.rules.iter().map(|rule| {
            let condition = rule.condition.as_ref()?;
            Some(*places.entry(condition).or_insert_with(|| {
                conditions.push(condition.clone());
                conditions.len() - 1
            }))
        });
        let needed = needed.collect();
        let model = CasbinModel::parse_with(MODEL, Some("holds"));
        let empty = LoadedTier { casbin: None, rules: Vec::new(), until: None };
        let tier = Self {
            model,
            domain: domain_text(tenant),
            lowered,
            conditions,
            needed,
            loaded: ArcSwap::from_pointee(empty),
            loading: Mutex::new(()),
        };
        tier.loaded.store(Arc::new(tier.load(now)));
        tier
    }

    fn load(&self, now: DateTime<Utc>) -> LoadedTier {
        match self.try_load(now) {
            Ok(loaded) => loaded,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "casbin does not take the policy; everything is denied");
                LoadedTier { casbin: None, rules: Vec::new(), until: None }
            }
        }
    }

    fn try_load(&self, now: DateTime<Utc>) -> Result<LoadedTier, CasbinInvalid> {
        let model = self.model.as_ref().map_err(CasbinInvalid::clone)?;
        let mut rules = CasbinRules::default();
        let mut spoken = Vec::new();
        let mut seen = HashSet::new();
        let all = self.lowered.rules.iter().zip(&self.needed);
        for (rule, &condition) in all.filter(|(rule, _)| is_alive(rule.expires_at, now)) {
            let values = vec![
                rule.subject.clone(),
                self.domain.clone(),
                rule.object.clone(),
                rule.permission.clone(),
                rule.effect.as_str().to_owned(),
                needs(rule.effect, condition),
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
        Ok(LoadedTier { casbin: Some(casbin), rules: spoken, until })
    }

    /// The policy as it is now.
    fn current(&self, now: &dyn Fn() -> DateTime<Utc>) -> Arc<LoadedTier> {
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
    ) -> TierAnswer<'_> {
        let loaded = self.current(now);
        let Some(casbin) = &loaded.casbin else { return TierAnswer::Failed };
        let (subject, object) = (assignee_text(assignee), object_text(resource));
        let facts: String = self.conditions.iter().map(|condition| fact(is_met(condition))).collect();
        let ask = |facts: &str| casbin.ask_trusted(&[&subject, &self.domain, &object, permission, facts]);
        let origin = |rule: usize| loaded.rules.get(rule).map(|spoken| spoken.origin);
        match ask(&facts) {
            Verdict::Allows(rule) => origin(rule).map_or(TierAnswer::Failed, TierAnswer::Allows),
            Verdict::Denies(rule) => origin(rule).map_or(TierAnswer::Failed, TierAnswer::Denies),
            Verdict::Failed => TierAnswer::Failed,
            Verdict::Silent if self.conditions.is_empty() => TierAnswer::Nothing,
            Verdict::Silent => {
                let all_met: String = self.conditions.iter().map(|_| SUPPOSED).collect();
                let Verdict::Allows(rule) = ask(&all_met) else { return TierAnswer::Nothing };
                let condition = loaded.rules.get(rule).and_then(|spoken| spoken.condition);
                condition
                    .and_then(|number| self.conditions.get(number))
                    .map_or(TierAnswer::Nothing, TierAnswer::Unmet)
            }
        }
    }
}

/// A condition that is supposed to hold, to find the rule that would then allow; no rule denies for it.
const SUPPOSED: char = 's';

fn fact(is_met: Option<bool>) -> char {
    match is_met {
        Some(true) => 't',
        Some(false) => 'f',
        None => 'u',
    }
}

/// What a rule needs of the facts: nothing, or its effect and the place of its condition.
fn needs(effect: Effect, condition: Option<usize>) -> String {
    condition.map_or_else(|| "nothing".to_owned(), |place| format!("{} {place}", effect.as_str()))
}

/// What is not known lets no rule allow, and every rule deny.
fn holds(facts: &str, needs: &str) -> bool {
    let Some((effect, place)) = needs.split_once(' ') else { return needs == "nothing" };
    let fact = place.parse().ok().and_then(|place: usize| facts.as_bytes().get(place)).copied();
    match effect {
        "allow" => matches!(fact, Some(b't' | b's')),
        // A fact that is missing would be a mistake here: the denial stays.
        _ => !matches!(fact, Some(b'f' | b's')),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use stylobate_core::{Clock as _, OverrideId, PermissionId, PersonId, RoleId, SystemClock};

    use super::*;
    use crate::{
        PolicyAssignment, PolicyGrant, PolicyOverride, PolicyPermission, PolicyRole, default_catalogue,
    };

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
        assert_eq!(at(now), TierAnswer::Allows(Origin::Role(role)));
        assert_eq!(at(end - TimeDelta::microseconds(1)), TierAnswer::Allows(Origin::Role(role)));
        assert_eq!(at(end), TierAnswer::Nothing);
    }

    #[test]
    fn a_condition_is_a_fact_and_the_one_that_is_missing_is_named() {
        let now = SystemClock.now();
        let (policy, person, role) = policy(Some(Condition::Owner {}), None);
        let tier = Tier::new(&default_catalogue(), None, &policy, now);
        let with = |met: Option<bool>| tier.ask(person, "user.read", None, &|| now, &move |_| met);
        assert_eq!(with(Some(true)), TierAnswer::Allows(Origin::Role(role)));
        assert_eq!(with(Some(false)), TierAnswer::Unmet(&Condition::Owner {}));
        assert_eq!(with(None), TierAnswer::Unmet(&Condition::Owner {}));
        assert_eq!(tier.ask(person, "role.read", None, &|| now, &|_| Some(true)), TierAnswer::Nothing);
    }

    #[test]
    fn each_of_many_conditions_is_found_by_its_place() {
        let now = SystemClock.now();
        let attribute = |n: usize| Condition::Attribute { name: format!("a{n}").into(), equals: "x".into() };
        let (mut policy, _, _) = policy(None, None);
        let permission = policy.permissions[0].id;
        let people: Vec<PersonId> = (0..300).map(|_| PersonId::new(now)).collect();
        for (n, person) in people.iter().enumerate() {
            let effect = if n % 2 == 0 { Effect::Allow } else { Effect::Deny };
            policy.overrides.push(PolicyOverride {
                id: OverrideId::new(now),
                assignee: (*person).into(),
                permission,
                effect,
                // The second half needs what the first half needs.
                condition: Some(attribute(n % 150)),
                expires_at: None,
            });
        }
        let tier = Tier::new(&default_catalogue(), None, &policy, now);
        assert_eq!(tier.conditions.len(), 150, "each is asked once");
        for (n, person) in people.iter().enumerate() {
            let only = attribute(n % 150);
            let ask = |met: Option<bool>| {
                let is_met = |one: &Condition| if *one == only { met } else { Some(one == &attribute(149)) };
                tier.ask((*person).into(), "user.read", None, &|| now, &is_met)
            };
            let id = Origin::Override(policy.overrides[n].id);
            match n % 2 == 0 {
                true => {
                    assert_eq!(ask(Some(true)), TierAnswer::Allows(id));
                    assert_eq!(ask(None), TierAnswer::Unmet(&tier.conditions[n % 150]));
                }
                false => {
                    assert_eq!(
                        (ask(Some(true)), ask(None)),
                        (TierAnswer::Denies(id), TierAnswer::Denies(id))
                    );
                    assert_eq!(ask(Some(false)), TierAnswer::Nothing);
                }
            }
        }
    }
}
