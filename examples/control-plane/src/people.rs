//! People: who they are is the auth crate's, what is known about them is ours, and a tenant sees its members.

mod accounts;
mod directory;
mod guard;
pub(crate) mod import;
mod me;
mod model;
mod own_account;
pub(crate) mod routes;
mod service;
mod store;
mod told;

pub(crate) use directory::ProfileDirectory;
pub(crate) use model::{PersonInput, PersonView, invalid};
pub(crate) use service::{Draft, People, Refused, field, first_password, password_of, tenant_of};
pub(crate) use store::usernames;
