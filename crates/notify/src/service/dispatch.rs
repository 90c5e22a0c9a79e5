use stylobate_core::BoxFuture;
use stylobate_db::Tx;

use crate::{DeliveryRef, MessageRef};

/// Takes messages and deliveries as they are made, and sees to it that [`Notifier::plan`](crate::Notifier::plan) and
/// [`Notifier::deliver`](crate::Notifier::deliver) are called for each until it is done: a queue of jobs. Without one,
/// [`Notifier::run`](crate::Notifier::run) does it.
pub trait Dispatch: Send + Sync {
    /// Takes messages inside the transaction that accepts them.
    ///
    /// # Errors
    /// The database's own; or [`stylobate_db::Error::Participant`] with what went wrong. Nothing is accepted then.
    fn plan<'a>(
        &'a self,
        tx: &'a mut Tx,
        messages: Vec<MessageRef>,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>>;

    /// Takes deliveries inside the transaction that makes them.
    ///
    /// # Errors
    /// As of [`plan`](Self::plan).
    fn deliver<'a>(
        &'a self,
        tx: &'a mut Tx,
        deliveries: Vec<DeliveryRef>,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>>;
}
