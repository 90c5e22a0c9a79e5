//! The matrix: every route × everybody who may ask × every place an id can stand in × an id of another organisation.
//!
//! It is generated from the API document of the running program, whose operations say in `x-ids` where they take ids and of
//! what ([`Operation`]). A [`World`] is an installation with two organisations, *home* and *foreign*, which have one row of
//! every kind ([`Organisation`]). Whoever belongs to home ([`Asker`]) asks each operation twice, with the foreign
//! organisation's id and with one that nothing has: the two answers must not be told apart, and nothing of the foreign
//! organisation may be in either. A third question, with an id of home, shows that the route works at all and the other two
//! prove something. At the end the foreign organisation's rows are what they were ([`Fingerprint`]). Two answers are alike for no
//! good reason when whoever asks is not listened to; that is found, too.
//!
//! What does not fit is in tables with its reason: bodies in `samples.rs`, what proves nothing in `control.rs`, what the
//! program moves by itself in `compare.rs` and `fingerprint.rs`. What of a table no operation has a use for any more,
//! [`dead_rows`] finds.

mod ask;
mod bodies;
mod compare;
mod control;
mod dead_rows;
mod fingerprint;
mod group;
mod operations;
mod organisation;
mod random;
mod rows;
mod samples;
mod trial;
mod world;

pub use ask::{Asker, Request};
pub use compare::{Finding, Seen, assert_none, is_refused};
pub use dead_rows::dead_rows;
pub use fingerprint::Fingerprint;
pub use group::Group;
pub use operations::{Asks, IdPlace, Operation, Position, operations};
pub use organisation::{FIRST_PASSWORD, Organisation};
pub use random::RandomTries;
pub use rows::{Rows, row_of};
pub use samples::sample;
pub use trial::Trial;
pub use world::{BOOTSTRAP_SECRET, World, id_like};
