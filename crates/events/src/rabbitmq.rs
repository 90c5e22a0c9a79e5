mod link;
mod url;

pub use link::Broker;
pub use url::{AmqpUrl, AmqpUrlInvalid};
