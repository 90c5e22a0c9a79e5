use stylobate_core::{MessageDeliveryId, NotificationChannelId, Page, PageLimit, RequestContext};

use super::{Notifier, channels::scope_of, error::NO_CHANNEL, scope};
use crate::{
    ChannelOwner, MessageDelivery, MessageDeliveryQuery, NotifierError,
    store::{channels, deliveries},
};

impl Notifier {
    /// Deliveries of the caller's tenant, the newest first: what was sent, what was not, and why.
    ///
    /// # Errors
    /// [`NotifierError::Cursor`], and the database's own.
    pub async fn deliveries(
        &self,
        context: &RequestContext,
        query: &MessageDeliveryQuery,
    ) -> Result<Page<MessageDelivery>, NotifierError> {
        let scope = scope(&context.principal, "list deliveries of messages");
        let mut tx = self.inner.db.begin_read(scope).await?;
        let page = deliveries::list(&mut tx, scope, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// A delivery of the caller's tenant.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`], and the database's own.
    pub async fn delivery(
        &self,
        context: &RequestContext,
        id: MessageDeliveryId,
    ) -> Result<MessageDelivery, NotifierError> {
        let scope = scope(&context.principal, "read a delivery of a message");
        let mut tx = self.inner.db.begin_read(scope).await?;
        let found = deliveries::find(&mut tx, scope, id).await?;
        tx.rollback().await?;
        found.ok_or(NotifierError::NotFound { entity: "message_delivery" })
    }

    /// Deliveries through a channel of `owner`, the newest first.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]; [`NotifierError::Cursor`]; the database's own.
    pub async fn channel_deliveries(
        &self,
        owner: ChannelOwner,
        id: NotificationChannelId,
        limit: PageLimit,
        cursor: Option<&str>,
    ) -> Result<Page<MessageDelivery>, NotifierError> {
        let scope = scope_of(owner, "list deliveries of a channel");
        let query = MessageDeliveryQuery {
            channel: Some(id),
            limit,
            cursor: cursor.map(str::to_owned),
            ..MessageDeliveryQuery::default()
        };
        let mut tx = self.inner.db.begin_read(scope).await?;
        channels::find(&mut tx, owner, id, false).await?.ok_or(NO_CHANNEL)?;
        let page = deliveries::list(&mut tx, scope, &query).await?;
        tx.rollback().await?;
        Ok(page)
    }
}
