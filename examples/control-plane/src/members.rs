//! Members of organisations: who belongs to which, who is invited, and the users that callers of the replaced systems know.
//!
//! An organisation decides about memberships, and about the accounts of those who belong to it alone. Who belongs to others as well
//! only has a membership here.

mod admins;
mod contact;
mod invitations;
mod model;
mod routes;
mod service;
mod user_model;
mod users;

use stylobate::endpoints::Routes;

pub(crate) use service::Members;
pub(crate) use user_model::{AccountInput, UserView};

pub(crate) fn routes(members: &Members) -> Routes {
    routes::routes(members)
        .and(admins::routes(members))
        .and(invitations::routes(members))
        .and(users::routes(members))
        .and(contact::routes(members))
}
