//! What people sign in with, as administrators see and change it: never a hash, never a secret that can be read back.

mod model;
mod routes;
mod service;
mod store;

pub(crate) use routes::routes;
pub(crate) use service::Credentials;
