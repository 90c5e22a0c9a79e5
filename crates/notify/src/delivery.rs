use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{MessageDeliveryId, MessageId, NotificationChannelId, PageLimit, PersonId, TenantId};

use crate::{Medium, as_text::stored_as_text};

/// One message to one destination, and what came of it. What was said is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageDelivery {
    /// Names it.
    pub id: MessageDeliveryId,
    /// Whose it is; nobody's for messages outside of tenants.
    pub tenant_id: Option<TenantId>,
    /// The message: several deliveries can be of one.
    pub message_id: MessageId,
    /// The kind of message.
    pub kind: String,
    /// What carries it.
    pub medium: Medium,
    /// Through which channel.
    pub channel_id: Option<NotificationChannelId>,
    /// To whom.
    pub person_id: Option<PersonId>,
    /// Where to, with most of it hidden: `a…@example.org`.
    pub destination: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Why it was dropped or failed.
    pub reason: Option<Reason>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub due_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed: a code.
    pub last_error: Option<String>,
    /// The status that the other side answered last, of HTTP or SMTP.
    pub last_status: Option<u16>,
    /// When it was planned.
    pub created_at: DateTime<Utc>,
    /// When it was tried last.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it was sent, dropped or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which deliveries to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct MessageDeliveryQuery {
    /// Only through that channel.
    pub channel: Option<NotificationChannelId>,
    /// Only those that are so far.
    pub state: Option<DeliveryState>,
    /// Only by that medium.
    pub medium: Option<Medium>,
    /// How many at most.
    pub limit: PageLimit,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried until it is taken.
    Pending,
    /// The other side took it. Whether anybody has read it is another matter.
    Sent,
    /// It was tried often enough, or cannot be sent.
    Failed,
    /// It was decided not to send it.
    Dropped,
}

/// Why something was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The recipient has no such address, is gone, or nobody was named: a flow that must cost the same whether somebody is written to
    /// or not names nobody.
    NoAddress,
    /// The address is not proven to be theirs.
    Unverified,
    /// The recipient does not want to hear of such things there.
    Muted,
    /// Nothing is sent to that address.
    Suppressed,
    /// There were as many as there may be.
    Budget,
    /// The same was said a short while ago.
    Duplicate,
    /// It would have been too old at the end of the quiet hours.
    Quiet,
    /// It became too old while it waited.
    Expired,
    /// The channel was removed, or leads to another address by now.
    ChannelGone,
    /// The channel is switched off.
    ChannelInactive,
    /// There is nothing that could carry it: no transport of that kind is set up.
    NoTransport,
    /// What was to be sent, or where, could not be opened.
    Unopenable,
    /// The template could not be rendered.
    Template,
    /// The other side will not take it.
    Refused,
    /// There is no such recipient at the other side.
    BadRecipient,
    /// It was tried often enough.
    Exhausted,
    /// Whoever was at it died or failed, again and again.
    Interrupted,
}

/// A delivery that waits to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryRef {
    /// Names it.
    pub id: MessageDeliveryId,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// What carries it.
    pub medium: Medium,
    /// Through which channel. With the medium it tells deliveries apart that wait for the same other side.
    pub channel: Option<NotificationChannelId>,
    /// When it is to be made.
    pub due_at: DateTime<Utc>,
}

stored_as_text!(DeliveryState {
    Pending = "pending",
    Sent = "sent",
    Failed = "failed",
    Dropped = "dropped",
});
stored_as_text!(Reason {
    NoAddress = "no_address",
    Unverified = "unverified",
    Muted = "muted",
    Suppressed = "suppressed",
    Budget = "budget",
    Duplicate = "duplicate",
    Quiet = "quiet",
    Expired = "expired",
    ChannelGone = "channel_gone",
    ChannelInactive = "channel_inactive",
    NoTransport = "no_transport",
    Unopenable = "unopenable",
    Template = "template",
    Refused = "refused",
    BadRecipient = "bad_recipient",
    Exhausted = "exhausted",
    Interrupted = "interrupted",
});
