//! What granting a key gives, read in one place: checks, casbin and what may be handed out must not disagree about it.

use crate::{
    Catalogue, PermissionDef,
    key::{is_pattern, without_own},
    snapshot::Reach,
};

/// What granting a key gives in a policy of some reach.
#[derive(Debug, Clone)]
pub(crate) struct Meaning<'a> {
    pub(crate) gives: Gives<'a>,
    /// Of one's own things only.
    pub(crate) of_own: bool,
    /// Whether it is one permission by itself: switched off, that is denied to everybody. A pattern, an owner's right or a
    /// name of several that is switched off only gives and denies nothing.
    pub(crate) is_single: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Gives<'a> {
    /// Whatever the pattern covers, now or later.
    Pattern(&'a str),
    /// Permissions of the catalogue, at these places. Those out of reach are left out: the second wall behind the service,
    /// which refuses such a grant when it is written.
    Declared(Vec<(u32, &'a PermissionDef)>),
    /// A name that only rows know.
    Own(&'a str),
}

impl<'a> Meaning<'a> {
    pub(crate) fn of(catalogue: &'a Catalogue, reach: Reach, key: &'a str) -> Self {
        if is_pattern(key) {
            return Self { gives: Gives::Pattern(key), of_own: false, is_single: false };
        }
        let (name, of_own) = base_of(catalogue, key);
        let Some(places) = catalogue.places(name) else {
            return Self { gives: Gives::Own(name), of_own, is_single: !of_own };
        };
        let found = places.iter().filter_map(|&place| Some((place, catalogue.at(place)?)));
        let found = found.filter(|(_, permission)| reach.may_give(permission)).collect();
        Self { gives: Gives::Declared(found), of_own, is_single: !of_own && places.len() == 1 }
    }
}

/// Whether switching `key` off denies one permission to everybody; see [`Meaning`].
#[cfg(feature = "sql")]
pub(crate) fn is_single(catalogue: &Catalogue, key: &str) -> bool {
    Meaning::of(catalogue, Reach::Platform, key).is_single
}

/// The permissions of the catalogue that a policy of this reach can give, with their places.
pub(crate) fn declared(
    catalogue: &Catalogue,
    reach: Reach,
) -> impl Iterator<Item = (u32, &PermissionDef)> + Clone {
    (0_u32..).zip(catalogue.permissions()).filter(move |(_, permission)| reach.may_give(permission))
}

/// The permission that a key is about, and whether only of one's own things. A name that the catalogue declares is about
/// itself, however it ends.
pub(crate) fn base_of<'k>(catalogue: &Catalogue, key: &'k str) -> (&'k str, bool) {
    match without_own(key) {
        Some(base) if !catalogue.has(key) => (base, true),
        _ => (key, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_catalogue;

    #[test]
    fn a_key_means_the_same_however_its_owners_right_is_written() {
        let catalogue = default_catalogue();
        for key in ["user.read:own", "user.read.own", "user.read:own:own", "people:read.own:own"] {
            let meaning = Meaning::of(&catalogue, Reach::Tenant, key);
            let Gives::Declared(found) = meaning.gives else { panic!("{key}") };
            assert_eq!(found.iter().map(|(_, one)| one.key).collect::<Vec<_>>(), ["user.read"], "{key}");
            assert!(meaning.of_own && !meaning.is_single);
        }
        let own = Meaning::of(&catalogue, Reach::Tenant, "desk.read:own");
        assert!(matches!(own.gives, Gives::Own("desk.read")) && own.of_own);
        assert!(Meaning::of(&catalogue, Reach::Tenant, "desk.read").is_single);
    }

    #[test]
    fn what_the_platform_gives_is_out_of_a_tenants_reach() {
        let catalogue = default_catalogue();
        let of = |reach| match Meaning::of(&catalogue, reach, "org.create:own").gives {
            Gives::Declared(found) => found.len(),
            _ => panic!("declared"),
        };
        assert_eq!((of(Reach::Tenant), of(Reach::Platform)), (0, 1));
        let all = |reach| declared(&catalogue, reach).count();
        assert!(all(Reach::Tenant) < all(Reach::Platform));
        assert_eq!(all(Reach::Platform), catalogue.permissions().len());
    }

    #[test]
    fn a_name_of_several_is_not_single() {
        let catalogue = default_catalogue();
        let several = Meaning::of(&catalogue, Reach::Tenant, "people:write");
        assert!(!several.is_single && matches!(several.gives, Gives::Declared(found) if found.len() > 1));
        assert!(Meaning::of(&catalogue, Reach::Tenant, "people:read").is_single);
        assert!(matches!(Meaning::of(&catalogue, Reach::Tenant, "user.*").gives, Gives::Pattern("user.*")));
    }
}
