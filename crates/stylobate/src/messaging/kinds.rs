mod account;
mod api_keys;
mod email_address;
mod newcomers;
mod security;

use stylobate_notify::{CHANNEL_TEST, Category, Media, MessageKind, Severity, TemplateText};

pub(super) use api_keys::{API_KEY_CREATED, API_KEY_ROTATED, API_KEY_WIDENED};
pub(super) use security::{PASSWORD_CHANGED, REFRESH_REUSE_DETECTED};

/// The kinds of messages that the platform's crates send; a service adds its own with
/// [`PlatformBuilder::message_kinds`](crate::PlatformBuilder::message_kinds).
#[must_use]
pub fn default_message_kinds() -> Vec<MessageKind> {
    let mut kinds =
        [security::KINDS, email_address::KINDS, newcomers::KINDS, api_keys::KINDS, account::KINDS].concat();
    kinds.extend([EVENT, WARNING_EVENT, WEBHOOK_DISABLED, CHANNEL_DISABLED, CHANNEL_TEST]);
    kinds
}

const NOWHERE: Media = Media { email: false, sms: false, in_app: false };

const OF_EVENT: &[TemplateText] = &[
    TemplateText {
        locale: "en",
        subject: "{{ product.name }}: {{ event }}",
        text: "{{ event }}\nabout {{ subject }}\nby {{ actor }}\nat {{ occurred_at | time }}\n",
        html: None,
    },
    TemplateText {
        locale: "de",
        subject: "{{ product.name }}: {{ event }}",
        text: "{{ event }}\nzu {{ subject }}\nvon {{ actor }}\num {{ occurred_at | time }}\n",
        html: None,
    },
];

const EVENT_SAMPLE: &str = r#"{
    "event": "user.created",
    "subject": "0198c5f0-0000-7000-8000-000000000001",
    "actor": "0198c5f0-0000-7000-8000-000000000002",
    "occurred_at": "2026-03-01T12:00:00Z"
}"#;

/// An event, for the channels that listen to its type.
pub(super) const EVENT: MessageKind = MessageKind {
    media: NOWHERE,
    templates: OF_EVENT,
    sample: EVENT_SAMPLE,
    ..MessageKind::new("event", Category::System, Severity::Info)
};

/// An event that somebody should look at.
pub(super) const WARNING_EVENT: MessageKind = MessageKind {
    media: NOWHERE,
    templates: OF_EVENT,
    sample: EVENT_SAMPLE,
    ..MessageKind::new("event_warning", Category::Alert, Severity::Warning)
};

/// A webhook was stopped because its receiver is gone or fails: for those who manage webhooks, and channels that listen.
pub(super) const WEBHOOK_DISABLED: MessageKind = MessageKind {
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: a webhook has been stopped",
            text: "The webhook {{ subject }} has been stopped: {% if is_gone %}its receiver says that there is nothing any \
                   more{% else %}nothing has reached its receiver for days{% endif %}.\n\
                   Nothing is sent to it until somebody switches it on again.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: ein Webhook wurde angehalten",
            text: "Der Webhook {{ subject }} wurde angehalten: {% if is_gone %}sein Empfänger sagt, dass es ihn nicht mehr \
                   gibt{% else %}seit Tagen hat seinen Empfänger nichts erreicht{% endif %}.\n\
                   Bis ihn jemand wieder einschaltet, wird ihm nichts geschickt.\n",
            html: None,
        },
    ],
    sample: r#"{ "subject": "0198c5f0-0000-7000-8000-000000000001", "is_gone": false }"#,
    ..MessageKind::new("webhook_disabled", Category::Alert, Severity::Warning)
};

/// A channel was switched off because its other side is gone or fails: for its owner, or those who manage channels.
pub(super) const CHANNEL_DISABLED: MessageKind = MessageKind {
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: the channel \"{{ label }}\" has been switched off",
            text: "The channel \"{{ label }}\" has been switched off: {% if is_gone %}its other side says that there is nothing \
                   any more{% else %}nothing has got through it for days{% endif %}.\n\
                   Nothing is sent through it until somebody switches it on again.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: der Kanal „{{ label }}“ wurde ausgeschaltet",
            text: "Der Kanal „{{ label }}“ wurde ausgeschaltet: {% if is_gone %}die Gegenseite sagt, dass es ihn nicht mehr \
                   gibt{% else %}seit Tagen ist nichts durchgekommen{% endif %}.\n\
                   Bis ihn jemand wieder einschaltet, wird nichts über ihn geschickt.\n",
            html: None,
        },
    ],
    sample: r#"{ "label": "On call", "is_gone": true }"#,
    ..MessageKind::new("channel_disabled", Category::Alert, Severity::Warning)
};

#[cfg(test)]
mod tests {
    use stylobate_notify::MessageCatalogue;

    use super::*;

    #[test]
    fn every_kind_is_sound_and_speaks_both_languages() {
        let catalogue = MessageCatalogue::new(default_message_kinds()).unwrap();
        for kind in catalogue.iter() {
            let locales: Vec<_> = kind.templates.iter().map(|template| template.locale).collect();
            assert_eq!(locales, ["en", "de"], "{}", kind.name);
        }
    }
}
