use stylobate_core::{BoxFuture, Message};

use crate::{Error, Tx};

/// Takes messages that go out if the transaction commits, and only then: a link that was never stored is never mailed, and one
/// that was stored is mailed also when the process dies a moment later.
///
/// For facts that need no transaction there is [`MessageSender`](stylobate_core::MessageSender). `stylobate-notify`'s `Notifier` is
/// both.
pub trait MessageOutbox: Send + Sync {
    /// Takes `message` with the other changes of `tx`. One to a text that is no address is taken as well, and sent nowhere: whether
    /// somebody's address is one must not decide whether a change commits.
    ///
    /// # Errors
    /// The database's own; [`Error::Unavailable`] when a key to seal it with cannot be had; [`Error::Participant`] for a message
    /// that is refused: an unknown kind, values that are not the kind's. The transaction is lost then.
    fn hand_over<'a>(&'a self, tx: &'a mut Tx, message: Message) -> BoxFuture<'a, Result<(), Error>>;
}
