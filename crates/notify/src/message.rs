use std::time::Duration;

use serde_json::Value;
use stylobate_core::{MessageId, TenantId};

/// Something for those who listen to it, and for nobody in person: an event, most often.
#[derive(Clone)]
pub struct Announcement {
    /// The kind of message, which selects the template.
    pub kind: &'static str,
    /// To whose channels.
    pub tenant: TenantId,
    /// What channels choose by: the type of the event. The kind unless given.
    pub topic: Option<String>,
    /// Values for the template, a JSON object.
    pub values: Value,
    /// Two with the same key are sent once.
    pub idempotency_key: Option<String>,
}

impl std::fmt::Debug for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, tenant, topic, .. } = self;
        f.debug_struct("Announcement")
            .field("kind", kind)
            .field("tenant", tenant)
            .field("topic", topic)
            .finish_non_exhaustive()
    }
}

/// What came of handing a message over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is on its way.
    New(MessageId),
    /// There was one of its kind with its idempotency key already.
    Already,
}

/// A message that waits to be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRef {
    /// Names it.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: Option<TenantId>,
}

/// What is to be done about a message or delivery next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Done,
    /// Call again after that.
    After(Duration),
}
