use std::collections::BTreeSet;

use super::{WebhooksError, error::invalid};
use crate::Catalogue;

/// How many types an endpoint may name.
const TYPES_MAX: usize = 100;

/// The types that an endpoint names, without doubles: each is in the catalogue, or stands for some that are.
pub(super) fn checked(types: Vec<String>, catalogue: &Catalogue) -> Result<Vec<String>, WebhooksError> {
    let types: BTreeSet<String> = types.into_iter().collect();
    if types.is_empty() || types.len() > TYPES_MAX {
        return Err(invalid("types", format!("has 1 to {TYPES_MAX} types")));
    }
    let mut known = types.iter().map(|pattern| catalogue.iter().any(|one| matches(pattern, one.name)));
    if !known.all(|is_known| is_known) {
        return Err(invalid("types", "has a type that is not in the catalogue"));
    }
    Ok(types.into_iter().collect())
}

/// Whether `pattern` names `kind`: its name, `noun.*`, or `*`.
pub(super) fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => {
            prefix.ends_with('.') && kind.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())
        }
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::EventType;

    #[test]
    fn a_star_stands_for_all_that_begin_so() {
        for (pattern, kind, expected) in [
            ("*", "user.created", true),
            ("user.*", "user.created", true),
            ("user.*", "user.email.changed", true),
            ("user.created", "user.created", true),
            ("user.*", "users.created", false),
            ("user.*", "user", false),
            ("user.*", "user.", false),
            ("user*", "user.created", false),
            ("*.created", "user.created", false),
            ("user.c*", "user.created", false),
            ("**", "user.created", false),
            ("", "user.created", false),
            ("user.create", "user.created", false),
        ] {
            assert_eq!(matches(pattern, kind), expected, "{pattern} {kind}");
        }
    }

    #[test]
    fn types_are_in_the_catalogue() {
        let kind = |name| EventType { name, version: 1, exchange: None, description: "", schema: json!({}) };
        let catalogue = Catalogue::new([kind("user.created"), kind("role.created")]).unwrap();
        let check = |types: &[&str]| checked(types.iter().map(|one| (*one).to_owned()).collect(), &catalogue);
        assert_eq!(check(&["user.created", "role.*", "user.created"]).unwrap(), ["role.*", "user.created"]);
        assert_eq!(check(&["*"]).unwrap(), ["*"]);
        for wrong in
            [&[][..], &[""], &["user.deleted"], &["group.*"], &["user*"], &["*", "nonsense"], &["a\0"]]
        {
            assert_eq!(check(wrong).unwrap_err().code(), "validation", "{wrong:?}");
        }
        let many: Vec<String> = (0..=TYPES_MAX).map(|n| format!("user.{n}")).collect();
        assert!(checked(many, &catalogue).is_err());
    }
}
