//! Webhooks: where an organisation wants to hear what happens.

mod model;
mod routes;

pub(crate) use routes::routes;
