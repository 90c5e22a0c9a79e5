mod defaults;

use std::collections::{BTreeMap, HashMap};

use crate::{
    index::Seed,
    key::{covers, is_pattern, is_valid},
};

pub use defaults::{MEMBER, SUPER_ADMIN, default_catalogue};

/// A permission that code asks for, declared as a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionDef {
    /// The canonical name.
    pub key: &'static str,
    /// What holding it allows, in words for the person who hands it out.
    pub description: &'static str,
    /// Other names. A synonym may belong to several permissions: granted it gives all of them, asked for it needs all.
    pub synonyms: &'static [&'static str],
    /// Whether only platform roles can give it, because what it opens is not one tenant's own.
    pub is_platform: bool,
    /// Resource and action, where the name does not say them.
    about: Option<(&'static str, &'static str)>,
}

impl PermissionDef {
    /// A permission that tenants may hand out.
    #[must_use]
    pub const fn new(key: &'static str, description: &'static str) -> Self {
        Self { key, description, synonyms: &[], is_platform: false, about: None }
    }

    /// The same permission, which allows `action` on `resource` whatever its name says.
    #[must_use]
    pub const fn about(mut self, resource: &'static str, action: &'static str) -> Self {
        self.about = Some((resource, action));
        self
    }

    /// What kind of thing it is about: all segments of the name but the last, unless said otherwise.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        self.about.unwrap_or_else(|| split(self.key)).0
    }

    /// What it allows to do with it: the last segment of the name, unless said otherwise.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.about.unwrap_or_else(|| split(self.key)).1
    }

    /// The same permission, also known by `synonyms`.
    #[must_use]
    pub const fn also(mut self, synonyms: &'static [&'static str]) -> Self {
        self.synonyms = synonyms;
        self
    }

    /// The same permission, given by platform roles only.
    #[must_use]
    pub const fn platform(mut self) -> Self {
        self.is_platform = true;
        self
    }

    /// The canonical name and all synonyms.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.key).chain(self.synonyms.iter().copied())
    }

    /// Whether a key or pattern, granted or as a scope, gives this permission.
    pub(crate) fn is_covered_by(&self, held: &str) -> bool {
        self.names().any(|name| covers(held, name))
    }
}

/// Resource and action as a name says them; a name of one segment is both.
fn split(key: &'static str) -> (&'static str, &'static str) {
    key.rsplit_once(['.', ':']).unwrap_or((key, key))
}

/// Which permissions a declared role begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleGrants {
    /// Every permission of the catalogue that tenants may hand out, each as a link of its own.
    AllTenant,
    /// Everything there is, now and later, by the pattern `*`; for platform roles only.
    Everything,
    /// The permissions with these canonical names.
    Keys(&'static [&'static str]),
}

/// A role that every tenant (or the platform) begins with, declared as a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleDef {
    /// The name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it begins with; tenants may change it later.
    pub grants: RoleGrants,
    /// Whether it is one role of the platform instead of one in each tenant.
    pub is_platform: bool,
}

/// A catalogue that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueInvalid {
    /// A key or synonym is not a permission key, or is a pattern.
    #[error("`{0}` is not the name of a permission")]
    Key(&'static str),
    /// A canonical name is declared twice or is a synonym of another permission.
    #[error("permission `{0}` is declared twice")]
    Duplicate(&'static str),
    /// A role names a permission that is not declared, or one that its kind of role cannot have.
    #[error("role `{role}` cannot begin with `{key}`")]
    RoleGrant {
        /// The role.
        role: &'static str,
        /// What it asks for.
        key: &'static str,
    },
}

/// All permissions that code asks for, and the roles that installations begin with.
///
/// A permission's place in the catalogue is its bit in every compiled role.
#[derive(Debug, Clone)]
pub struct Catalogue {
    permissions: Vec<PermissionDef>,
    roles: Vec<RoleDef>,
    by_name: HashMap<&'static str, Box<[u32]>, Seed>,
}

impl Catalogue {
    /// Puts tables together, each permission once.
    ///
    /// # Errors
    /// [`CatalogueInvalid`], naming the entry at fault.
    pub fn new(
        permissions: impl IntoIterator<Item = PermissionDef>,
        roles: impl IntoIterator<Item = RoleDef>,
    ) -> Result<Self, CatalogueInvalid> {
        let permissions: Vec<PermissionDef> = permissions.into_iter().collect();
        let roles: Vec<RoleDef> = roles.into_iter().collect();
        let mut targets: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
        for (permission, place) in permissions.iter().zip(0_u32..) {
            for name in permission.names() {
                if !is_valid(name) || is_pattern(name) {
                    return Err(CatalogueInvalid::Key(name));
                }
                let places = targets.entry(name).or_default();
                if places.contains(&place) {
                    return Err(CatalogueInvalid::Duplicate(name));
                }
                places.push(place);
            }
        }
        for permission in &permissions {
            if targets.get(permission.key).is_none_or(|places| places.len() > 1) {
                return Err(CatalogueInvalid::Duplicate(permission.key));
            }
        }
        let by_name = targets.into_iter().map(|(name, places)| (name, places.into_boxed_slice())).collect();
        let catalogue = Self { permissions, roles, by_name };
        catalogue.check_roles()?;
        Ok(catalogue)
    }

    /// The same catalogue with the product's own `permissions` and `roles` behind it.
    ///
    /// # Errors
    /// [`CatalogueInvalid`], naming the entry at fault.
    pub fn extended(
        self,
        permissions: impl IntoIterator<Item = PermissionDef>,
        roles: impl IntoIterator<Item = RoleDef>,
    ) -> Result<Self, CatalogueInvalid> {
        Self::new(self.permissions.into_iter().chain(permissions), self.roles.into_iter().chain(roles))
    }

    fn check_roles(&self) -> Result<(), CatalogueInvalid> {
        for role in &self.roles {
            let refused = match role.grants {
                RoleGrants::AllTenant => None,
                RoleGrants::Everything => (!role.is_platform).then_some("*"),
                RoleGrants::Keys(keys) => keys.iter().copied().find(|key| {
                    self.find(key)
                        .is_none_or(|found| found.key != *key || (found.is_platform && !role.is_platform))
                }),
            };
            if let Some(key) = refused {
                return Err(CatalogueInvalid::RoleGrant { role: role.name, key });
            }
        }
        Ok(())
    }

    /// The declared permissions, in the order of declaration.
    #[must_use]
    pub fn permissions(&self) -> &[PermissionDef] {
        &self.permissions
    }

    /// The declared roles.
    #[must_use]
    pub fn roles(&self) -> &[RoleDef] {
        &self.roles
    }

    /// The permission that `name` is the canonical name or only meaning of.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&PermissionDef> {
        match self.places(name)? {
            [place] => self.at(*place),
            _ => None,
        }
    }

    /// Whether `name` is a canonical name or a synonym.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The places of every permission that `name` means.
    pub(crate) fn places(&self, name: &str) -> Option<&[u32]> {
        self.by_name.get(name).map(|places| &**places)
    }

    pub(crate) fn at(&self, place: u32) -> Option<&PermissionDef> {
        self.permissions.get(usize::try_from(place).ok()?)
    }

    /// How many bits the catalogue takes.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.permissions.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_catalogue_is_sound() {
        let catalogue = default_catalogue();
        assert_eq!(catalogue.find("people:read").map(|found| found.key), Some("user.read"));
        assert_eq!(catalogue.find("people:write"), None, "means three permissions");
        assert!(catalogue.has("people:write") && !catalogue.has("people:everything"));
    }

    #[test]
    fn resource_and_action_are_the_name_unless_given() {
        let of = |permission: PermissionDef| (permission.resource(), permission.action());
        assert_eq!(of(PermissionDef::new("user.credential.read", "")), ("user.credential", "read"));
        assert_eq!(of(PermissionDef::new("people:read", "")), ("people", "read"));
        assert_eq!(of(PermissionDef::new("sing", "")), ("sing", "sing"));
        assert_eq!(of(PermissionDef::new("read:users", "").about("users", "read")), ("users", "read"));
    }

    #[test]
    fn contradictions_are_refused() {
        let one = PermissionDef::new("a.read", "");
        let build = |permissions: &[PermissionDef], roles: &[RoleDef]| {
            Catalogue::new(permissions.iter().copied(), roles.iter().copied()).map(|_| ())
        };
        assert_eq!(build(&[one, one], &[]), Err(CatalogueInvalid::Duplicate("a.read")));
        let shadow = PermissionDef::new("b.read", "").also(&["a.read"]);
        assert_eq!(build(&[one, shadow], &[]), Err(CatalogueInvalid::Duplicate("a.read")));
        assert_eq!(build(&[PermissionDef::new("A", "")], &[]), Err(CatalogueInvalid::Key("A")));
        assert_eq!(build(&[PermissionDef::new("a.*", "")], &[]), Err(CatalogueInvalid::Key("a.*")));
        let role = RoleDef {
            name: "r",
            description: "",
            grants: RoleGrants::Keys(&["a.write"]),
            is_platform: false,
        };
        let refused = CatalogueInvalid::RoleGrant { role: "r", key: "a.write" };
        assert_eq!(build(&[one], &[role]), Err(refused.clone()));
        // A tenant's role never begins with what belongs to the platform.
        assert_eq!(build(&[PermissionDef::new("a.write", "").platform()], &[role]), Err(refused));
        let star = RoleDef { grants: RoleGrants::Everything, ..role };
        assert!(build(&[one], &[star]).is_err());
    }
}
