//! Decisions by [casbin](https://casbin.org), contained.
//!
//! A casbin *model* says what a request and a rule are made of and when they match; a *policy* is its rules. Both are text
//! that others write, and casbin runs a model's matcher as a program, panics on some patterns and asks the policy for
//! regular expressions. So a model has to pass a closed grammar ([`CasbinModel`]), rules a closed alphabet
//! ([`CasbinRules`]), the functions that match patterns are replaced by bounded ones, and whatever still goes wrong is a
//! denial. `docs/casbin.md` lists every difference to casbin.

mod authorizer;
mod enforcer;
mod error;
mod export;
mod functions;
mod import;
mod matcher;
mod model;
mod rules;
mod tier;

#[cfg(feature = "sql")]
mod adapter;

pub use authorizer::CasbinAuthorizer;
pub use error::{CasbinInvalid, CasbinProblem, CasbinProblemKind};
pub use export::CasbinExport;
pub use import::CasbinImport;
pub use model::CasbinModel;
pub use rules::CasbinRules;

#[cfg(feature = "sql")]
pub use adapter::CasbinAdapter;

pub(crate) use tier::{Tier, TierAnswer};
