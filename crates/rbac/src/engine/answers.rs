//! What administrators ask: not only whether, but why, who and what if.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{OverrideId, RoleId, TenantId};

use super::{Case, Engine, asked, unless_it_panics};
use crate::{
    Assignee, Decision, Effect, ExplainedRule, Explanation, Policy, Question, RuleState,
    snapshot::{Asked, NamedPermission, Origin, Reach, Snapshot, Stance, Things},
};

/// One permission that a subject has, and through what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectivePermission {
    /// Its canonical name.
    pub key: String,
    /// The roles of the tenant that give it.
    pub role_ids: Vec<RoleId>,
    /// The platform roles that give it.
    pub platform_role_ids: Vec<RoleId>,
    /// The overrides of the tenant that give it.
    pub override_ids: Vec<OverrideId>,
    /// The overrides of the platform that give it.
    pub platform_override_ids: Vec<OverrideId>,
    /// Whether it holds under conditions only: of the resource, of the time or of how the subject proved itself.
    pub is_conditional: bool,
}

impl Engine {
    /// What `assignee` may do in `tenant` (or on the platform alone), sorted by name, with the roles and overrides that
    /// give it, its groups' too. Leaves out what a rule always denies, and access control lists: those are about single
    /// things.
    #[must_use]
    pub fn effective(&self, tenant: Option<TenantId>, assignee: Assignee) -> Vec<EffectivePermission> {
        let loaded = self.loaded(tenant);
        let (own, platform, now) = (loaded.tenant(), loaded.platform(), self.clock.now());
        let mut named: Vec<NamedPermission<'_>> = Vec::new();
        for (snapshot, beyond) in [(own, None), (platform, own)] {
            if let Some(snapshot) = snapshot {
                snapshot.allowed(assignee, now, beyond, |one| named.push(one));
            }
        }
        named.sort_unstable();
        named.dedup();
        let mut found: Vec<EffectivePermission> = named
            .into_iter()
            .filter_map(|one| {
                let asked = match one {
                    NamedPermission::Declared(place) => Asked::Declared(place, self.catalogue.at(place)?),
                    NamedPermission::Own(name) => Asked::Own(name),
                };
                let is_off =
                    [own, platform].into_iter().flatten().any(|snapshot| snapshot.is_inactive(asked));
                if is_off { None } else { effective_one(own, platform, assignee, asked, now) }
            })
            .collect();
        found.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        found
    }

    /// Who may use `permission` in `tenant` (or on the platform alone) on at least one thing and under some
    /// circumstances, sorted. Groups are named as such, beside their members. What nobody knows, and what is switched off,
    /// nobody may.
    ///
    /// Takes time in proportion to the subjects of the policies: for administrators.
    #[must_use]
    pub fn who_can(&self, tenant: Option<TenantId>, permission: &str) -> Vec<Assignee> {
        let loaded = self.loaded(tenant);
        let (own, platform, now) = (loaded.tenant(), loaded.platform(), self.clock.now());
        let snapshots = || own.into_iter().chain(platform);
        let all = asked(&self.catalogue, permission, snapshots());
        if all.is_empty() || all.iter().any(|asked| snapshots().any(|one| one.is_inactive(*asked))) {
            return Vec::new();
        }
        let can = |assignee: &Assignee| {
            all.iter().all(|asked| {
                let stance = |snapshot: Option<&Snapshot>| {
                    snapshot
                        .map_or(Stance::default(), |one| one.stance(*assignee, *asked, Things::Every, now))
                };
                stance(own).is_ever_with(stance(platform))
            })
        };
        let mut found: Vec<Assignee> = snapshots().flat_map(Snapshot::assignees).filter(can).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a rule, an assignment or a group of the policy of `tenant` (or of the platform) names the subject.
    #[must_use]
    pub fn is_named_in(&self, tenant: Option<TenantId>, assignee: Assignee) -> bool {
        self.entry(tenant, |entry| entry.snapshot.names_subject(assignee)).unwrap_or(false)
    }

    /// The decision, with the rules that led to it and what would change it. Allocates: for administrators.
    #[must_use]
    pub fn explain(&self, question: Question<'_>) -> Explanation {
        let loaded = self.loaded(question.principal.tenant);
        let case = Case::new(self, question, loaded.tenant(), loaded.platform());
        let decision = unless_it_panics(|| case.decide());
        let mut explanation = Explanation {
            permission: question.permission.to_owned(),
            decision,
            rules: Vec::new(),
            role_ids: Vec::new(),
            platform_role_ids: Vec::new(),
            keys: Vec::new(),
        };
        let all = case.asked();
        for asked in &all {
            match asked {
                Asked::Declared(_, permission) => {
                    explanation.keys.extend(permission.names().map(str::to_owned))
                }
                Asked::Own(name) => explanation.keys.push((*name).to_owned()),
            }
            if let Some(assignee) = Assignee::of(&question.principal.subject) {
                for (snapshot, reach) in [(case.platform, Reach::Platform), (case.tenant, Reach::Tenant)] {
                    let Some(snapshot) = snapshot else { continue };
                    case.explain_rules(snapshot, reach, assignee, *asked, &mut explanation.rules);
                }
            }
        }
        let roles = |snapshot: Option<&Snapshot>| -> Vec<RoleId> {
            let Some((snapshot, (first, rest))) = snapshot.zip(all.split_first()) else { return Vec::new() };
            let mut roles: Vec<RoleId> = snapshot.roles_that_allow(*first).collect();
            for asked in rest {
                let more: Vec<RoleId> = snapshot.roles_that_allow(*asked).collect();
                roles.retain(|role| more.contains(role));
            }
            roles
        };
        explanation.role_ids = roles(case.tenant);
        explanation.platform_role_ids = roles(case.platform);
        explanation.keys.sort_unstable();
        explanation.keys.dedup();
        // Applying before not, the platform's before the tenant's, denials before allowances: the deciding one is first.
        explanation.rules.sort_by_key(|rule| {
            (rule.state != RuleState::Applies, !rule.is_platform, rule.effect == Effect::Allow)
        });
        explanation
    }

    /// What the answer would be if `changed` were the policy of the principal's tenant (of the platform, for a principal
    /// without tenant). Changes nothing.
    pub fn what_if(&self, question: Question<'_>, changed: &Policy) -> Decision {
        let tenant = question.principal.tenant;
        let (snapshot, _) = self.compile(tenant, changed);
        let loaded = self.loaded(None);
        let (own, platform) =
            if tenant.is_some() { (Some(&snapshot), loaded.platform()) } else { (None, Some(&snapshot)) };
        unless_it_panics(|| Case::new(self, question, own, platform).decide())
    }
}

fn effective_one(
    own: Option<&Snapshot>,
    platform: Option<&Snapshot>,
    assignee: Assignee,
    asked: Asked<'_>,
    now: DateTime<Utc>,
) -> Option<EffectivePermission> {
    let stance = |snapshot: Option<&Snapshot>| {
        snapshot.map(|one| one.stance(assignee, asked, Things::None, now)).unwrap_or_default()
    };
    let (by_tenant, by_platform) = (stance(own), stance(platform));
    if !by_tenant.is_ever_with(by_platform) {
        return None;
    }
    let (mut override_ids, mut platform_override_ids) = (Vec::new(), Vec::new());
    let (mut role_ids, mut platform_role_ids) = (Vec::new(), Vec::new());
    for (snapshot, stance, roles, overrides) in [
        (own, by_tenant, &mut role_ids, &mut override_ids),
        (platform, by_platform, &mut platform_role_ids, &mut platform_override_ids),
    ] {
        let Some(snapshot) = snapshot.filter(|_| !stance.denies) else { continue };
        let _ = snapshot.visit(assignee, asked, Things::None, |rule| {
            if rule.effect == Effect::Allow && !rule.is_over(|| now) {
                match rule.origin {
                    Origin::Role(id) => roles.push(id),
                    Origin::Override(id) => overrides.push(id),
                    Origin::Acl(_) => {}
                }
            }
            ControlFlow::Continue(())
        });
        roles.sort_unstable();
        roles.dedup();
        overrides.sort_unstable();
        overrides.dedup();
    }
    let is_conditional = !by_tenant.is_always_with(by_platform);
    let key = asked.name().to_owned();
    Some(EffectivePermission {
        key,
        role_ids,
        platform_role_ids,
        override_ids,
        platform_override_ids,
        is_conditional,
    })
}

impl Case<'_> {
    fn explain_rules(
        &self,
        snapshot: &Snapshot,
        reach: Reach,
        asker: Assignee,
        asked: Asked<'_>,
        rules: &mut Vec<ExplainedRule>,
    ) {
        let of = self.circumstances(asker);
        let _ = snapshot.visit(asker, asked, self.things(), |rule| {
            let holds = rule.condition.map_or(Some(true), |condition| condition.holds(&of));
            let applies = match rule.effect {
                Effect::Allow => holds == Some(true),
                Effect::Deny => holds != Some(false),
            };
            let missing = rule.condition.filter(|_| !applies).map(|condition| condition.missing(&of));
            let state = match missing {
                _ if rule.is_over(&of.now) => RuleState::Expired,
                Some(missing) => RuleState::ConditionUnmet { missing },
                None => RuleState::Applies,
            };
            let explained = ExplainedRule {
                source: snapshot.source(&rule, asked),
                is_platform: reach == Reach::Platform,
                group: rule.group,
                effect: rule.effect,
                state,
                condition: rule.condition.cloned(),
                expires_at: rule.expires_at(),
            };
            if !rules.contains(&explained) {
                rules.push(explained);
            }
            ControlFlow::Continue(())
        });
    }
}
