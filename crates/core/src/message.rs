use serde_json::Value;

use crate::{BoxFuture, PersonId, TenantId};

/// Something to tell a person; which channel and template carry it is decided by whoever sends it.
#[derive(Clone)]
pub struct Message {
    /// The kind of message, which selects the template: `refresh_reuse_detected`.
    pub kind: &'static str,
    /// To whom.
    pub recipient: PersonId,
    /// In which tenant, for its templates and channels.
    pub tenant: Option<TenantId>,
    /// Values for the template. May hold single-use links, so it is never logged.
    pub values: Value,
    /// Two messages with the same key are sent once.
    pub idempotency_key: Option<String>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("recipient", &self.recipient)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
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
    fn debug_does_not_show_the_values() {
        let recipient = PersonId::new(chrono::DateTime::from_timestamp(0, 0).unwrap());
        let values = serde_json::json!({ "link": "https://example.test/reset?token=canary" });
        let message = Message { kind: "reset", recipient, tenant: None, values, idempotency_key: None };
        assert!(!format!("{message:?}").contains("canary"));
    }
}
