use chrono::{DateTime, Utc};
use serde::Serialize;
use stylobate_core::{NotificationId, PageLimit, PersonId, TenantId};

use crate::{Category, Severity};

/// What somebody finds in the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Names it.
    pub id: NotificationId,
    /// What it belongs to.
    pub tenant_id: Option<TenantId>,
    /// Whose it is.
    pub person_id: PersonId,
    /// Counts the person's notifications: who has seen one has seen all with a smaller position.
    pub position: i64,
    /// What it is about.
    pub category: Category,
    /// How much it matters.
    pub severity: Severity,
    /// The kind of message that it came from.
    pub kind: String,
    /// One line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// Where it leads: a path of the product.
    pub link: Option<String>,
    /// What it is about: the kind of thing.
    pub entity_type: Option<String>,
    /// What it is about: which one.
    pub entity_id: Option<String>,
    /// Who sent it, if that was a person.
    pub sender_id: Option<PersonId>,
    /// When it came.
    pub created_at: DateTime<Utc>,
    /// When it was read.
    pub read_at: Option<DateTime<Utc>>,
}

/// A notification that somebody writes to somebody.
#[derive(Debug, Clone)]
pub struct NewNotification {
    /// Whose it will be.
    pub recipient: PersonId,
    /// What it is about.
    pub category: Category,
    /// How much it matters.
    pub severity: Severity,
    /// One line, up to 200 characters.
    pub title: String,
    /// The rest, up to 4,000 characters.
    pub body: String,
    /// A path of the product: `/invoices/7`.
    pub link: Option<String>,
    /// What it is about: the kind of thing, up to 200 characters.
    pub entity_type: Option<String>,
    /// What it is about: which one, up to 200 characters.
    pub entity_id: Option<String>,
}

/// Which of a person's notifications to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct NotificationQuery {
    /// Only what was not read.
    pub unread_only: bool,
    /// How many at most.
    pub limit: PageLimit,
    /// Where the page begins.
    pub cursor: Option<String>,
}
