//! What is mailed to those who are about to come in.

use std::time::Duration;

use stylobate_notify::{Budget, Category, Media, MessageKind, Severity, TemplateText};

pub(super) const KINDS: &[MessageKind] = &[INVITATION, REGISTRATION, REGISTRATION_EXISTS];

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The link of an invitation, in the name of the organisation. A mailbox may be invited by several.
const INVITATION: MessageKind = MessageKind {
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 10, within: DAY }),
    // Longer than any invitation is good.
    expires_after: Some(Duration::from_secs(30 * 24 * 3_600)),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: an invitation to {{ organization }}",
            text: "Hello,\n\n\
                   you are invited to {{ organization }}:\n\n\
                   {{ link('/auth/invitations/accept', token=token) }}\n\n\
                   The link works once, for {{ expires_days }} days. If you do not want to join, do nothing.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: eine Einladung zu {{ organization }}",
            text: "Guten Tag,\n\n\
                   Sie sind zu {{ organization }} eingeladen:\n\n\
                   {{ link('/auth/invitations/accept', token=token) }}\n\n\
                   Der Link gilt einmal und {{ expires_days }} Tage lang. Wenn Sie nicht beitreten möchten, tun Sie nichts.\n",
            html: None,
        },
    ],
    sample: r#"{ "token": "sbl_AbCdEf", "organization": "Acme Ltd", "expires_days": 7 }"#,
    ..MessageKind::new("invitation", Category::Account, Severity::Info)
};

/// A link that makes the account which somebody asked for with the address.
const REGISTRATION: MessageKind = MessageKind {
    is_platform_wide: true,
    is_confidential: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 10, within: HOUR }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: confirm your account",
            text: "Hello,\n\n\
                   somebody, probably you, asked for an account with this address. Confirm it:\n\n\
                   {{ link('/auth/register/confirm', token=token) }}\n\n\
                   The link works once, for {{ expires_hours }} h. If that is not you, do nothing: no account is made then.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Konto bestätigen",
            text: "Guten Tag,\n\n\
                   jemand, vermutlich Sie selbst, möchte ein Konto mit dieser Adresse. Bestätigen Sie das:\n\n\
                   {{ link('/auth/register/confirm', token=token) }}\n\n\
                   Der Link gilt einmal und {{ expires_hours }} h lang. Wenn Sie das nicht sind, tun Sie nichts: dann entsteht kein \
                   Konto.\n",
            html: None,
        },
    ],
    sample: r#"{ "token": "sbl_AbCdEf", "expires_hours": 24 }"#,
    ..MessageKind::new("registration", Category::Security, Severity::Info)
};

/// Told with whose address somebody asked for an account: that one learns nothing.
const REGISTRATION_EXISTS: MessageKind = MessageKind {
    is_platform_wide: true,
    media: Media::EMAIL,
    budget: Some(Budget { most: 1, within: DAY }),
    expires_after: Some(DAY),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: you have an account already",
            text: "Hello,\n\n\
                   somebody, perhaps you, asked for an account with this address. There is one already, so nothing has changed.\n\
                   If that was you, sign in, or set a new password:\n\n\
                   {{ link('/auth/password-reset-request') }}\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Sie haben schon ein Konto",
            text: "Guten Tag,\n\n\
                   jemand, vielleicht Sie selbst, wollte ein Konto mit dieser Adresse. Es gibt schon eines, deshalb ist nichts \
                   geschehen.\n\
                   Wenn Sie das waren, melden Sie sich an oder setzen Sie ein neues Passwort:\n\n\
                   {{ link('/auth/password-reset-request') }}\n",
            html: None,
        },
    ],
    ..MessageKind::new("registration_exists", Category::Security, Severity::Info)
};
