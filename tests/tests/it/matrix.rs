//! The matrix (A12): who may ask what, and that what another organisation has is as what nobody has.

mod access_table;
mod elsewhere;
mod foreign_ids;
mod mass_assignment;
mod platform;
mod samples;
