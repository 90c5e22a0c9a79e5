use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use stylobate_core::Subject;

use super::{
    CasbinInvalid, CasbinModel, CasbinProblem, CasbinRules,
    enforcer::{Contained, Verdict},
    export::{assignee_text, domain_text, object_text},
};
use crate::{
    Assignee, Authorizer, Catalogue, Decision, Question, Reason,
    key::{covers, is_pattern, is_valid},
};

type Values = dyn Fn(&Question<'_>, &str) -> Option<Vec<String>> + Send + Sync;

/// An [`Authorizer`] on a casbin model and policy of one's own.
///
/// What is said before the policy is asked is what every engine says: nobody is denied everything, scopes only narrow, the
/// platform itself may do what is left, and a name that is no permission key is denied. A synonym is asked by the canonical
/// name of each permission it means, and all of them have to be allowed.
///
/// The request's values are found by their names in the model: `sub` is `person:ID` or `service:ID`, `dom` the tenant's id or
/// `platform`, `obj` the resource as `KIND/ID` or `*` without one, `act` the permission. Models with other names, or with
/// other words for subjects, take [`with_request`](Self::with_request).
///
/// Unlike the own engine this one allocates, and takes time in proportion to the policy: about a microsecond and a half per
/// rule, with roles more.
pub struct CasbinAuthorizer {
    catalogue: Arc<Catalogue>,
    model: CasbinModel,
    values: Option<Box<Values>>,
    loaded: ArcSwap<LoadedRules>,
}

#[derive(Debug)]
struct LoadedRules {
    casbin: Contained,
    epoch: i64,
}

impl fmt::Debug for CasbinAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CasbinAuthorizer").field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

impl CasbinAuthorizer {
    /// Loads `rules`. Those that do not fit the model are reported and give nothing.
    ///
    /// # Errors
    /// [`CasbinInvalid::Denial`] when such a rule denies, [`CasbinInvalid::Unsupported`] when the request of the model has other
    /// names than those above, [`CasbinInvalid::Casbin`] when casbin refuses.
    pub fn new(
        catalogue: Arc<Catalogue>,
        model: CasbinModel,
        rules: &CasbinRules,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let known = |name: &&String| !matches!(name.as_str(), "sub" | "dom" | "obj" | "act");
        if let Some(unknown) = model.request().iter().find(known) {
            return Err(CasbinInvalid::Unsupported(unknown.clone()));
        }
        Self::build(catalogue, model, rules, None)
    }

    /// The same with `values` saying what a request is made of: it gets the question and the canonical name of the permission, and
    /// returns as many values as the model wants. `None` denies.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_request(
        catalogue: Arc<Catalogue>,
        model: CasbinModel,
        rules: &CasbinRules,
        values: impl Fn(&Question<'_>, &str) -> Option<Vec<String>> + Send + Sync + 'static,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        Self::build(catalogue, model, rules, Some(Box::new(values)))
    }

    fn build(
        catalogue: Arc<Catalogue>,
        model: CasbinModel,
        rules: &CasbinRules,
        values: Option<Box<Values>>,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let (casbin, problems) = Contained::new(&model, rules, None)?;
        let loaded = ArcSwap::from_pointee(LoadedRules { casbin, epoch: 1 });
        Ok((Self { catalogue, model, values, loaded }, problems))
    }

    /// Puts other rules in the place of the present ones, all at once. Decisions name an epoch that is one higher from then on.
    ///
    /// # Errors
    /// As [`new`](Self::new); the present rules stay.
    pub fn replace(&self, rules: &CasbinRules) -> Result<Vec<CasbinProblem>, CasbinInvalid> {
        let (casbin, problems) = Contained::new(&self.model, rules, None)?;
        self.loaded.rcu(|before| LoadedRules { casbin: casbin.clone(), epoch: before.epoch + 1 });
        Ok(problems)
    }

    fn ask(&self, casbin: &Contained, question: &Question<'_>, permission: &str) -> Verdict {
        let values = match &self.values {
            Some(values) => values(question, permission),
            None => self.usual(question, permission),
        };
        let Some(values) = values else { return Verdict::Silent };
        casbin.ask(&values.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn usual(&self, question: &Question<'_>, permission: &str) -> Option<Vec<String>> {
        let assignee = Assignee::of(&question.principal.subject)?;
        let value = |name: &String| match name.as_str() {
            "sub" => assignee_text(assignee),
            "dom" => domain_text(question.principal.tenant),
            "obj" => object_text(question.resource.and_then(|resource| Some((resource.kind, resource.id?)))),
            _ => permission.to_owned(),
        };
        Some(self.model.request().iter().map(value).collect())
    }

    fn decide_one(
        &self,
        loaded: &LoadedRules,
        question: &Question<'_>,
        name: &str,
        names: &[&str],
    ) -> Decision {
        let deny = |reason| Decision::deny(reason, loaded.epoch);
        let covered = |scope: &String| names.iter().any(|name| covers(scope, name));
        if question.principal.scopes.as_ref().is_some_and(|scopes| !scopes.iter().any(covered)) {
            return deny(Reason::ScopeTooNarrow);
        }
        if question.principal.subject == Subject::System {
            return Decision::allow(Reason::System, loaded.epoch);
        }
        match self.ask(&loaded.casbin, question, name) {
            Verdict::Allows(rule) => Decision::allow(Reason::CasbinRule { rule: place(rule) }, loaded.epoch),
            Verdict::Denies(rule) => deny(Reason::DeniedByCasbinRule { rule: place(rule) }),
            Verdict::Silent => deny(Reason::RoleLacksPermission),
            Verdict::Failed => deny(Reason::EngineFailure),
        }
    }
}

fn place(rule: usize) -> u32 {
    u32::try_from(rule + 1).unwrap_or(u32::MAX)
}

impl Authorizer for CasbinAuthorizer {
    fn decide(&self, question: Question<'_>) -> Decision {
        let loaded = self.loaded.load();
        let deny = |reason| Decision::deny(reason, loaded.epoch);
        if question.principal.subject == Subject::Anonymous {
            return deny(Reason::Anonymous);
        }
        let name = question.permission;
        if is_pattern(name) || !is_valid(name) {
            return deny(Reason::UnknownPermission);
        }
        let Some(places) = self.catalogue.places(name) else {
            return self.decide_one(&loaded, &question, name, &[name]);
        };
        let mut decision = deny(Reason::UnknownPermission);
        for &place in places {
            let Some(permission) = self.catalogue.at(place) else { return deny(Reason::UnknownPermission) };
            let names: Vec<&str> = permission.names().collect();
            decision = self.decide_one(&loaded, &question, permission.key, &names);
            if !decision.is_allowed() {
                break;
            }
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use stylobate_core::{Clock as _, PersonId, Principal, SystemClock, TenantId};

    use super::*;
    use crate::{Resource, default_catalogue};

    const CLASSIC: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
        [role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n\
        [matchers]\nm = g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) && regexMatch(r.act, p.act)";

    fn rules(csv: &str) -> CasbinRules {
        CasbinRules::parse(csv).unwrap().0
    }

    #[test]
    fn a_policy_of_roles_with_domains_decides() {
        let (person, tenant) = (PersonId::new(SystemClock.now()), TenantId::new(SystemClock.now()));
        let csv = format!(
            "g, person:{person}, role:lead, {tenant}\np, role:lead, {tenant}, *, user.*, allow\n\
             p, role:lead, {tenant}, *, user.delete, deny\np, person:{person}, {tenant}, note/7, note.read, allow"
        );
        let model = CasbinModel::rbac_with_domains().unwrap();
        let (casbin, problems) =
            CasbinAuthorizer::new(Arc::new(default_catalogue()), model, &rules(&csv)).unwrap();
        assert!(problems.is_empty());
        let ada = Principal::person(person).in_tenant(tenant);
        assert_eq!(casbin.check(&ada, "people:read").reason, Reason::CasbinRule { rule: 1 });
        assert_eq!(casbin.check(&ada, "user.delete").reason, Reason::DeniedByCasbinRule { rule: 2 });
        // `people:write` stands for three permissions, one of which is denied.
        assert!(!casbin.check(&ada, "people:write").is_allowed());
        assert!(casbin.check_on(&ada, "note.read", &Resource::new("note", "7")).is_allowed());
        for other in [Resource::new("note", "8"), Resource::new("note", "*"), Resource::new("*", "7")] {
            assert!(!casbin.check_on(&ada, "note.read", &other).is_allowed());
        }
        assert!(!casbin.check(&ada, "note.read").is_allowed() && !casbin.check(&ada, "*").is_allowed());
        let elsewhere = Principal::person(person).in_tenant(TenantId::new(SystemClock.now()));
        assert_eq!(casbin.check(&elsewhere, "user.read").reason, Reason::RoleLacksPermission);
        let narrow = Principal { scopes: Some(vec!["role.*".into()]), ..ada.clone() };
        assert_eq!(casbin.check(&narrow, "user.read").reason, Reason::ScopeTooNarrow);

        let before = casbin.check(&ada, "user.read").epoch;
        casbin.replace(&CasbinRules::default()).unwrap();
        let after = casbin.check(&ada, "user.read");
        assert!(!after.is_allowed() && after.epoch > before);
    }

    #[test]
    fn a_model_in_other_words_decides_by_a_request_of_its_own() {
        let model = CasbinModel::parse(CLASSIC).unwrap();
        let csv = "p, staff, /docs/:id, ^(read|list)$\np, staff, /all, (\ng, ada, staff";
        let (casbin, problems) = CasbinAuthorizer::with_request(
            Arc::new(default_catalogue()),
            model,
            &rules(csv),
            |question, permission| {
                let (_, action) = permission.rsplit_once('.')?;
                let object = question.resource?.id?;
                Some(vec!["ada".to_owned(), object.to_owned(), action.to_owned()])
            },
        )
        .unwrap();
        assert_eq!(problems.len(), 1, "a bad regular expression gives nothing");
        let ada = Principal::person(PersonId::new(SystemClock.now()));
        let may = |permission: &str, id: &str| {
            casbin.check_on(&ada, permission, &Resource::new("path", id)).is_allowed()
        };
        assert!(may("docs.read", "/docs/7"));
        for (permission, id) in [
            ("docs.write", "/docs/7"),
            ("docs.read", "/docs/../all"),
            ("docs.read", "/docs/ä"),
            ("docs.read", "/all"),
            ("read", "/docs/7"),
        ] {
            assert!(!may(permission, id), "{permission} {id}");
        }
        assert!(!casbin.check(&ada, "docs.read").is_allowed(), "no resource, no request");
    }
}
