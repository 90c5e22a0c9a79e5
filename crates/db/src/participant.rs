use stylobate_core::{AuditEvent, BoxFuture, DomainEvent};

use crate::{Error, Tx};

/// The events that a transaction buffered.
#[derive(Debug, Default)]
pub struct Pending {
    /// Audit events, in the order they were buffered.
    pub audit: Vec<AuditEvent>,
    /// Domain events, in the order they were buffered.
    pub events: Vec<DomainEvent>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.events.is_empty()
    }
}

/// Which buffered events a participant stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takes {
    /// It stores audit events.
    pub audit: bool,
    /// It stores domain events.
    pub events: bool,
}

/// Takes part in every transaction that buffered events, so that what it writes commits with the change.
pub trait Participant: Send + Sync {
    /// Which buffered events it stores.
    fn takes(&self) -> Takes;

    /// Stores what it takes of `pending`, inside the transaction. Buffering further events here has no effect.
    ///
    /// # Errors
    /// Any error ends the transaction without a change.
    fn before_commit<'a>(&'a self, tx: &'a mut Tx, pending: &'a Pending) -> BoxFuture<'a, Result<(), Error>>;

    /// Hears that the transaction has committed: the place to wake a relay. It cannot fail and must not wait.
    fn after_commit(&self, pending: &Pending) {
        let _ = pending;
    }
}
