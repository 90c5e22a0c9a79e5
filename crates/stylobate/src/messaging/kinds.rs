use std::time::Duration;

use stylobate_notify::{Budget, CHANNEL_TEST, Category, Media, MessageKind, Severity, TemplateText};

/// The kinds of messages that the platform's crates send; a service adds its own with
/// [`PlatformBuilder::message_kinds`](crate::PlatformBuilder::message_kinds).
#[must_use]
pub fn default_message_kinds() -> Vec<MessageKind> {
    vec![
        API_KEY_CREATED,
        API_KEY_ROTATED,
        REFRESH_REUSE_DETECTED,
        EVENT,
        WARNING_EVENT,
        WEBHOOK_DISABLED,
        CHANNEL_DISABLED,
        CHANNEL_TEST,
    ]
}

const HOUR: Duration = Duration::from_secs(3_600);

const KEY_SAMPLE: &str = r#"{
    "label": "nightly export",
    "expires_at": "2026-05-30T12:00:00Z",
    "is_by_owner": false,
    "address": "203.0.113.7",
    "occurred_at": "2026-03-01T12:00:00Z"
}"#;

/// To the person whose key it is, whoever made it.
pub(super) const API_KEY_CREATED: MessageKind = MessageKind {
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: an API key of yours was made",
            text: "Hello {{ recipient.name }},\n\n\
                   at {{ occurred_at | time }} {% if is_by_owner %}you made{% else %}somebody else made{% endif %} the API key \
                   \"{{ label }}\"{% if address %}, from {{ address }}{% endif %}. Who has it can do in your name what it allows, \
                   until {{ expires_at | time }}.\n\n\
                   If you did not expect that, revoke the key and change your password.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Für Sie wurde ein API-Schlüssel angelegt",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   um {{ occurred_at | time }} {% if is_by_owner %}haben Sie{% else %}hat jemand anderes{% endif %} den \
                   API-Schlüssel „{{ label }}“ angelegt{% if address %}, von {{ address }} aus{% endif %}. Wer ihn hat, kann bis \
                   {{ expires_at | time }} in Ihrem Namen tun, was er erlaubt.\n\n\
                   Wenn Sie das nicht erwartet haben, widerrufen Sie den Schlüssel und ändern Sie Ihr Passwort.\n",
            html: None,
        },
    ],
    sample: KEY_SAMPLE,
    ..MessageKind::new("api_key_created", Category::Security, Severity::Info)
};

/// To the person whose key it is, whoever gave it another secret.
pub(super) const API_KEY_ROTATED: MessageKind = MessageKind {
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: an API key of yours has another secret",
            text: "Hello {{ recipient.name }},\n\n\
                   at {{ occurred_at | time }} {% if is_by_owner %}you gave{% else %}somebody else gave{% endif %} the API key \
                   \"{{ label }}\" another secret{% if address %}, from {{ address }}{% endif %}. It is good until \
                   {{ expires_at | time }}.\n\n\
                   If you did not expect that, revoke the key and change your password.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Ein API-Schlüssel von Ihnen wurde erneuert",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   um {{ occurred_at | time }} {% if is_by_owner %}haben Sie{% else %}hat jemand anderes{% endif %} den \
                   API-Schlüssel „{{ label }}“ erneuert{% if address %}, von {{ address }} aus{% endif %}. Er gilt bis \
                   {{ expires_at | time }}.\n\n\
                   Wenn Sie das nicht erwartet haben, widerrufen Sie den Schlüssel und ändern Sie Ihr Passwort.\n",
            html: None,
        },
    ],
    sample: KEY_SAMPLE,
    ..MessageKind::new("api_key_rotated", Category::Security, Severity::Info)
};

/// Told by sign-in, to the owner of the session.
pub(super) const REFRESH_REUSE_DETECTED: MessageKind = MessageKind {
    budget: Some(Budget { most: 5, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: you have been signed out, to be safe",
            text: "Hello {{ recipient.name }},\n\n\
                   at {{ occurred_at | time }} a key of one of your sessions was used a second time{% if address %}, from \
                   {{ address }}{% endif %}.\n\
                   Somebody may have copied it, so that session has been ended.\n\n\
                   Sign in again. If you see sessions there that are not yours, change your password.\n",
            html: Some(
                "<p>Hello {{ recipient.name }},</p>\
                 <p>at {{ occurred_at | time }} a key of one of your sessions was used a second time{% if address %}, from \
                 <strong>{{ address }}</strong>{% endif %}. Somebody may have copied it, so that session has been ended.</p>\
                 <p>Sign in again. If you see sessions there that are not yours, change your password.</p>",
            ),
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Sie wurden zur Sicherheit abgemeldet",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   um {{ occurred_at | time }} wurde ein Schlüssel einer Ihrer Sitzungen ein zweites Mal verwendet\
                   {% if address %}, von {{ address }} aus{% endif %}.\n\
                   Er könnte kopiert worden sein, deshalb wurde diese Sitzung beendet.\n\n\
                   Melden Sie sich neu an. Wenn Sie Sitzungen sehen, die nicht Ihre sind, ändern Sie Ihr Passwort.\n",
            html: Some(
                "<p>Guten Tag {{ recipient.name }},</p>\
                 <p>um {{ occurred_at | time }} wurde ein Schlüssel einer Ihrer Sitzungen ein zweites Mal verwendet\
                 {% if address %}, von <strong>{{ address }}</strong> aus{% endif %}. Er könnte kopiert worden sein, deshalb \
                 wurde diese Sitzung beendet.</p>\
                 <p>Melden Sie sich neu an. Wenn Sie Sitzungen sehen, die nicht Ihre sind, ändern Sie Ihr Passwort.</p>",
            ),
        },
    ],
    sample: r#"{
        "session_id": "0198c5f0-0000-7000-8000-000000000001",
        "address": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "occurred_at": "2026-03-01T12:00:00Z"
    }"#,
    ..MessageKind::new("refresh_reuse_detected", Category::Security, Severity::Warning)
};

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
