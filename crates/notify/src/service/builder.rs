use std::sync::Arc;

use stylobate_core::{Clock, Sealer, SystemClock};
use stylobate_db::Db;
use stylobate_egress::AddressPolicy;

use super::{Budgets, CHANNEL_TEST, Dispatch, Inner, Notifier, live::Live, measures::Measures};
use crate::{
    ChatHosts, Composer, Directory, MailTransport, MessageCatalogue, NotifyError, Product, Renderer,
};

/// A [`Notifier`] that is being put together.
pub struct NotifierBuilder {
    db: Db,
    catalogue: MessageCatalogue,
    product: Product,
    sealer: Arc<dyn Sealer>,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    mail: Option<(Composer, Arc<dyn MailTransport>)>,
    #[cfg(feature = "client")]
    sms: Option<crate::SmsGateway>,
    #[cfg(feature = "client")]
    http: Option<stylobate_egress::Client>,
    hosts: ChatHosts,
    budgets: Budgets,
    dispatch: Option<Arc<dyn Dispatch>>,
}

impl Notifier {
    /// A notifier in `db` for the kinds of `catalogue`, which has [`CHANNEL_TEST`] among them. What is said is sealed by `sealer`;
    /// `directory` knows how people are reached.
    #[must_use]
    pub fn builder(
        db: Db,
        catalogue: MessageCatalogue,
        product: Product,
        sealer: Arc<dyn Sealer>,
        directory: Arc<dyn Directory>,
    ) -> NotifierBuilder {
        NotifierBuilder {
            db,
            catalogue,
            product,
            sealer,
            directory,
            clock: Arc::new(SystemClock),
            mail: None,
            #[cfg(feature = "client")]
            sms: None,
            #[cfg(feature = "client")]
            http: None,
            hosts: ChatHosts::default(),
            budgets: Budgets::default(),
            dispatch: None,
        }
    }
}

impl NotifierBuilder {
    /// Where the present comes from. The system's clock unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sends mail made by `composer` through `transport`. Unset, mails are not sent, and their deliveries say so.
    #[must_use]
    pub fn mail(mut self, composer: Composer, transport: Arc<dyn MailTransport>) -> Self {
        self.mail = Some((composer, transport));
        self
    }

    /// Sends short messages through `gateway`.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn sms(mut self, gateway: crate::SmsGateway) -> Self {
        self.sms = Some(gateway);
        self
    }

    /// Asks chats and webhooks by `client`, whose policy says which addresses may be asked.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn http(mut self, client: stylobate_egress::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Which hosts chats may be at.
    #[must_use]
    pub fn hosts(mut self, hosts: ChatHosts) -> Self {
        self.hosts = hosts;
        self
    }

    /// How much one recipient is sent at most.
    #[must_use]
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Hands messages and deliveries to `dispatch` as they are made.
    #[must_use]
    pub fn dispatching(mut self, dispatch: Arc<dyn Dispatch>) -> Self {
        self.dispatch = Some(dispatch);
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`] when the catalogue has no [`CHANNEL_TEST`].
    pub fn build(self) -> Result<Notifier, NotifyError> {
        self.catalogue.kind(CHANNEL_TEST.name)?;
        #[cfg(feature = "client")]
        let addresses = self.http.as_ref().map_or_else(AddressPolicy::public, |http| http.policy().clone());
        #[cfg(not(feature = "client"))]
        let addresses = AddressPolicy::public();
        let live = Live::new(self.db.clone(), Arc::clone(&self.clock));
        let inner = Inner {
            renderer: Renderer::new(self.catalogue, self.product),
            db: self.db,
            clock: self.clock,
            sealer: self.sealer,
            directory: self.directory,
            mail: self.mail,
            #[cfg(feature = "client")]
            sms: self.sms,
            #[cfg(feature = "client")]
            http: self.http,
            addresses,
            hosts: self.hosts,
            budgets: self.budgets,
            dispatch: self.dispatch,
            live,
            measures: Measures::default(),
            outages: Default::default(),
            batches: Default::default(),
        };
        Ok(Notifier { inner: Arc::new(inner) })
    }
}
