//! What the rules of a policy say, read by text and loops.

use super::{world::*, *};

pub(super) fn names(permission: &PermissionDef) -> Vec<&'static str> {
    [&[permission.key], permission.synonyms].concat()
}

pub(super) fn covers(held: &str, name: &str) -> bool {
    let prefix = held.trim_end_matches('*');
    held == "*"
        || (held == name && !held.contains('*'))
        || (held.ends_with(".*") || held.ends_with(":*")) && name.starts_with(prefix) && name != prefix
}

pub(super) fn is_key(key: &str) -> bool {
    !key.is_empty() && key != "Bad Key"
}

pub(super) fn is_declared(catalogue: &Catalogue, key: &str) -> bool {
    catalogue.permissions().iter().any(|one| names(one).contains(&key))
}

/// The name a key is about, and whether only of own things.
pub(super) fn base<'a>(catalogue: &Catalogue, key: &'a str) -> (&'a str, bool) {
    if is_declared(catalogue, key) {
        return (key, false);
    }
    let mut name = key;
    while name.ends_with(":own") || name.ends_with(".own") {
        name = &name[..name.len() - 4];
    }
    (name, name != key)
}

/// One permission that an asked name means.
pub(super) struct Meaning {
    pub(super) names: Vec<String>,
    pub(super) is_platform: bool,
}

pub(super) fn meanings(catalogue: &Catalogue, world: &World, in_tenant: bool, name: &str) -> Vec<Meaning> {
    let declared: Vec<Meaning> = catalogue
        .permissions()
        .iter()
        .filter(|permission| names(permission).contains(&name))
        .map(|permission| Meaning {
            names: names(permission).into_iter().map(str::to_owned).collect(),
            is_platform: permission.is_platform,
        })
        .collect();
    let is_own = !name.contains('*')
        && world
            .permissions
            .iter()
            .any(|row| (in_tenant || row.platform) && is_key(row.key) && base(catalogue, row.key).0 == name);
    if declared.is_empty() && is_own {
        vec![Meaning { names: vec![name.to_owned()], is_platform: false }]
    } else {
        declared
    }
}

/// Kleene's values as numbers: 0 is false, 1 unknown, 2 true.
pub(super) fn value(
    condition: &Condition,
    asker: Assignee,
    principal: &Principal,
    resource: Option<&Resource<'_>>,
    now: DateTime<Utc>,
) -> u8 {
    let of = |known: Option<bool>| known.map_or(1, |holds| if holds { 2 } else { 0 });
    match condition {
        Condition::Owner {} => of(resource.and_then(|one| one.owner).map(|owner| owner == asker)),
        Condition::Attribute { name, equals } => of(resource.and_then(|one| {
            let values: Vec<_> = one.attributes.iter().filter(|(key, _)| *key == &**name).collect();
            (!values.is_empty()).then(|| values.iter().any(|(_, value)| *value == &**equals))
        })),
        Condition::TimeWindow { days, from_minute, to_minute, utc_offset_minutes } => {
            let local = (now + TimeDelta::minutes((*utc_offset_minutes).into())).naive_utc();
            let minutes = |n: u16| TimeDelta::minutes(n.into());
            of(Some([0, 1].into_iter().any(|back| {
                let day = local.date() - TimeDelta::days(back);
                let midnight = day.and_time(NaiveTime::MIN);
                let end =
                    if to_minute > from_minute { minutes(*to_minute) } else { minutes(*to_minute + 1440) };
                let begins = days.is_empty() || days.contains(&(day.weekday().number_from_monday() as u8));
                begins && (midnight + minutes(*from_minute)..midnight + end).contains(&local)
            })))
        }
        Condition::Assurance { at_least } => of(Some(principal.assurance.aal >= *at_least)),
        Condition::All(parts) => {
            parts.iter().map(|part| value(part, asker, principal, resource, now)).min().unwrap_or(2)
        }
        Condition::Any(parts) => {
            parts.iter().map(|part| value(part, asker, principal, resource, now)).max().unwrap_or(0)
        }
        _ => 1,
    }
}

pub(super) struct Naive<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) world: &'a World,
    pub(super) principal: &'a Principal,
    pub(super) resource: Option<&'a Resource<'a>>,
}

impl Naive<'_> {
    pub(super) fn allows(&self, name: &str) -> bool {
        let in_tenant = self.principal.tenant.is_some();
        let meanings = meanings(self.catalogue, self.world, in_tenant, name);
        self.principal.subject != Subject::Anonymous
            && !meanings.is_empty()
            && meanings.iter().all(|meaning| self.allows_one(meaning))
    }

    pub(super) fn allows_one(&self, meaning: &Meaning) -> bool {
        let covered = |held: &str| meaning.names.iter().any(|name| covers(held, name));
        if self.principal.scopes.as_ref().is_some_and(|scopes| !scopes.iter().any(|scope| covered(scope))) {
            return false;
        }
        if self.principal.subject == Subject::System {
            return true;
        }
        let policies: &[bool] = if self.principal.tenant.is_some() { &[true, false] } else { &[true] };
        if policies.iter().any(|platform| self.is_switched_off(meaning, *platform)) {
            return false;
        }
        let Some(subject) = Assignee::of(&self.principal.subject) else { return false };
        // The platform first: its denial beats all, its allowance beats a tenant's denial.
        for platform in policies {
            let said: Vec<Effect> = self.applying(meaning, subject, *platform);
            if said.contains(&Effect::Deny) {
                return false;
            }
            if said.contains(&Effect::Allow) {
                return true;
            }
        }
        false
    }

    pub(super) fn visible(&self, n: usize, platform: bool) -> Option<&Permission> {
        self.world.permissions.get(n).filter(|row| !platform || row.platform)
    }

    pub(super) fn is_switched_off(&self, meaning: &Meaning, platform: bool) -> bool {
        if meaning.is_platform && !platform {
            return false;
        }
        (0..self.world.permissions.len()).filter_map(|n| self.visible(n, platform)).any(|row| {
            let in_reach =
                |one: &&PermissionDef| names(one).contains(&row.key) && (platform || !one.is_platform);
            !row.active
                && is_key(row.key)
                && !row.key.contains('*')
                && !base(self.catalogue, row.key).1
                && meaning.names.iter().any(|name| name == row.key)
                && self.catalogue.permissions().iter().filter(in_reach).count() <= 1
        })
    }

    /// Whether the row gives or denies the permission, and whether only on own things.
    pub(super) fn is_about(&self, permission: usize, meaning: &Meaning, platform: bool) -> Option<bool> {
        let row = self.visible(permission, platform).filter(|row| row.active && is_key(row.key))?;
        if meaning.is_platform && !platform {
            return None;
        }
        let (key, own) = base(self.catalogue, row.key);
        meaning.names.iter().any(|name| covers(key, name)).then_some(own)
    }

    pub(super) fn applies(&self, effect: Effect, conditions: &[Option<&Condition>], asker: Assignee) -> bool {
        let of = |one: &Condition| value(one, asker, self.principal, self.resource, self.world.now);
        let all = conditions.iter().flatten().map(|one| of(one)).min().unwrap_or(2);
        match effect {
            Effect::Allow => all == 2,
            Effect::Deny => all != 0,
        }
    }

    pub(super) fn applying(&self, meaning: &Meaning, subject: Assignee, platform: bool) -> Vec<Effect> {
        let world = self.world;
        let live = |expires: Option<DateTime<Utc>>| expires.is_none_or(|at| world.now < at);
        let holds = |n: usize| {
            assignee(n) == subject
                || world.members.iter().any(|(group, member, of_platform)| {
                    *of_platform == platform && *group == n && assignee(*member) == subject
                })
        };
        let mut roles: Vec<usize> = world
            .assignments
            .iter()
            .filter(|(who, _, expires)| holds(*who) && live(*expires))
            .map(|(_, role, _)| *role)
            .filter(|role| self.is_role(*role, platform) && world.roles[*role].0)
            .collect();
        let mut next = 0;
        while next < roles.len() {
            let heir = roles[next];
            for (one, parent) in &world.inheritance {
                let counts = *one == heir
                    && self.is_role(*parent, platform)
                    && world.roles[*parent].0
                    && !self.reaches(*parent, heir, platform)
                    && !roles.contains(parent);
                if counts {
                    roles.push(*parent);
                }
            }
            next += 1;
        }
        let own = Condition::Owner {};
        let of_roles = world.grants.iter().filter(|grant| roles.contains(&grant.role)).filter_map(|grant| {
            let own = self.is_about(grant.permission, meaning, platform)?.then_some(&own);
            self.applies(grant.effect, &[own, grant.condition.as_ref()], subject).then_some(grant.effect)
        });
        let of_directs = world.directs.iter().filter(|row| row.platform == platform && holds(row.subject));
        let of_directs = of_directs.filter(|row| live(row.expires) && self.is_here(row)).filter_map(|row| {
            let own = self.is_about(row.permission, meaning, platform)?.then_some(&own);
            self.applies(row.effect, &[own, row.condition.as_ref()], subject).then_some(row.effect)
        });
        of_roles.chain(of_directs).collect()
    }

    pub(super) fn is_here(&self, row: &Direct) -> bool {
        row.document.is_none_or(|document| {
            self.resource.is_some_and(|one| one.kind == "document" && one.id == Some(DOCUMENTS[document]))
        })
    }

    pub(super) fn is_role(&self, n: usize, platform: bool) -> bool {
        self.world.roles.get(n).is_some_and(|role| role.1 == platform)
    }

    pub(super) fn reaches(&self, from: usize, to: usize, platform: bool) -> bool {
        let mut seen = vec![from];
        let mut next = 0;
        while next < seen.len() {
            if seen[next] == to {
                return true;
            }
            let parents = self.world.inheritance.iter().filter(|(heir, parent)| {
                *heir == seen[next] && self.is_role(*heir, platform) && self.is_role(*parent, platform)
            });
            let parents: Vec<usize> = parents.map(|(_, parent)| *parent).collect();
            seen.extend(parents.into_iter().filter(|parent| !seen.contains(parent)).collect::<Vec<_>>());
            next += 1;
        }
        false
    }
}
