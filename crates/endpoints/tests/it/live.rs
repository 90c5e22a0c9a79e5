//! The live routes, over real connections.

mod socket;
mod stream;
mod world;
