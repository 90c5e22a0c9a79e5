use std::collections::BTreeMap;

use crate::{
    Effect, KeyInvalid, PermissionKey,
    key::{covers, is_pattern, is_valid, without_own},
};

/// Roles by name, in memory: for programs whose credentials name the roles, without assignments, tenants or a database.
///
/// Any name of a permission can be asked for, none has to be declared. `read:*` gives every `read:…`. A permission ending
/// in `:own` is about the asker's own things: `read:own` gives every `read:…` on them, `people:read:own` gives `people:read`
/// on them. A denial wins over everything that the same roles allow. A role that is not there gives nothing.
///
/// ```
/// use stylobate_rbac::NamedRoles;
///
/// let mut roles = NamedRoles::new();
/// roles.add_role("admin", ["read:*", "write:*", "delete:*"])?;
/// roles.add_role("user", ["read:own", "write:own"])?;
///
/// assert!(roles.check_roles(&["admin"], "write:users"));
/// assert!(!roles.check_roles(&["user"], "write:users"));
/// assert!(roles.check_roles_on(&["user"], "write:users", true));
/// # Ok::<(), stylobate_rbac::NamedRolesInvalid>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct NamedRoles {
    roles: BTreeMap<Box<str>, NamedRole>,
}

#[derive(Debug, Clone, Default)]
struct NamedRole {
    rules: Vec<(Effect, PermissionKey)>,
    parents: Vec<Box<str>>,
}

/// Why a role cannot be as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamedRolesInvalid {
    /// A name is empty, too long, or has characters beyond printable ASCII.
    #[error("a role's name has 1 to 80 printable ASCII characters")]
    Name,
    /// A text is no permission and no pattern.
    #[error(transparent)]
    Permission(#[from] KeyInvalid),
    /// There is no such role.
    #[error("no role `{0}`")]
    Unknown(Box<str>),
    /// The role would inherit itself.
    #[error("`{0}` would inherit itself")]
    Cycle(Box<str>),
}

impl NamedRoles {
    /// No roles: nothing is allowed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a role that allows `permissions`; one of that name gets these instead of its own, and keeps its parents.
    ///
    /// # Errors
    /// [`NamedRolesInvalid::Name`], [`NamedRolesInvalid::Permission`]; nothing has changed then.
    pub fn add_role<P: AsRef<str>>(
        &mut self,
        name: &str,
        permissions: impl IntoIterator<Item = P>,
    ) -> Result<(), NamedRolesInvalid> {
        if name.is_empty() || name.len() > 80 || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(NamedRolesInvalid::Name);
        }
        let rules: Result<Vec<_>, KeyInvalid> =
            permissions.into_iter().map(|one| Ok((Effect::Allow, one.as_ref().parse()?))).collect();
        self.roles.entry(name.into()).or_default().rules = rules?;
        Ok(())
    }

    /// Denies `permission` to whoever has `role`, whatever else allows it.
    ///
    /// # Errors
    /// [`NamedRolesInvalid::Unknown`], [`NamedRolesInvalid::Permission`].
    pub fn deny(&mut self, role: &str, permission: &str) -> Result<(), NamedRolesInvalid> {
        let key = permission.parse()?;
        self.role_mut(role)?.rules.push((Effect::Deny, key));
        Ok(())
    }

    /// Gives `role` all rules of `parent` too.
    ///
    /// # Errors
    /// [`NamedRolesInvalid::Unknown`], [`NamedRolesInvalid::Cycle`].
    pub fn add_parent(&mut self, role: &str, parent: &str) -> Result<(), NamedRolesInvalid> {
        for name in [role, parent] {
            if !self.roles.contains_key(name) {
                return Err(NamedRolesInvalid::Unknown(name.into()));
            }
        }
        if self.with_parents(&[parent]).any(|(name, _)| name == role) {
            return Err(NamedRolesInvalid::Cycle(role.into()));
        }
        let parents = &mut self.role_mut(role)?.parents;
        if !parents.iter().any(|one| **one == *parent) {
            parents.push(parent.into());
        }
        Ok(())
    }

    /// Removes a role, also from its heirs. Whether there was one.
    pub fn remove_role(&mut self, name: &str) -> bool {
        for role in self.roles.values_mut() {
            role.parents.retain(|parent| **parent != *name);
        }
        self.roles.remove(name).is_some()
    }

    /// Whether somebody with `roles` may do `permission`, whosever thing it is: what is allowed for own things only does not
    /// suffice, and what is denied for them is denied. Asking for `read:own` asks about own things.
    #[must_use]
    pub fn check_roles(&self, roles: &[&str], permission: &str) -> bool {
        let is_own = without_own(permission).is_some();
        self.check(roles, permission, is_own.then_some(true))
    }

    /// Whether somebody with `roles` may do `permission` on a thing, which is its own or not.
    #[must_use]
    pub fn check_roles_on(&self, roles: &[&str], permission: &str, is_owner: bool) -> bool {
        self.check(roles, permission, Some(is_owner))
    }

    /// `is_owner` is unknown where nothing is said of a thing.
    fn check(&self, roles: &[&str], permission: &str, is_owner: Option<bool>) -> bool {
        if !is_valid(permission) || is_pattern(permission) {
            return false;
        }
        let mut is_allowed = false;
        for (_, role) in self.with_parents(roles) {
            for (effect, key) in &role.rules {
                // Where it is unknown whose the thing is, a rule on own things allows nothing and denies.
                if gives(key, permission, is_owner.unwrap_or(*effect == Effect::Deny)) {
                    match effect {
                        Effect::Deny => return false,
                        Effect::Allow => is_allowed = true,
                    }
                }
            }
        }
        is_allowed
    }

    fn role_mut(&mut self, name: &str) -> Result<&mut NamedRole, NamedRolesInvalid> {
        self.roles.get_mut(name).ok_or_else(|| NamedRolesInvalid::Unknown(name.into()))
    }

    /// The roles of these names and all they inherit, each once.
    fn with_parents<'a>(
        &'a self,
        names: &[&str],
    ) -> impl Iterator<Item = (&'a str, &'a NamedRole)> + use<'a> {
        let mut found: BTreeMap<&'a str, &'a NamedRole> = BTreeMap::new();
        let entry = |name: &str| self.roles.get_key_value(name).map(|(name, role)| (&**name, role));
        let mut next: Vec<(&'a str, &'a NamedRole)> = names.iter().filter_map(|name| entry(name)).collect();
        while let Some((name, role)) = next.pop() {
            if found.insert(name, role).is_none() {
                next.extend(role.parents.iter().filter_map(|parent| entry(parent)));
            }
        }
        found.into_iter()
    }
}

/// Whether a rule on `key` is about `permission`.
fn gives(key: &str, permission: &str, is_owner: bool) -> bool {
    if covers(key, permission) {
        return true;
    }
    let Some(base) = without_own(key).filter(|_| is_owner) else { return false };
    let asked = without_own(permission).unwrap_or(permission);
    // A verb alone, as in `read:own`, is about things of every kind.
    let of_every_kind = || {
        !base.contains([':', '.'])
            && asked.strip_prefix(base).is_some_and(|rest| rest.starts_with([':', '.']))
    };
    base == asked || of_every_kind()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> NamedRoles {
        let mut roles = NamedRoles::new();
        roles.add_role("admin", ["read:*", "write:*", "delete:*"]).unwrap();
        roles.add_role("user", ["read:own", "people:write:own"]).unwrap();
        roles.add_role("nobody", [""; 0]).unwrap();
        roles
    }

    #[test]
    fn patterns_cover_names_that_nobody_declared() {
        let roles = roles();
        assert!(
            roles.check_roles(&["admin"], "write:users") && roles.check_roles(&["x", "admin"], "read:own")
        );
        for permission in ["read", "users:write", "write:*", "*", "", "WRITE:users", "write:us\u{435}rs"] {
            assert!(!roles.check_roles(&["admin"], permission), "{permission}");
        }
        assert!(
            !roles.check_roles(&[], "write:users") && !roles.check_roles(&["nobody", "root"], "write:users")
        );
    }

    #[test]
    fn own_is_about_own_things() {
        let roles = roles();
        assert!(
            roles.check_roles(&["user"], "read:own") && roles.check_roles_on(&["user"], "read:users", true)
        );
        assert!(roles.check_roles_on(&["user"], "people:write", true));
        for (permission, is_owner) in [
            ("read:users", false),
            ("people:write", false),
            ("people:write:all", true),
            ("write:users", true),
        ] {
            assert!(!roles.check_roles_on(&["user"], permission, is_owner), "{permission}");
        }
    }

    #[test]
    fn a_denial_for_own_things_counts_where_nothing_is_known_of_the_thing() {
        let mut roles = NamedRoles::new();
        roles.add_role("user", ["people:delete"]).unwrap();
        roles.deny("user", "people:delete:own").unwrap();
        assert!(!roles.check_roles(&["user"], "people:delete"));
        assert!(!roles.check_roles_on(&["user"], "people:delete", true));
        assert!(roles.check_roles_on(&["user"], "people:delete", false));
    }

    #[test]
    fn roles_inherit_and_denials_win() {
        let mut roles = roles();
        roles.add_parent("nobody", "user").unwrap();
        roles.add_parent("user", "admin").unwrap();
        assert!(roles.check_roles(&["nobody"], "delete:users"));
        assert_eq!(roles.add_parent("admin", "nobody"), Err(NamedRolesInvalid::Cycle("admin".into())));
        assert_eq!(roles.add_parent("admin", "admin"), Err(NamedRolesInvalid::Cycle("admin".into())));
        roles.deny("user", "delete:*").unwrap();
        assert!(!roles.check_roles(&["nobody", "admin"], "delete:users"));
        assert!(roles.check_roles(&["admin"], "delete:users"));
        assert!(roles.remove_role("admin") && !roles.check_roles(&["nobody"], "write:users"));
    }

    #[test]
    fn what_is_no_role_or_permission_is_refused() {
        let mut roles = roles();
        for name in ["", "a\n", "r\u{f6}le", &"a".repeat(81)] {
            assert_eq!(roles.add_role(name, ["read:a"]), Err(NamedRolesInvalid::Name));
        }
        assert_eq!(
            roles.add_role("user", ["read:a", "read a"]),
            Err(NamedRolesInvalid::Permission(KeyInvalid))
        );
        assert!(roles.check_roles(&["user"], "read:own"), "a refusal changes nothing");
        assert_eq!(roles.add_parent("user", "x"), Err(NamedRolesInvalid::Unknown("x".into())));
        assert_eq!(roles.deny("x", "read:a"), Err(NamedRolesInvalid::Unknown("x".into())));
    }
}
