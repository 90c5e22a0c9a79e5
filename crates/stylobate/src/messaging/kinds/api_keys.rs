//! What people are told about the API keys that act for them.

use std::time::Duration;

use stylobate_notify::{Budget, Category, MessageKind, Severity, TemplateText};

pub(super) const KINDS: &[MessageKind] = &[API_KEY_CREATED, API_KEY_ROTATED, API_KEY_WIDENED];

const HOUR: Duration = Duration::from_secs(3_600);

const KEY_SAMPLE: &str = r#"{
    "label": "nightly export",
    "expires_at": "2026-05-30T12:00:00Z",
    "is_by_owner": false,
    "address": "203.0.113.7",
    "occurred_at": "2026-03-01T12:00:00Z"
}"#;

/// To the person whose key it is, whoever made it.
pub(in crate::messaging) const API_KEY_CREATED: MessageKind = MessageKind {
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
pub(in crate::messaging) const API_KEY_ROTATED: MessageKind = MessageKind {
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

/// To the person whose key it is, whoever widened it.
pub(in crate::messaging) const API_KEY_WIDENED: MessageKind = MessageKind {
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: an API key of yours may do more",
            text: "Hello {{ recipient.name }},\n\n\
                   at {{ occurred_at | time }} {% if is_by_owner %}you changed{% else %}somebody else changed{% endif %} the API \
                   key \"{{ label }}\"{% if address %}, from {{ address }}{% endif %}: it may do more in your name than before, or \
                   is accepted from more places. It is good until {{ expires_at | time }}.\n\n\
                   If you did not expect that, revoke the key and change your password.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Ein API-Schlüssel von Ihnen darf mehr",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   um {{ occurred_at | time }} {% if is_by_owner %}haben Sie{% else %}hat jemand anderes{% endif %} den \
                   API-Schlüssel „{{ label }}“ geändert{% if address %}, von {{ address }} aus{% endif %}: Er darf in Ihrem Namen \
                   mehr als zuvor, oder gilt von mehr Orten aus. Er gilt bis {{ expires_at | time }}.\n\n\
                   Wenn Sie das nicht erwartet haben, widerrufen Sie den Schlüssel und ändern Sie Ihr Passwort.\n",
            html: None,
        },
    ],
    sample: KEY_SAMPLE,
    ..MessageKind::new("api_key_widened", Category::Security, Severity::Info)
};
