mod accept;
mod batches;
mod builder;
mod channel_test;
mod channels;
mod decide;
mod deliver;
mod dispatch;
pub(crate) mod error;
mod forgetting;
mod give_up;
mod inbox;
mod live;
mod log;
mod measures;
mod outages;
mod plan;
mod preferences;
mod prepare;
mod running;
mod sealed;
mod sending;
mod settle;
mod spending;
mod suppressions;
mod templates;
mod together;
mod upkeep;

use std::{fmt, sync::Arc};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use stylobate_core::{Clock, Principal, Sealer};
use stylobate_db::{Db, Scope};
use stylobate_egress::AddressPolicy;

use crate::{
    Budget, Category, ChatHosts, Composer, Directory, MailTransport, Media, MessageCatalogue, MessageKind,
    Renderer, Severity, TemplateText,
};

pub use accept::VALUES_BYTES_MAX;
pub use builder::NotifierBuilder;
pub use channels::CHANNELS_MAX;
pub use dispatch::Dispatch;
pub use templates::LOCALES_MAX;

/// Takes messages, decides where they go, and sends them. Clone it freely.
///
/// A message is *accepted* with the change that it is about, or by itself; then it is *planned*: it becomes one delivery for each
/// address and channel that it goes to, and a notification in the product; then each delivery is *made*. Whoever is told of both
/// ([`Dispatch`]) calls [`plan`](Self::plan) and [`deliver`](Self::deliver), or [`run`](Self::run) does.
///
/// 1. Nothing that fails after a message was accepted reaches whoever sent it. What came of it is in the log of deliveries.
/// 2. What a message says is sealed until it is delivered, and gone then. What is confidential goes to the recipient's own
///    addresses and nowhere else.
/// 3. Two messages of a kind and tenant with the same key are one. A mail may be sent twice when a process dies between sending it
///    and writing so; it has the same `Message-ID` then.
/// 4. A delivery has at most one attempt under way. When its process dies, the lease runs out and another is made; when the process
///    was only frozen, it writes nothing over what came later.
/// 5. No more is sent to an address than the budgets allow, over all kinds and of each, whatever tenants it comes from and
///    however many processes plan at once. What channels send to a mailbox takes nothing from what its owner is sent.
/// 6. Quiet hours put messages off and muting drops them; neither applies to what is about security, critical or confidential.
///
/// Methods that take a context act for the tenant of its principal: what is another tenant's is as if missing. Whether the caller
/// may do so at all is decided before.
#[derive(Clone)]
pub struct Notifier {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) renderer: Renderer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) mail: Option<(Composer, Arc<dyn MailTransport>)>,
    #[cfg(feature = "client")]
    pub(crate) sms: Option<crate::SmsGateway>,
    #[cfg(feature = "client")]
    pub(crate) http: Option<stylobate_egress::Client>,
    pub(crate) addresses: AddressPolicy,
    pub(crate) hosts: ChatHosts,
    pub(crate) budgets: Budgets,
    pub(crate) dispatch: Option<Arc<dyn Dispatch>>,
    pub(crate) live: live::Live,
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody measures"))]
    pub(crate) measures: measures::Measures,
    pub(crate) outages: outages::Outages,
    pub(crate) batches: batches::Batches,
}

/// How much one recipient is sent at most, over all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// E-mails to somebody's own address, and again those to a mailbox by the mail channels of one tenant: 100 a day unless set. What is
    /// about security is sent beyond it, within the budget of its kind.
    pub email: Budget,
    /// Short messages to a number: 5 a day unless set.
    pub sms: Budget,
    /// Notifications of a person in the product: 1,000 a day unless set.
    pub in_app: Budget,
    /// Messages through a channel, and all that a mailbox with a channel to it is sent before channels have to stop: 1,000 a day unless
    /// set.
    pub channel: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            email: Budget::daily(100),
            sms: Budget::daily(5),
            in_app: Budget::daily(1_000),
            channel: Budget::daily(1_000),
        }
    }
}

/// The kind of message that tries out a channel. Every catalogue of a [`Notifier`] has it.
pub const CHANNEL_TEST: MessageKind = MessageKind {
    media: Media { email: false, sms: false, in_app: false },
    // Whoever may make a channel could otherwise have the product write to somebody for as long as they like.
    budget: Some(Budget { most: 10, within: std::time::Duration::from_secs(3_600) }),
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ product.name }}: this channel works",
            text: "This is a test of the channel \"{{ label }}\" of {{ product.name }}.\n",
            html: None,
        },
        TemplateText {
            locale: "de",
            subject: "{{ product.name }}: dieser Kanal funktioniert",
            text: "Dies ist ein Test des Kanals \"{{ label }}\" von {{ product.name }}.\n",
            html: None,
        },
    ],
    sample: r#"{ "label": "On call" }"#,
    ..MessageKind::new("channel_test", Category::System, Severity::Info)
};

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("renderer", &self.inner.renderer).finish_non_exhaustive()
    }
}

impl Notifier {
    /// The kinds of messages there are.
    #[must_use]
    pub fn catalogue(&self) -> &MessageCatalogue {
        self.inner.renderer.catalogue()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now().trunc_subsecs(6)
    }
}

/// How long an attempt has its delivery: half a minute longer than it may take, for the database.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(270);

/// On whose rows a principal acts.
pub(crate) fn scope(principal: &Principal, reason: &'static str) -> Scope {
    principal.tenant.map_or(Scope::Platform(reason), Scope::Tenant)
}
