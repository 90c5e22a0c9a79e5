//! Organisations: what they are called, who may act on which, and what they have set.

mod target;

pub(crate) use target::{OrgTarget, given_by_platform};
