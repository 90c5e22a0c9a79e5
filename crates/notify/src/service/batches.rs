//! What messages and deliveries that are seen to at once ask of the database together.

use std::sync::Arc;

use stylobate_core::{MessageDeliveryId, MessageId};

use super::{
    deliver::Found,
    prepare::{Before, Prepared},
    settle::Outcome,
    together::Together,
};
use crate::{
    Accepted,
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
