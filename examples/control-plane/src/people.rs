//! People: who they are is the auth crate's, what is known about them is ours, and a tenant sees its members.

mod accounts;
mod changing;
mod directory;
mod guard;
pub(crate) mod import;
mod leaving;
mod me;
mod model;
mod notes;
mod org_end;
mod own_account;
pub(crate) mod routes;
mod service;
mod store;
mod told;

pub(crate) use accounts::in_contact;
pub(crate) use directory::ProfileDirectory;
pub(crate) use leaving::require_other;
pub(crate) use model::{Gender, PersonInput, PersonView, Status, country_of};
pub(crate) use service::{Draft, ListRequest, People, first_password, password_of, tenant_of};
pub(crate) use store::usernames;
