//! casbin and Cedar with the same rules, and casbin inside our own engine.

use std::{collections::HashSet, str::FromStr as _, sync::Arc};

use casbin::{CoreApi as _, DefaultModel, Enforcer};
use cedar_policy::{Context, Decision, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Request};
use stylobate_core::{Clock as _, Principal, SystemClock};
use stylobate_rbac::{Authorizer as _, CasbinAuthorizer, CasbinExport, CasbinModel, Catalogue};

use super::rows::{Rows, TENANT, people};
use crate::Result;

pub(crate) const CASBIN: &str = "casbin";

/// Of casbin's own benchmark for roles.
const MODEL: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
    [role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n\
    [matchers]\nm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act\n";

pub(crate) enum Peer {
    Casbin(Box<Enforcer>),
    Cedar { authorizer: Box<cedar_policy::Authorizer>, policies: Box<PolicySet>, entities: Entities },
    Contained(Box<CasbinAuthorizer>),
}

/// A question in the words of a peer, so that the words are not measured.
pub(crate) enum Question {
    Casbin([String; 3]),
    Cedar(Box<Request>),
    Contained(Box<Principal>, String),
}

impl Peer {
    pub(crate) fn casbin(rows: &Rows) -> Result<Self> {
        let mut enforcer = at_once(async {
            let model = DefaultModel::from_str(MODEL).await?;
            Enforcer::new(model, ()).await
        })?;
        let model = enforcer.get_mut_model();
        let grants = (0..rows.roles).flat_map(|role| {
            rows.granted(role)
                .map(move |given| vec![format!("role{role}"), format!("data{given}"), "read".to_owned()])
        });
        model.add_policies("p", "p", grants.collect());
        let links = (0..rows.people).map(|n| vec![format!("user{n}"), format!("role{}", Rows::role_of(n))]);
        model.add_policies("g", "g", links.collect());
        enforcer.build_role_links()?;
        Ok(Self::Casbin(Box::new(enforcer)))
    }

    pub(crate) fn cedar(rows: &Rows) -> Result<Self> {
        let mut policies = PolicySet::new();
        for role in 0..rows.roles {
            for given in rows.granted(role) {
                let text = format!(
                    "permit(principal in Role::\"{role}\", action == Action::\"read\", resource == Data::\"{given}\");"
                );
                policies.add(Policy::parse(Some(PolicyId::new(format!("{role}-{given}"))), text)?)?;
            }
        }
        let mut entities: Vec<Entity> = Vec::new();
        for role in 0..rows.roles {
            entities.push(Entity::new_no_attrs(uid("Role", role)?, HashSet::new()));
        }
        for person in 0..rows.people {
            let parents = HashSet::from([uid("Role", Rows::role_of(person))?]);
            entities.push(Entity::new_no_attrs(uid("User", person)?, parents));
        }
        let entities = Entities::from_entities(entities, None)?;
        let authorizer = Box::new(cedar_policy::Authorizer::new());
        Ok(Self::Cedar { authorizer, policies: Box::new(policies), entities })
    }

    /// What the control plane runs with `RBAC_ENGINE=casbin`, on the exported rules.
    pub(crate) fn contained(rows: &Rows) -> Result<Self> {
        let catalogue = Arc::new(Catalogue::new([], [])?);
        let export = CasbinExport::of(&rows.policy(), Some(TENANT), &catalogue, SystemClock.now(), &|_| None);
        let model = CasbinModel::rbac_with_domains()?;
        let (authorizer, _) = CasbinAuthorizer::new(catalogue, model, &export.rules)?;
        Ok(Self::Contained(Box::new(authorizer)))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Casbin(_) => CASBIN,
            Self::Cedar { .. } => "cedar",
            Self::Contained(_) => "casbin, contained",
        }
    }

    /// The `n`th question of [`Rows::questions`], whose permission is `name`.
    pub(crate) fn prepare(&self, rows: &Rows, n: usize, name: &str) -> Result<Question> {
        let person = rows.asked(n);
        let data = name.strip_suffix(".read").ok_or("a permission of the bench")?;
        Ok(match self {
            Self::Casbin(_) => {
                Question::Casbin([format!("user{person}"), data.to_owned(), "read".to_owned()])
            }
            Self::Cedar { .. } => {
                let number: u32 = data.strip_prefix("data").ok_or("a permission of the bench")?.parse()?;
                let action = EntityUid::from_str("Action::\"read\"")?;
                let (user, data) = (uid("User", person)?, uid("Data", number)?);
                Question::Cedar(Box::new(Request::new(user, action, data, Context::empty(), None)?))
            }
            Self::Contained(_) => {
                let principal = Principal::person(people(person)).in_tenant(TENANT);
                Question::Contained(Box::new(principal), name.to_owned())
            }
        })
    }

    pub(crate) fn ask(&self, question: &Question) -> Result<bool> {
        Ok(match (self, question) {
            (Self::Casbin(enforcer), Question::Casbin([sub, obj, act])) => {
                enforcer.enforce((sub.as_str(), obj.as_str(), act.as_str()))?
            }
            (Self::Cedar { authorizer, policies, entities }, Question::Cedar(request)) => {
                authorizer.is_authorized(request, policies, entities).decision() == Decision::Allow
            }
            (Self::Contained(authorizer), Question::Contained(principal, name)) => {
                authorizer.check(principal, name).is_allowed()
            }
            _ => return Err("a question for another peer".into()),
        })
    }
}

fn uid(kind: &str, n: u32) -> Result<EntityUid> {
    Ok(EntityUid::from_str(&format!("{kind}::\"{n}\""))?)
}

/// casbin is asynchronous for the sake of adapters; without one it waits for nothing.
fn at_once<T>(future: impl Future<Output = casbin::Result<T>>) -> Result<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => Ok(done?),
        std::task::Poll::Pending => Err("casbin waits for something".into()),
    }
}
