mod address;
mod compose;
mod dkim;

pub use address::{AddressInvalid, EmailAddress, Mailbox};
pub use compose::{Composer, Mail};
pub use dkim::DkimKey;
