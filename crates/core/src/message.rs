use std::fmt;

use serde_json::Value;

use crate::{BoxFuture, PersonId, TenantId};

/// Something to tell somebody; which channel and template carry it is decided by whoever sends it.
///
/// ```
/// use stylobate_core::{Clock as _, Message, PersonId, SystemClock};
///
/// let person = PersonId::new(SystemClock.now());
/// let message = Message::to_person("password_changed", person)
///     .with(serde_json::json!({ "occurred_at": "2026-03-01T12:00:00Z" }))
///     .key("password_changed:42");
/// assert_eq!(message.tenant, None);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Message {
    /// The kind of message, which selects the template: `refresh_reuse_detected`.
    pub kind: &'static str,
    /// To whom.
    pub to: MessageTo,
    /// In which tenant, for its templates and channels.
    pub tenant: Option<TenantId>,
    /// Values for the template, a JSON object. May hold single-use links, so it is never logged.
    pub values: Value,
    /// Two messages with the same key are sent once.
    pub idempotency_key: Option<String>,
}

/// To whom a message goes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageTo {
    /// To a person, by whatever channels they have.
    Person(PersonId),
    /// To an e-mail address that is nobody's yet, or no longer: an invitation, the old and the new address of a change.
    Email(String),
}

impl Message {
    /// A message to a person, without tenant, values (an empty object) and key.
    #[must_use]
    pub fn to_person(kind: &'static str, person: PersonId) -> Self {
        Self::new(kind, MessageTo::Person(person))
    }

    /// A message to an e-mail address, without tenant, values (an empty object) and key.
    #[must_use]
    pub fn to_email(kind: &'static str, address: impl Into<String>) -> Self {
        Self::new(kind, MessageTo::Email(address.into()))
    }

    fn new(kind: &'static str, to: MessageTo) -> Self {
        Self { kind, to, tenant: None, values: Value::Object(serde_json::Map::new()), idempotency_key: None }
    }

    /// In which tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: impl Into<Option<TenantId>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// With these values for the template.
    #[must_use]
    pub fn with(mut self, values: Value) -> Self {
        self.values = values;
        self
    }

    /// Sent once, however often it is handed over with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("to", &self.to)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MessageTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => f.debug_tuple("Person").field(person).finish(),
            Self::Email(_) => f.write_str("Email(..)"),
        }
    }
}

/// A message could not be handed over.
#[derive(Debug, thiserror::Error)]
#[error("the message could not be handed over")]
pub struct MessageError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Takes messages to people.
pub trait MessageSender: Send + Sync {
    /// Hands `message` over for delivery; it has not arrived when this returns.
    ///
    /// # Errors
    /// [`MessageError`] when it could not be handed over. A failing channel never changes the result of the request.
    fn send(&self, message: Message) -> BoxFuture<'_, Result<(), MessageError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_the_values_nor_an_address() {
        let values = serde_json::json!({ "link": "https://example.test/reset?token=canary" });
        let message = Message::to_email("reset", "ada@canary.test").with(values);
        let shown = format!("{message:?}");
        assert!(shown.contains("reset") && !shown.contains("canary"), "{shown}");
    }
}
