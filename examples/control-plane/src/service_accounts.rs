//! Service accounts of the organisation, as its administrators see and change them: who they are, and what they may do where.

mod model;
mod routes;
mod service;

pub(crate) use routes::routes;
pub(crate) use service::ServiceAccounts;
