//! What happened: for organisations to read, and for operators to see to it that everybody was told.

mod model;
mod routes;
mod types;

pub(crate) use routes::routes;
pub(crate) use types::event_types;
