//! Service accounts: programs that act for themselves, not for a person.
//!
//! 1. A service account belongs to one tenant. Its rights are roles, as those of people are; what it presents are API keys of its
//!    own.
//! 2. Disabled, nothing of it works, at once in this process and within a second in others, and its keys rest; deleted, they go
//!    with it.
//! 3. Every change counts `version` up and is told to other processes, so that what they remember of it is read again.

mod account;
mod error;
mod store;

pub use account::{
    NewServiceAccount, ServiceAccount, ServiceAccountChange, ServiceAccountQuery, ServiceAccountStatus,
    ServiceAccounts,
};
pub use error::ServiceAccountError;
pub(crate) use store::lock;
