//! What somebody holds, as far as handing it out is concerned. Stricter than a check: what is handed out may be used at
//! other times, on other things and by others than the caller, so only what the caller has in all of these cases counts.
//!
//! 1. A rule that allows lets its holder hand out what it covers, for as long as it lasts, on the resource it is about, and
//!    under its own condition or, when it has none, any.
//! 2. Whatever a rule about the caller denies is not the caller's to hand out, be that rule conditional or about one
//!    resource. A platform rule that allows is above the tenant's that deny, as in checks.
//! 3. A pattern is handed out by whoever holds a pattern that covers it, because it also means what is not declared yet.
//! 4. Scopes of the credential narrow all of this.
//! 5. Permissions that only rows know have no holder at first, and patterns of them none at all: whoever holds every
//!    permission that the catalogue declares for the owner's roles is its administrator and hands them out too.
//! 6. To make a rule that denies something, or to take a denial away, is as much as to hand it out: a denial is lifted by
//!    those whom it does not hit, or by the platform. A denial under a condition is as much as one without, for it also
//!    holds where that is not known. Taking rights away needs no more than the permission to do so.
//!
//! What is to be handed out counts whether it is switched on or not, for it can be switched on. What the caller has does not,
//! except for a single permission, which nobody can use while it is switched off.

mod claim;
mod cover;
mod rows;
mod rules;

pub(crate) use claim::{Bundle, Claim};
pub(crate) use cover::Holdings;
pub(crate) use rows::{RoleRows, above, climb};
pub(crate) use rules::Rules;
