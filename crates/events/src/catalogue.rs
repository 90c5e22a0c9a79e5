use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use crate::EventsError;

/// A topic exchange of the broker, by which consumers choose what they hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Exchange(&'static str);

impl Exchange {
    /// Sign-ins, sessions, passwords, alerts.
    pub const SECURITY: Self = Self("security.events");
    /// What was changed by whom.
    pub const AUDIT: Self = Self("audit.events");
    /// What mails are made of.
    pub const EMAIL: Self = Self("email.events");
    /// What log and metric collectors take in.
    pub const LOGS: Self = Self("logs.ingest");

    /// An exchange of one's own. [`Catalogue::new`] refuses names that are not 1 to 127 characters of `a-z 0-9 . _ -`, or that
    /// begin with `amq.`, which belongs to brokers (AMQP 0-9-1 §3.1.3).
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// What the broker calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One kind of event in one version: what it is called, and what its payload looks like.
///
/// A version is for ever: fields may be added to its payload if consumers may ignore them; anything else is the next version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventType {
    /// What it is called, and its routing key: 1 to 128 characters of `a-z 0-9 . _ -`, `noun.verb` in the past tense.
    pub name: &'static str,
    /// The version of the payload's shape, from 1.
    pub version: u16,
    /// Where brokers publish it; `None` keeps it from them.
    pub exchange: Option<Exchange>,
    /// What it means, in a sentence.
    pub description: &'static str,
    /// What the payload looks like (JSON Schema 2020-12). It documents; nothing is held against it.
    pub schema: Value,
}

/// All types of events of a platform. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// By name, then by version.
    types: Arc<BTreeMap<&'static str, BTreeMap<u16, EventType>>>,
}

impl Catalogue {
    /// A catalogue of `types`.
    ///
    /// # Errors
    /// [`EventsError::TypeTwice`] when two have one name and version, [`EventsError::Invalid`] when a name of a type or exchange
    /// is none, or a version is 0.
    pub fn new(types: impl IntoIterator<Item = EventType>) -> Result<Self, EventsError> {
        let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for one in types {
            checked_name("type", one.name, 128)?;
            if let Some(Exchange(name)) = one.exchange {
                checked_name("exchange", name, 127)?;
                if name.starts_with("amq.") {
                    let problem = "begins with `amq.`, which belongs to brokers".to_owned();
                    return Err(EventsError::Invalid { field: "exchange", problem });
                }
            }
            let (kind, version) = (one.name, one.version);
            if version == 0 {
                let problem = format!("of `{kind}` is 0; the first version is 1");
                return Err(EventsError::Invalid { field: "version", problem });
            }
            if all.entry(kind).or_default().insert(version, one).is_some() {
                return Err(EventsError::TypeTwice { kind: kind.to_owned(), version });
            }
        }
        Ok(Self { types: Arc::new(all) })
    }

    /// The type called `name` in `version`.
    #[must_use]
    pub fn find(&self, name: &str, version: u16) -> Option<&EventType> {
        self.types.get(name)?.get(&version)
    }

    /// Every type, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.types.values().flat_map(BTreeMap::values)
    }
}

/// 1 to `most` of the characters that names of types, exchanges and subscribers have.
pub(crate) fn checked_name(field: &'static str, name: &str, most: usize) -> Result<(), EventsError> {
    let is_sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > most || !name.bytes().all(is_sound) {
        let problem = format!("has 1 to {most} characters of a-z 0-9 . _ -");
        return Err(EventsError::Invalid { field, problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(name: &'static str, version: u16) -> EventType {
        EventType {
            name,
            version,
            exchange: Some(Exchange::AUDIT),
            description: "Something happened.",
            schema: json!({ "type": "object" }),
        }
    }

    #[test]
    fn a_type_is_found_by_name_and_version() {
        let catalogue =
            Catalogue::new([kind("user.created", 2), kind("user.created", 1), kind("role.created", 1)])
                .unwrap();
        assert_eq!(catalogue.find("user.created", 2), Some(&kind("user.created", 2)));
        assert_eq!(catalogue.find("user.created", 3), None);
        assert_eq!(catalogue.find("user", 1), None);
        let names: Vec<_> = catalogue.iter().map(|one| (one.name, one.version)).collect();
        assert_eq!(names, [("role.created", 1), ("user.created", 1), ("user.created", 2)]);
    }

    #[test]
    fn a_type_that_is_there_twice_or_has_no_name_is_refused() {
        let refused = |types: Vec<EventType>| Catalogue::new(types).unwrap_err().code();
        assert_eq!(refused(vec![kind("a", 1), kind("b", 1), kind("a", 1)]), "event_type_twice");
        for wrong in ["", "User.created", "user created", "user/created", "*"] {
            assert_eq!(refused(vec![kind(wrong, 1)]), "validation", "{wrong}");
        }
        assert_eq!(refused(vec![kind("a", 0)]), "validation");
        for wrong in ["", "amq.topic", "A"] {
            let exchange = Some(Exchange::named(wrong));
            assert_eq!(refused(vec![EventType { exchange, ..kind("a", 1) }]), "validation", "{wrong}");
        }
    }
}
