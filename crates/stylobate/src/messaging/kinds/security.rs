//! What people are told about getting into their own account.

use std::time::Duration;

use stylobate_notify::{Budget, Category, Media, MessageKind, Severity, TemplateText};

pub(super) const KINDS: &[MessageKind] =
    &[REFRESH_REUSE_DETECTED, PASSWORD_RESET, PASSWORD_RESET_UNAVAILABLE, PASSWORD_CHANGED];

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Told by sign-in, to the owner of the session.
pub(in crate::messaging) const REFRESH_REUSE_DETECTED: MessageKind = MessageKind {
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

/// A link that sets a new password. Sign-in hands over five an hour at most, counted by the clock: ten may be within sixty minutes.
const PASSWORD_RESET: MessageKind = MessageKind {
    is_platform_wide: true,
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 10, within: HOUR }),
    expires_after: Some(HOUR),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: set a new password",
            text: "Hello {{ recipient.name }},\n\n\
                   somebody, probably you, asked for a new password for your account. Set it here:\n\n\
                   {{ link('/auth/password-reset', token=token) }}\n\n\
                   The link works once, within {{ expires_minutes }} minutes. If you did not ask for it, do nothing: your \
                   password stays as it is.\n",
            html: Some(
                "<p>Hello {{ recipient.name }},</p>\
                 <p>somebody, probably you, asked for a new password for your account. \
                 <a href=\"{{ link('/auth/password-reset', token=token) }}\">Set it here</a>.</p>\
                 <p>The link works once, within {{ expires_minutes }} minutes. If you did not ask for it, do nothing: your \
                 password stays as it is.</p>",
            ),
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: neues Passwort festlegen",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   jemand, vermutlich Sie selbst, möchte ein neues Passwort für Ihr Konto festlegen. Das geht hier:\n\n\
                   {{ link('/auth/password-reset', token=token) }}\n\n\
                   Der Link gilt einmal und {{ expires_minutes }} Minuten lang. Wenn Sie das nicht wollten, tun Sie nichts: Ihr \
                   Passwort bleibt, wie es ist.\n",
            html: Some(
                "<p>Guten Tag {{ recipient.name }},</p>\
                 <p>jemand, vermutlich Sie selbst, möchte ein neues Passwort für Ihr Konto festlegen. \
                 <a href=\"{{ link('/auth/password-reset', token=token) }}\">Das geht hier</a>.</p>\
                 <p>Der Link gilt einmal und {{ expires_minutes }} Minuten lang. Wenn Sie das nicht wollten, tun Sie nichts: Ihr \
                 Passwort bleibt, wie es ist.</p>",
            ),
        },
    ],
    sample: r#"{ "token": "sbl_AbCdEf", "expires_minutes": 60 }"#,
    ..MessageKind::new("password_reset", Category::Security, Severity::Info)
};

/// Told where a link was asked for and there is no password to reset: whoever asks with an address that is not theirs learns
/// nothing from what comes back, and its owner learns that somebody did. One a day, because addresses of strangers get it too.
const PASSWORD_RESET_UNAVAILABLE: MessageKind = MessageKind {
    is_platform_wide: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 1, within: DAY }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: there is no password to reset",
            text: "Hello,\n\n\
                   somebody asked for a new password for this address, but no account here signs in with it and a password.\n\
                   If it was you, try the address that you signed up with, or ask whoever manages your account. If it was not, do \
                   nothing.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: kein Passwort zurückzusetzen",
            text: "Guten Tag,\n\n\
                   jemand wollte ein neues Passwort für diese Adresse festlegen, aber zu ihr gehört hier kein Konto mit \
                   Passwort.\n\
                   Wenn Sie das waren, versuchen Sie es mit der Adresse, mit der Sie sich registriert haben, oder fragen Sie, wer Ihr \
                   Konto verwaltet. Wenn nicht, tun Sie nichts.\n",
            html: None,
        },
    ],
    ..MessageKind::new("password_reset_unavailable", Category::Security, Severity::Info)
};

/// Told by sign-in whenever a person signs in with another password from now on.
pub(in crate::messaging) const PASSWORD_CHANGED: MessageKind = MessageKind {
    is_platform_wide: true,
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: your password has been changed",
            text: "Hello {{ recipient.name }},\n\n\
                   at {{ occurred_at | time }} the password of your account was changed{% if is_by_link %} by a mailed link\
                   {% endif %}{% if is_by_administrator %} by an administrator{% endif %}{% if ip %}, from {{ ip }}\
                   {% endif %}. Whoever else was signed in with it has been signed out.\n\n\
                   If neither you nor anybody for you did that, set a new password at once and tell whoever manages your account.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Ihr Passwort wurde geändert",
            text: "Guten Tag {{ recipient.name }},\n\n\
                   am {{ occurred_at | time }} wurde das Passwort Ihres Kontos geändert{% if is_by_link %}, über einen zugesandten Link\
                   {% endif %}{% if is_by_administrator %}, durch die Verwaltung{% endif %}{% if ip %}, von {{ ip }} aus\
                   {% endif %}. Wer sonst damit angemeldet war, wurde abgemeldet.\n\n\
                   Wenn das weder Sie waren noch jemand in Ihrem Auftrag, legen Sie sofort ein neues Passwort fest und sagen Sie \
                   es denen, die Ihr Konto verwalten.\n",
            html: None,
        },
    ],
    sample: r#"{
        "is_by_link": true,
        "is_by_administrator": false,
        "ip": "203.0.113.7",
        "occurred_at": "2026-03-01T12:00:00Z"
    }"#,
    ..MessageKind::new("password_changed", Category::Security, Severity::Warning)
};
