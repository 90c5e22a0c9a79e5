use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylobate_egress::{AddressPolicy, Target, WebhookSecret};
use url::Host;

use crate::{
    EmailAddress, Medium, NotificationChannelId, NotifierError, NotifyError, mask, policy::dedup::address_key,
};

/// Where a channel leads, with what opens it. It is a secret as a whole, shown to nobody once it is set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ChannelConfig {
    Email { address: String },
    Slack { url: String },
    Mattermost { url: String },
    Teams { url: String },
    Discord { url: String },
    Telegram { bot_token: String, chat_id: String },
    Webhook { url: String, secret: String },
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelConfig({})", self.medium().as_str())
    }
}

/// Which hosts chats may be at.
#[derive(Debug, Clone)]
pub struct ChatHosts {
    allowed: Vec<String>,
    telegram: String,
}

impl Default for ChatHosts {
    fn default() -> Self {
        Self { allowed: Vec::new(), telegram: "https://api.telegram.org".to_owned() }
    }
}

impl ChatHosts {
    /// Allows `hosts` beside those that each chat is known to be at: Mattermost has none but these.
    ///
    /// # Errors
    /// [`NotifyError::SettingInvalid`] when one is not the name or address of a host alone: a scheme, a port, a path, a `*` or a
    /// dot at the beginning would fit nothing.
    pub fn allow<T: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = T>) -> Result<Self, NotifyError> {
        for host in hosts {
            let problem = "lists something that is not the name or address of a host alone";
            let invalid = NotifyError::SettingInvalid { setting: "chat_hosts", problem };
            // The parser lets names pass that have an empty part.
            let named = canonical(host.as_ref()).filter(|host| !host.split('.').any(str::is_empty));
            self.allowed.push(named.ok_or(invalid)?);
        }
        Ok(self)
    }

    /// Asks a server of one's own for Telegram's bots: scheme, host and port.
    #[must_use]
    pub fn telegram_at(mut self, origin: impl Into<String>) -> Self {
        self.telegram = origin.into();
        self
    }

    /// Where bots of Telegram are asked.
    #[cfg(feature = "client")]
    pub(crate) fn telegram(&self) -> &str {
        self.telegram.trim_end_matches('/')
    }

    fn has(&self, medium: Medium, target: &Target) -> bool {
        let host = match target.host() {
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            other => other.to_string(),
        };
        if self.allowed.contains(&host) {
            return true;
        }
        // Theirs are nowhere else than at the port of https.
        target.is_https() && target.port() == 443 && at_home(medium, &host)
    }
}

/// The hosts that a chat's own webhooks are at.
fn at_home(medium: Medium, host: &str) -> bool {
    let below =
        |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    match medium {
        Medium::Slack => host == "hooks.slack.com",
        Medium::Discord => matches!(host, "discord.com" | "discordapp.com"),
        Medium::Teams => below("webhook.office.com") || below("logic.azure.com"),
        _ => false,
    }
}

/// A host as it is compared: in ASCII, small, without its last dot.
fn canonical(host: &str) -> Option<String> {
    match Host::parse(host.trim().trim_end_matches('.')).ok()? {
        // The parser lets a star pass.
        Host::Domain(name) => Some(name.to_ascii_lowercase()).filter(|name| !name.contains('*')),
        other => Some(other.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithAddress {
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithUrl {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithBot {
    bot_token: String,
    chat_id: String,
}

impl ChannelConfig {
    /// Reads what somebody set up for a channel by `medium`. A webhook's secret is made by `secret`, and not chosen.
    ///
    /// # Errors
    /// [`NotifierError::ChannelInvalid`] with the field that is wrong; [`NotifierError::Randomness`] when there is no secret to be had.
    pub(crate) fn read(
        medium: Medium,
        value: &Value,
        hosts: &ChatHosts,
        policy: &AddressPolicy,
        secret: impl FnOnce() -> Option<WebhookSecret>,
    ) -> Result<Self, NotifierError> {
        let read = match medium {
            Medium::Email => {
                let WithAddress { address } = fields(value)?;
                Self::Email { address: checked_email(&address)? }
            }
            Medium::Telegram => {
                let WithBot { bot_token, chat_id } = fields(value)?;
                if !is_bot_token(&bot_token) {
                    return Err(wrong("config.bot_token", "is not the token of a bot"));
                }
                if !is_chat_id(&chat_id) {
                    return Err(wrong(
                        "config.chat_id",
                        "is not the number of a chat, or `@` and the name of a channel",
                    ));
                }
                Self::Telegram { bot_token, chat_id }
            }
            Medium::Sms | Medium::InApp => {
                return Err(wrong("channel_type", "is not a type of channel"));
            }
            _ => {
                let WithUrl { url } = fields(value)?;
                let target =
                    Target::parse(&url, policy).map_err(|error| wrong("config.url", error.to_string()))?;
                if medium != Medium::Webhook && !hosts.has(medium, &target) {
                    return Err(wrong("config.url", "is at a host that is not allowed for this type"));
                }
                let url = target.as_str().to_owned();
                match medium {
                    Medium::Slack => Self::Slack { url },
                    Medium::Mattermost => Self::Mattermost { url },
                    Medium::Teams => Self::Teams { url },
                    Medium::Discord => Self::Discord { url },
                    _ => {
                        let secret = secret().ok_or(NotifierError::Randomness)?;
                        Self::Webhook { url, secret: secret.expose().to_owned() }
                    }
                }
            }
        };
        Ok(read)
    }

    /// Checks a configuration that was stored under other rules, before it is used.
    #[cfg(feature = "client")]
    pub(crate) fn target(&self, hosts: &ChatHosts, policy: &AddressPolicy) -> Result<Target, &'static str> {
        let (Self::Slack { url } | Self::Mattermost { url } | Self::Teams { url } | Self::Discord { url }) =
            self
        else {
            return Err("notify_channel_invalid");
        };
        let target = Target::parse(url, policy).map_err(|error| error.code())?;
        if hosts.has(self.medium(), &target) { Ok(target) } else { Err("notify_host_not_allowed") }
    }

    pub(crate) fn medium(&self) -> Medium {
        match self {
            Self::Email { .. } => Medium::Email,
            Self::Slack { .. } => Medium::Slack,
            Self::Mattermost { .. } => Medium::Mattermost,
            Self::Teams { .. } => Medium::Teams,
            Self::Discord { .. } => Medium::Discord,
            Self::Telegram { .. } => Medium::Telegram,
            Self::Webhook { .. } => Medium::Webhook,
        }
    }

    /// For people, with most of it hidden.
    pub(crate) fn masked(&self) -> String {
        match self {
            Self::Email { address } => {
                EmailAddress::parse(address).map_or_else(|_| "…".to_owned(), |address| address.masked())
            }
            Self::Telegram { chat_id, .. } => mask::chat(chat_id),
            Self::Slack { url }
            | Self::Mattermost { url }
            | Self::Teams { url }
            | Self::Discord { url }
            | Self::Webhook { url, .. } => mask::url(url),
        }
    }

    /// What suppressions and budgets of the channel `id` go by. A mailbox is the same however it is reached.
    pub(crate) fn address_key(&self, id: NotificationChannelId) -> Vec<u8> {
        let medium = self.medium();
        match self {
            Self::Email { address } => address_key(medium.as_str(), address),
            _ => address_key(medium.as_str(), &id.to_string()),
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Writing texts as JSON cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

/// The fields that a type has, and no other. What the reader says would repeat what was written.
fn fields<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, NotifierError> {
    T::deserialize(value).map_err(|_| wrong("config", "does not have exactly the fields of this type"))
}

fn checked_email(address: &str) -> Result<String, NotifierError> {
    match EmailAddress::parse(address) {
        Ok(address) => Ok(address.as_str().to_owned()),
        Err(_) => Err(wrong("config.address", "is not an e-mail address that mail can be sent to")),
    }
}

fn wrong(field: &'static str, problem: impl Into<String>) -> NotifierError {
    NotifierError::ChannelInvalid { field, problem: problem.into() }
}

/// `123456:` and 35 characters: what a bot is addressed by. Anything else would be another path of the server.
fn is_bot_token(text: &str) -> bool {
    text.split_once(':').is_some_and(|(bot, secret)| {
        (6..=16).contains(&bot.len())
            && bot.bytes().all(|byte| byte.is_ascii_digit())
            && (30..=64).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    })
}

/// A number, negative for groups, or `@name` of a public channel.
fn is_chat_id(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('@') {
        return (4..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(medium: Medium, config: Value) -> Result<ChannelConfig, NotifierError> {
        read_with(medium, config, WebhookSecret::generate)
    }

    fn read_with(
        medium: Medium,
        config: Value,
        secret: fn() -> Option<WebhookSecret>,
    ) -> Result<ChannelConfig, NotifierError> {
        let hosts = ChatHosts::default().allow(["chat.example.org.", "CHAT2.example.org"]).unwrap();
        ChannelConfig::read(medium, &config, &hosts, &AddressPolicy::public(), secret)
    }

    /// The field that is wrong.
    fn refused(read: Result<ChannelConfig, NotifierError>) -> &'static str {
        match read {
            Err(NotifierError::ChannelInvalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    fn at(medium: Medium, url: &str) -> Result<ChannelConfig, NotifierError> {
        read(medium, json!({ "url": url }))
    }

    #[test]
    fn chats_are_where_chats_are() {
        for (medium, url) in [
            (Medium::Slack, "https://hooks.slack.com/services/T/B/x"),
            (Medium::Slack, "https://HOOKS.slack.com./services/T/B/x"),
            (Medium::Discord, "https://discord.com/api/webhooks/1/x"),
            (Medium::Discord, "https://discordapp.com/api/webhooks/1/x"),
            (Medium::Teams, "https://acme.webhook.office.com/webhookb2/x"),
            (Medium::Teams, "https://prod-1.westeurope.logic.azure.com:443/workflows/x?sig=y"),
            (Medium::Mattermost, "https://chat.example.org/hooks/x"),
            (Medium::Mattermost, "https://chat2.example.org./hooks/x"),
            (Medium::Webhook, "https://anybody.example.net/in"),
        ] {
            assert!(at(medium, url).is_ok(), "{url}");
        }
        for (medium, url) in [
            (Medium::Slack, "https://hooks.slack.com.evil.test/services"),
            (Medium::Slack, "https://evil.test/hooks.slack.com"),
            (Medium::Slack, "https://hooks.slack.com@evil.test/"),
            (Medium::Slack, "https://evil.test#@hooks.slack.com/"),
            (Medium::Slack, "https://evil.test\\@hooks.slack.com/"),
            (Medium::Slack, "http://hooks.slack.com/services"),
            (Medium::Slack, "https://hooks.slack.com:8443/services"),
            (Medium::Slack, "https://ahooks.slack.com/"),
            (Medium::Slack, "https://discord.com/api/webhooks/1/x"),
            (Medium::Slack, "https://hooks.slack.com../"),
            (Medium::Teams, "https://webhook.office.com/"),
            (Medium::Teams, "https://.webhook.office.com/"),
            (Medium::Teams, "https://evilwebhook.office.com/"),
            (Medium::Teams, "https://acme.webhook.office.com.evil.test/"),
            (Medium::Discord, "https://ptb.discord.com/api/webhooks/1/x"),
            (Medium::Mattermost, "https://anybody.example.net/hooks/x"),
            (Medium::Mattermost, "https://127.0.0.1/hooks/x"),
            (Medium::Webhook, "https://127.0.0.1/in"),
            (Medium::Webhook, "https://localhost/in"),
            (Medium::Webhook, "http://anybody.example.net/in"),
            (Medium::Webhook, "nonsense"),
        ] {
            assert_eq!(refused(at(medium, url)), "config.url", "{url}");
        }
    }

    #[test]
    fn a_host_that_would_fit_nothing_is_refused() {
        for host in [
            "",
            ".",
            "https://chat.example.org",
            "chat.example.org:8065",
            "a/b",
            "*.example.org",
            "a b",
            "::1",
            ".x.test",
            "a..test",
        ] {
            let refused = ChatHosts::default().allow([host]).unwrap_err();
            assert_eq!(refused.code(), "notify_setting_invalid", "{host}");
        }
        assert!(ChatHosts::default().allow(["chat", "10.1.2.3", "[::1]", "büro.example"]).is_ok());
    }

    #[test]
    fn fields_are_those_of_the_type() {
        for (medium, config) in [
            (Medium::Slack, json!({})),
            (Medium::Slack, json!({ "url": "https://hooks.slack.com/x", "channel": "#all" })),
            (Medium::Webhook, json!({ "url": "https://a.example.org/", "secret": "mine" })),
            (Medium::Email, json!({ "url": "https://a.example.org/" })),
            (Medium::Email, json!("ada@example.org")),
            (Medium::Telegram, json!({ "bot_token": 5, "chat_id": "1" })),
        ] {
            assert_eq!(refused(read(medium, config.clone())), "config", "{config}");
        }
        assert_eq!(refused(read(Medium::Sms, json!({}))), "channel_type");
        let address = json!({ "address": "ada@example.org\r\nBcc: eve@example.org" });
        assert_eq!(refused(read(Medium::Email, address)), "config.address");
        let bot = json!({ "bot_token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_", "chat_id": "../x" });
        assert_eq!(refused(read(Medium::Telegram, bot)), "config.chat_id");
    }

    #[test]
    fn without_randomness_nothing_is_wrong_with_what_was_set_up() {
        let config = json!({ "url": "https://anybody.example.net/in" });
        let error = read_with(Medium::Webhook, config, || None).unwrap_err();
        assert!(matches!(error, NotifierError::Randomness), "{error}");
        assert_eq!(error.code(), "internal");
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let config = at(Medium::Webhook, "https://anybody.example.net/canary?canary=1").unwrap();
        let ChannelConfig::Webhook { secret, .. } = &config else { panic!("{config:?}") };
        assert!(WebhookSecret::parse(secret).is_ok());
        let shown = format!("{config:?} {}", config.masked());
        assert!(!shown.contains("canary") && !shown.contains(secret.as_str()), "{shown}");
        assert_eq!(ChannelConfig::from_json(&config.to_json()), Some(config));
    }

    #[test]
    fn tokens_lead_nowhere_else() {
        let secret = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_";
        assert!(is_bot_token(&format!("110201543:{secret}")));
        for wrong in [
            "",
            ":",
            "110201543",
            &format!("x:{secret}"),
            &format!("110201543:{secret}/.."),
            &format!("110201543:{secret}?"),
        ] {
            assert!(!is_bot_token(wrong), "{wrong}");
        }
        for (chat, is_one) in [
            ("1", true),
            ("-1001234567890", true),
            ("@channel_7", true),
            ("", false),
            ("-", false),
            ("@", false),
            ("a", false),
            ("1 ", false),
        ] {
            assert_eq!(is_chat_id(chat), is_one, "{chat}");
        }
    }
}
