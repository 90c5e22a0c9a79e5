//! What is decided about messages, without asking anybody: pure functions of what was read before.

pub(crate) mod budget;
pub(crate) mod dedup;
pub(crate) mod quiet;
pub(crate) mod retry;
pub(crate) mod route;
