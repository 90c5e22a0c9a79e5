//! API keys: those of the organisation, as its administrators see and change them, and one's own. A secret goes out once and never
//! comes in.

mod model;
mod own;
mod routes;
mod service;

pub(crate) use own::routes as own_routes;
pub(crate) use routes::routes;
pub(crate) use service::ApiKeys;
