//! What people are told about the end of their account, at the address that they had.

use std::time::Duration;

use stylobate_notify::{Budget, Category, Media, MessageKind, Severity, TemplateText};

pub(super) const KINDS: &[MessageKind] = &[ACCOUNT_DISABLED, ACCOUNT_DELETED];

const BUDGET: Budget = Budget { most: 10, within: Duration::from_secs(3_600) };

const SAMPLE: &str = r#"{ "is_by_owner": true, "ip": "203.0.113.7", "occurred_at": "2026-03-01T12:00:00Z" }"#;

/// Whoever cannot sign in any more learns why.
const ACCOUNT_DISABLED: MessageKind = MessageKind {
    is_platform_wide: true,
    media: Media::EMAIL,
    budget: Some(BUDGET),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: your account has been disabled",
            text: "Hello,\n\n\
                   at {{ occurred_at | time }} the account with this address was disabled{% if not is_by_owner %} by an \
                   administrator{% endif %}{% if ip %}, from {{ ip }}{% endif %}. Nobody can sign in with it, and links that were \
                   mailed for it do not work any more.\n\n\
                   If you think that is wrong, ask whoever manages your account.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Ihr Konto wurde gesperrt",
            text: "Guten Tag,\n\n\
                   am {{ occurred_at | time }} wurde das Konto mit dieser Adresse gesperrt{% if not is_by_owner %}, durch die \
                   Verwaltung{% endif %}{% if ip %}, von {{ ip }} aus{% endif %}. Niemand kann sich damit anmelden, und Links, die \
                   dafür zugesandt wurden, gelten nicht mehr.\n\n\
                   Wenn Sie das für falsch halten, fragen Sie, wer Ihr Konto verwaltet.\n",
            html: None,
        },
    ],
    sample: SAMPLE,
    ..MessageKind::new("account_disabled", Category::Security, Severity::Warning)
};

/// The last that is heard of an account.
const ACCOUNT_DELETED: MessageKind = MessageKind {
    is_platform_wide: true,
    media: Media::EMAIL,
    budget: Some(BUDGET),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: your account has been deleted",
            text: "Hello,\n\n\
                   at {{ occurred_at | time }} the account with this address was deleted{% if not is_by_owner %} by an \
                   administrator{% endif %}{% if ip %}, from {{ ip }}{% endif %}. It cannot be brought back.\n\n\
                   If neither you nor anybody for you did that, tell whoever manages {{ product.name }}.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: Ihr Konto wurde gelöscht",
            text: "Guten Tag,\n\n\
                   am {{ occurred_at | time }} wurde das Konto mit dieser Adresse gelöscht{% if not is_by_owner %}, durch die \
                   Verwaltung{% endif %}{% if ip %}, von {{ ip }} aus{% endif %}. Es kann nicht wiederhergestellt werden.\n\n\
                   Wenn das weder Sie waren noch jemand in Ihrem Auftrag, sagen Sie es denen, die {{ product.name }} \
                   betreiben.\n",
            html: None,
        },
    ],
    sample: SAMPLE,
    ..MessageKind::new("account_deleted", Category::Security, Severity::Warning)
};
