use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use stylobate_core::{PersonId, TenantId};
use stylobate_db::Tx;
use uuid::Uuid;

use super::Notifier;
use crate::{
    DeliveryState, Medium, NotifierError,
    store::{
        channels,
        deliveries::{self, Dropped},
        messages, notifications, preferences, removal, suppressions, templates,
    },
};

impl Notifier {
    /// Removes what belongs to a person who is gone, with whatever removes them. Their deliveries stay in the log until they are old.
    /// The transaction's scope is [`Scope::Platform`](stylobate_db::Scope): a tenant's does not see what is a person's own.
    ///
    /// # Errors
    /// The database's own.
    pub async fn forget_person(&self, tx: &mut Tx, person: PersonId) -> Result<(), NotifierError> {
        channels::remove_of_person(tx, person).await?;
        notifications::remove_of(tx, person).await?;
        preferences::remove_of(tx, person).await?;
        let now = self.now();
        let ended = deliveries::end_of_person(tx, person.as_uuid(), now).await?;
        self.finish_dropped(tx, ended, now).await
    }

    /// Removes up to `limit` rows of what a tenant that is gone has set up, and tells how many; 0 says that none is left. The
    /// transaction's scope is [`Scope::Platform`](stylobate_db::Scope) or the tenant's own. Up to as many messages that were to go
    /// through its channels are dropped beside that; what is left of them then is dropped when it is due. Messages that were
    /// accepted still go to the people they are for, and what people were told stays with them until it is old.
    ///
    /// # Errors
    /// The database's own.
    pub async fn forget_tenant(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, NotifierError> {
        let (now, lane, most) = (self.now(), tenant.as_uuid(), i64::from(limit.get()));
        let ended = deliveries::end_of_channels(tx, lane, now, most).await?;
        self.finish_dropped(tx, ended, now).await?;
        let removed = channels::remove_of_tenant(tx, tenant, most).await?;
        if removed > 0 {
            return Ok(removed);
        }
        let removed = templates::remove_of(tx, lane, most).await?;
        if removed > 0 {
            return Ok(removed);
        }
        Ok(suppressions::remove_of(tx, lane, most).await?)
    }

    /// Removes up to `limit` rows of what a tenant that is gone has left behind beside what it had
    /// [set up](Self::forget_tenant), and tells how many; 0 says that none is left but those that something waits for: messages that
    /// are under way, which are delivered or given up before they go. They are what people were told in its name, and the log of
    /// what was sent. The transaction's scope is [`Scope::Platform`](stylobate_db::Scope).
    ///
    /// # Errors
    /// The database's own.
    pub async fn remove_tenant_rows(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        limit: NonZeroU32,
    ) -> Result<u64, NotifierError> {
        Ok(removal::remove_of(tx, tenant.as_uuid(), i64::from(limit.get())).await?)
    }

    /// Whether messages of a tenant are under way or in the log, for who has removed
    /// [everything that can go](Self::remove_tenant_rows). The transaction's scope is
    /// [`Scope::Platform`](stylobate_db::Scope).
    ///
    /// # Errors
    /// The database's own.
    pub async fn has_messages(&self, tx: &mut Tx, tenant: TenantId) -> Result<bool, NotifierError> {
        Ok(removal::has_messages(tx, tenant.as_uuid()).await?)
    }

    /// Finishes the messages of which nothing is pending since these deliveries were dropped.
    async fn finish_dropped(
        &self,
        tx: &mut Tx,
        dropped: Vec<Dropped>,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        for (_, medium, created_at) in &dropped {
            if let Some(medium) = Medium::of(medium) {
                self.note_on_commit(tx, medium, DeliveryState::Dropped, now - *created_at);
            }
        }
        let messages: Vec<Uuid> = dropped.into_iter().map(|(message, ..)| message).collect();
        if !messages.is_empty() {
            messages::finish(tx, messages, now).await?;
        }
        Ok(())
    }
}
