//! Webhooks, against a receiver that is a real server on loopback.

mod deliveries;
mod endpoints;
mod faults;
mod receiver;
mod secrets;
mod upkeep;
mod whole;
mod world;
