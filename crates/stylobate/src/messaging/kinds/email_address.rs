//! What people are told about the e-mail address of their account.

use std::time::Duration;

use stylobate_notify::{Budget, Category, Media, MessageKind, Severity, TemplateText};

pub(super) const KINDS: &[MessageKind] =
    &[EMAIL_VERIFICATION, EMAIL_CHANGE_CONFIRM, EMAIL_CHANGE_TAKEN, EMAIL_CHANGE_REQUESTED, EMAIL_CHANGED];

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

const LINK_SAMPLE: &str = r#"{ "token": "sbl_AbCdEf", "expires_hours": 24 }"#;
const TOLD_SAMPLE: &str = r#"{ "ip": "203.0.113.7", "occurred_at": "2026-03-01T12:00:00Z" }"#;

/// A link that proves that mail to an address arrives.
const EMAIL_VERIFICATION: MessageKind = MessageKind {
    is_platform_wide: true,
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 10, within: HOUR }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: confirm your e-mail address",
            text: "Hello,\n\n\
                   please confirm that this address is yours:\n\n\
                   {{ link('/auth/verify-email', token=token) }}\n\n\
                   The link works once, for {{ expires_hours }} h. If you did not ask for it, do nothing.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: E-Mail-Adresse bestätigen",
            text: "Guten Tag,\n\n\
                   bitte bestätigen Sie, dass diese Adresse Ihre ist:\n\n\
                   {{ link('/auth/verify-email', token=token) }}\n\n\
                   Der Link gilt einmal und {{ expires_hours }} h lang. Wenn Sie das nicht wollten, tun Sie nichts.\n",
            html: None,
        },
    ],
    sample: LINK_SAMPLE,
    ..MessageKind::new("email_verification", Category::Security, Severity::Info)
};

/// A link that gives an account the address it is mailed to.
const EMAIL_CHANGE_CONFIRM: MessageKind = MessageKind {
    is_platform_wide: true,
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 10, within: HOUR }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: confirm your new e-mail address",
            text: "Hello,\n\n\
                   somebody, probably you, wants to use this address for an account here. Confirm it:\n\n\
                   {{ link('/auth/email-change/confirm', token=token) }}\n\n\
                   The link works once, for {{ expires_hours }} h. If that is not you, do nothing.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: neue E-Mail-Adresse bestätigen",
            text: "Guten Tag,\n\n\
                   jemand, vermutlich Sie selbst, möchte diese Adresse für ein Konto hier verwenden. Bestätigen Sie das:\n\n\
                   {{ link('/auth/email-change/confirm', token=token) }}\n\n\
                   Der Link gilt einmal und {{ expires_hours }} h lang. Wenn Sie das nicht sind, tun Sie nichts.\n",
            html: None,
        },
    ],
    sample: LINK_SAMPLE,
    ..MessageKind::new("email_change_confirm", Category::Security, Severity::Info)
};

/// Told whose address somebody wants for another account: that one learns nothing.
const EMAIL_CHANGE_TAKEN: MessageKind = MessageKind {
    is_platform_wide: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 1, within: DAY }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: this address is in use",
            text: "Hello,\n\n\
                   somebody wanted to use this address for another account. It is yours already, so nothing has changed.\n\
                   If that was you, sign in with this address, or give it up there first.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: diese Adresse ist in Gebrauch",
            text: "Guten Tag,\n\n\
                   jemand wollte diese Adresse für ein anderes Konto verwenden. Sie gehört schon zu Ihrem, deshalb ist nichts \
                   geschehen.\n\
                   Wenn Sie das waren, melden Sie sich mit dieser Adresse an, oder geben Sie sie dort zuerst auf.\n",
            html: None,
        },
    ],
    ..MessageKind::new("email_change_taken", Category::Security, Severity::Info)
};

/// Told at the present address when somebody asks for another.
const EMAIL_CHANGE_REQUESTED: MessageKind = MessageKind {
    is_platform_wide: true,
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: another e-mail address was requested",
            text: "Hello,\n\n\
                   at {{ occurred_at | time }} another e-mail address was requested for your account{% if ip %}, from {{ ip }}\
                   {% endif %}. Nothing changes before it is confirmed there.\n\n\
                   If that was not you, change your password now.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: eine andere E-Mail-Adresse wurde gewünscht",
            text: "Guten Tag,\n\n\
                   am {{ occurred_at | time }} wurde für Ihr Konto eine andere E-Mail-Adresse gewünscht{% if ip %}, von \
                   {{ ip }} aus{% endif %}. Bis sie dort bestätigt ist, ändert sich nichts.\n\n\
                   Wenn Sie das nicht waren, ändern Sie jetzt Ihr Passwort.\n",
            html: None,
        },
    ],
    sample: TOLD_SAMPLE,
    ..MessageKind::new("email_change_requested", Category::Security, Severity::Warning)
};

/// Told at both addresses when an account has another.
const EMAIL_CHANGED: MessageKind = MessageKind {
    is_platform_wide: true,
    budget: Some(Budget { most: 10, within: HOUR }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: the e-mail address of your account has been changed",
            text: "Hello,\n\n\
                   at {{ occurred_at | time }} your account was given another e-mail address{% if ip %}, from {{ ip }}\
                   {% endif %}. Links that were mailed to the old one do not work any more.\n\n\
                   If neither you nor anybody for you did that, tell whoever manages your account at once.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: die E-Mail-Adresse Ihres Kontos wurde geändert",
            text: "Guten Tag,\n\n\
                   am {{ occurred_at | time }} bekam Ihr Konto eine andere E-Mail-Adresse{% if ip %}, von {{ ip }} aus\
                   {% endif %}. Links, die an die alte geschickt wurden, gelten nicht mehr.\n\n\
                   Wenn das weder Sie waren noch jemand in Ihrem Auftrag, sagen Sie es sofort denen, die Ihr Konto verwalten.\n",
            html: None,
        },
    ],
    sample: TOLD_SAMPLE,
    ..MessageKind::new("email_changed", Category::Security, Severity::Warning)
};
