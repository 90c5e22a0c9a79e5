//! Every statement of the outbox.

pub(crate) mod dead;
pub(crate) mod emit;
pub(crate) mod events;
pub(crate) mod owed;
#[cfg(test)]
mod plans;
pub(crate) mod removal;
pub(crate) mod settle;
pub(crate) mod subscribers;
pub(crate) mod upkeep;
