//! Sessions as administrators see and end them: those that were begun for their organisation.

mod routes;
mod service;

pub(crate) use routes::routes;
pub(crate) use service::Sessions;
