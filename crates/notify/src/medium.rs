use serde::{Deserialize, Serialize};

use crate::as_text::stored_as_text;

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
