use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_core::{NotificationChannelId, PageLimit, PersonId, TenantId};

use crate::{Medium, Severity, as_text::stored_as_text};

/// Whose a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOwner {
    /// A tenant's: it hears what is announced to the tenant.
    Tenant(TenantId),
    /// A person's: it hears what is said to the person, in whatever tenant.
    Person(PersonId),
}

/// A destination that somebody has set up. What opens it is shown to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotificationChannel {
    /// Names it.
    pub id: NotificationChannelId,
    /// Whose it is.
    pub owner: ChannelOwner,
    /// What carries messages through it.
    pub channel_type: Medium,
    /// What it is for, in words of whoever made it.
    pub label: String,
    /// Where it leads, with most of it hidden.
    pub destination: String,
    /// What it hears: names of kinds and types of events, `alert.*` for all that begin so, `*` for all.
    pub events: Vec<String>,
    /// What matters less is not heard.
    pub severity_min: Severity,
    /// Whether anything is sent.
    pub is_active: bool,
    /// Why nothing is sent.
    pub disabled_reason: Option<ChannelDisabled>,
    /// Since when every attempt has failed, but those that never got past our own mail server.
    pub failing_since: Option<DateTime<Utc>>,
    /// Goes up with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// Why a channel is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelDisabled {
    /// Somebody did it.
    ByHand,
    /// The other side says that there is nothing any more.
    Gone,
    /// Nothing but failures for 5 days, and at least 3 deliveries given up within them.
    Failing,
}

/// A channel to be made.
#[derive(Clone)]
pub struct NewChannel {
    /// What carries messages through it: not `sms` and not `in_app`.
    pub channel_type: Medium,
    /// What it is for, 1 to 100 characters.
    pub label: String,
    /// `{"address"}` of an e-mail channel, `{"bot_token","chat_id"}` of Telegram, `{"url"}` of the others.
    pub config: Value,
    /// What it hears, 1 to 100 names or patterns.
    pub events: Vec<String>,
    /// What matters less is not heard.
    pub severity_min: Severity,
}

impl std::fmt::Debug for NewChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewChannel").field("channel_type", &self.channel_type).finish_non_exhaustive()
    }
}

/// What changes about a channel; `None` stays.
#[derive(Clone, Default)]
pub struct ChannelChange {
    /// What it is for.
    pub label: Option<String>,
    /// Where it leads, as a whole: nothing of the one before stays.
    pub config: Option<Value>,
    /// What it hears.
    pub events: Option<Vec<String>>,
    /// What matters less is not heard.
    pub severity_min: Option<Severity>,
    /// Whether anything is sent.
    pub is_active: Option<bool>,
    /// Refuses the change if the channel has another version by now.
    pub version: Option<i64>,
}

impl std::fmt::Debug for ChannelChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelChange").field("is_active", &self.is_active).finish_non_exhaustive()
    }
}

/// Which channels to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct ChannelQuery {
    /// How many at most.
    pub limit: PageLimit,
    /// Where the page begins.
    pub cursor: Option<String>,
}

stored_as_text!(ChannelDisabled { ByHand = "by_hand", Gone = "gone", Failing = "failing" });
