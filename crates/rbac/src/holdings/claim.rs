use chrono::{DateTime, Utc};
use stylobate_core::RoleId;

use super::RoleRows;
use crate::{Catalogue, Condition, Effect, meaning::base_of};

/// A right: by itself what is to be handed out, or as part of [`Rules`] what somebody has.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(super) key: String,
    pub(super) condition: Option<Condition>,
    pub(super) until: Option<DateTime<Utc>>,
    /// Kind and id, when it is about one resource.
    pub(super) resource: Option<(String, String)>,
}

impl Claim {
    /// What granting `key` gives. A key ending in `:own` or `.own` that the catalogue does not declare is the permission
    /// before it for the owner of the thing.
    pub(crate) fn new(catalogue: &Catalogue, key: &str, condition: Option<Condition>) -> Self {
        let (key, of_own) = base_of(catalogue, key);
        let condition = match condition {
            other if !of_own => other,
            None => Some(Condition::Owner {}),
            Some(other) => Some(Condition::All(vec![Condition::Owner {}, other])),
        };
        Self { key: key.to_owned(), condition, until: None, resource: None }
    }

    /// What somebody must have who makes a rule about `key`.
    pub(crate) fn of_rule(
        catalogue: &Catalogue,
        key: &str,
        effect: Effect,
        condition: Option<Condition>,
    ) -> Self {
        match effect {
            Effect::Allow => Self::new(catalogue, key, condition),
            Effect::Deny => Self::denied(catalogue, key),
        }
    }

    /// What somebody loses to whom `key` is denied, and gains when it is denied no longer. Under no condition: a denial also
    /// holds where its condition is not known to hold.
    pub(crate) fn denied(catalogue: &Catalogue, key: &str) -> Self {
        Self { condition: None, ..Self::new(catalogue, key, None) }
    }

    /// The same until `until`.
    pub(crate) fn until(mut self, until: Option<DateTime<Utc>>) -> Self {
        self.until = until;
        self
    }

    /// The same about one resource.
    pub(crate) fn on(mut self, kind: &str, id: &str) -> Self {
        self.resource = Some((kind.to_owned(), id.to_owned()));
        self
    }

    /// Whether it has neither condition nor end and is about everything.
    pub(super) fn is_absolute(&self) -> bool {
        self.condition.is_none() && self.until.is_none() && self.resource.is_none()
    }

    /// Whether holding `self` is holding `other`, what they cover left aside.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        let lasts = match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        lasts
            && (self.condition.is_none() || self.condition == other.condition)
            && (self.resource.is_none() || self.resource == other.resource)
    }
}

/// Rights that are handed out together, and what the same hand takes from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bundle {
    pub(crate) claims: Vec<Claim>,
    /// Keys and patterns that the bundle itself always denies.
    pub(super) minus: Vec<String>,
}

impl Bundle {
    /// Exactly these.
    pub(crate) fn of(claims: impl IntoIterator<Item = Claim>) -> Self {
        Self { claims: claims.into_iter().collect(), minus: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// What whoever has `role` until `until` may do by it: its own rules and the inherited ones, switched on or not.
    pub(crate) fn of_role(
        catalogue: &Catalogue,
        rows: &RoleRows<'_>,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        let active = rows.above(role, true);
        let mut bundle = Self::default();
        for grant in rows.grants_of(rows.above(role, false)) {
            let Some(key) = rows.keys.get(grant.permission) else { continue };
            let claim = Claim::new(catalogue, key, grant.condition.clone());
            match grant.effect {
                Effect::Allow => bundle.claims.push(claim.until(until)),
                // A denial that is switched off, or holds sometimes only, takes nothing away for certain.
                Effect::Deny
                    if claim.condition.is_none()
                        && active.contains(&grant.role)
                        && rows.keys.active(grant.permission).is_some() =>
                {
                    bundle.minus.push(claim.key);
                }
                Effect::Deny => {}
            }
        }
        bundle
    }

    /// What `role`, were it gone, would deny no longer to those who have it until `until`; switched on or not, for what
    /// is switched off now can be switched on again.
    pub(crate) fn denied_by_role(
        catalogue: &Catalogue,
        rows: &RoleRows<'_>,
        role: RoleId,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        let denials = rows.grants_of(rows.above(role, false)).filter(|grant| grant.effect == Effect::Deny);
        let keys = denials.filter_map(|grant| rows.keys.get(grant.permission));
        Self::of(keys.map(|key| Claim::denied(catalogue, key).until(until)))
    }
}
