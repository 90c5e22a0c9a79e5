use serde::{Deserialize, Serialize};
use stylobate_core::TenantId;

use crate::{OrgCode, OrgName};

/// Whether a member may act in the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipStatus {
    /// They may.
    Active,
    /// They still belong to it, but may not act in it.
    Suspended,
}

impl MembershipStatus {
    /// The status as rows and bodies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The status that is spelt `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == word)
    }
}

/// One organisation a person belongs to, with what sign-in must know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organisation.
    pub tenant_id: TenantId,
    /// Its code.
    pub org_code: OrgCode,
    /// Its name.
    pub org_name: OrgName,
    /// Whether the organisation itself is active.
    pub org_is_active: bool,
    /// Whether the person may act in it.
    pub status: MembershipStatus,
}

impl Membership {
    /// Whether the person may act there: an active member of an active organisation.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.org_is_active && self.status == MembershipStatus::Active
    }
}

/// Why no organisation could be chosen for a person who signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// The person may act in no organisation.
    #[error("the person may act in no organisation")]
    NoMembership,
    /// The person may act in several organisations and named none.
    #[error("an organisation code is required")]
    OrgCodeRequired,
    /// The person may not act in the organisation named. Unknown, foreign and suspended ones look alike.
    #[error("the person may not act in this organisation")]
    NotAMember,
}

impl ChooseError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoMembership => "no_membership",
            Self::OrgCodeRequired => "org_code_required",
            Self::NotAMember => "not_a_member",
        }
    }
}

/// Chooses the organisation that a person who signs in acts for.
///
/// Only usable memberships count ([`Membership::is_usable`]). With a code, the organisation of that code, in whatever
/// case it is written; without one, the only organisation.
///
/// # Errors
/// [`ChooseError::OrgCodeRequired`] can be answered by asking for a code; the others end the sign-in.
pub fn choose(memberships: &[Membership], org_code: Option<&str>) -> Result<TenantId, ChooseError> {
    let mut usable = memberships.iter().filter(|membership| membership.is_usable());
    let first = usable.clone().next().ok_or(ChooseError::NoMembership)?;
    match org_code {
        Some(code) => usable
            .find(|membership| membership.org_code.as_str().eq_ignore_ascii_case(code))
            .map(|membership| membership.tenant_id)
            .ok_or(ChooseError::NotAMember),
        None if usable.nth(1).is_some() => Err(ChooseError::OrgCodeRequired),
        None => Ok(first.tenant_id),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn membership(id: u128, code: &str) -> Membership {
        Membership {
            tenant_id: TenantId::from_uuid(Uuid::from_u128(id)),
            org_code: code.parse().unwrap(),
            org_name: code.parse().unwrap(),
            org_is_active: true,
            status: MembershipStatus::Active,
        }
    }

    #[test]
    fn the_only_organisation_needs_no_code() {
        let one = [membership(1, "acme")];
        assert_eq!(choose(&one, None), Ok(one[0].tenant_id));
        assert_eq!(choose(&one, Some("ACME")), Ok(one[0].tenant_id));
    }

    #[test]
    fn several_organisations_need_a_code() {
        let two = [membership(1, "acme"), membership(2, "Other")];
        assert_eq!(choose(&two, None), Err(ChooseError::OrgCodeRequired));
        assert_eq!(choose(&two, Some("other")), Ok(two[1].tenant_id));
    }

    // A12: the code selects among own memberships and tells nothing about others.
    #[test]
    fn a_code_of_no_usable_membership_is_refused() {
        let mut two = [membership(1, "acme"), membership(2, "other")];
        two[1].status = MembershipStatus::Suspended;
        for code in ["", "missing", "other", "acm", " acme"] {
            assert_eq!(choose(&two, Some(code)), Err(ChooseError::NotAMember), "{code:?}");
        }
    }

    #[test]
    fn suspended_members_and_inactive_organisations_do_not_count() {
        let mut two = [membership(1, "acme"), membership(2, "other")];
        two[0].org_is_active = false;
        assert_eq!(choose(&two, None), Ok(two[1].tenant_id));
        two[1].status = MembershipStatus::Suspended;
        assert_eq!(choose(&two, None), Err(ChooseError::NoMembership));
        assert_eq!(choose(&two, Some("acme")), Err(ChooseError::NoMembership));
        assert_eq!(choose(&[], None), Err(ChooseError::NoMembership));
    }
}
