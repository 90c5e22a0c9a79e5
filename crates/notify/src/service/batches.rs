//! What messages and deliveries that are seen to at once ask of the database together.

use std::sync::Arc;

use stylobate_core::{BoxFuture, MessageDeliveryId, MessageId};
use stylobate_db::{Scope, Tx};

use super::{
    Notifier,
    deliver::Found,
    prepare::{Before, Prepared},
    settle::Outcome,
    together::Together,
};
use crate::{
    Accepted, NotifierError,
    store::{deliveries::Owed, messages::NewMessage},
};

/// Each statement costs the same for one as for many, so that in a flood whoever comes second is taken along.
#[derive(Default)]
pub(crate) struct Batches {
    pub(super) accepted: Together<NewMessage, Accepted>,
    pub(super) before: Together<MessageId, Option<Before>>,
    pub(super) planned: Together<Arc<Prepared>, ()>,
    pub(super) found: Together<MessageDeliveryId, Option<Found>>,
    pub(super) claimed: Together<Owed, Option<Owed>>,
    pub(super) settled: Together<Arc<Outcome>, ()>,
}

/// What is done to all of a batch, in one transaction. Boxed, so that the compiler sees that it can go from thread to thread without
/// knowing for which lifetimes it is asked.
type Work<Q> = for<'a> fn(&'a Notifier, &'a mut Tx, &'a [Arc<Q>]) -> BoxFuture<'a, Result<(), NotifierError>>;

impl Notifier {
    /// Has `work` done to all of a batch in one transaction, and answers each.
    pub(super) async fn in_one<Q: Send + Sync + 'static>(
        self,
        scope: Scope,
        all: Vec<Arc<Q>>,
        work: Work<Q>,
    ) -> Result<Vec<()>, NotifierError> {
        let (db, answers) = (self.inner.db.clone(), vec![(); all.len()]);
        db.transact(scope, async move |tx: &mut Tx| work(&self, tx, &all).await).await?;
        Ok(answers)
    }
}
