use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_core::{
    MessageDeliveryId, MessageId, NotificationChannelId, NotificationId, PageLimit, PersonId, SuppressionId,
    TenantId,
};

use crate::{Category, Severity};

/// What carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// Mail.
    Email,
    /// Short messages to a phone.
    Sms,
    /// The list of notifications in the product.
    InApp,
    /// An incoming webhook of Slack.
    Slack,
    /// An incoming webhook of Mattermost.
    Mattermost,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A webhook of Discord.
    Discord,
    /// A bot of Telegram.
    Telegram,
    /// A signed webhook.
    Webhook,
}

impl Medium {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Sms,
        Self::InApp,
        Self::Slack,
        Self::Mattermost,
        Self::Teams,
        Self::Discord,
        Self::Telegram,
        Self::Webhook,
    ];

    /// What a channel can be made of: what is not a person's own anyway.
    #[must_use]
    pub fn is_channel(self) -> bool {
        !matches!(self, Self::Sms | Self::InApp)
    }
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
    /// The recipient has no such address, or is gone.
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
}

/// What is to be done about a message or delivery next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Done,
    /// Call again after that.
    After(Duration),
}

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

/// An address that nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Names it.
    pub id: SuppressionId,
    /// Whose it is; everybody's without one.
    pub tenant_id: Option<TenantId>,
    /// What carries no message there.
    pub medium: Medium,
    /// The address, with most of it hidden.
    pub destination: String,
    /// Why: `bad_recipient`, or in words of whoever made it.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when; for ever without.
    pub expires_at: Option<DateTime<Utc>>,
}

macro_rules! stored_as_text {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            /// How it is written in tables and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one that is written so.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

stored_as_text!(Medium {
    Email = "email",
    Sms = "sms",
    InApp = "in_app",
    Slack = "slack",
    Mattermost = "mattermost",
    Teams = "teams",
    Discord = "discord",
    Telegram = "telegram",
    Webhook = "webhook",
});
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
stored_as_text!(ChannelDisabled { ByHand = "by_hand", Gone = "gone", Failing = "failing" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_on_the_wire() {
        for medium in Medium::ALL {
            assert_eq!(serde_json::to_value(medium).unwrap(), medium.as_str());
            assert_eq!(Medium::of(medium.as_str()), Some(medium));
        }
        for reason in [Reason::NoAddress, Reason::ChannelGone, Reason::BadRecipient, Reason::Unopenable] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!((Medium::of("Email"), Reason::of(""), DeliveryState::of("done")), (None, None, None));
    }
}
