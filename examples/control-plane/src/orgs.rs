//! Organisations: what they are called, who may act on which, and what they have set.

mod bootstrap;
mod deletion;
mod document_store;
mod documents;
mod model;
mod overview;
mod overview_store;
mod routes;
mod service;
mod target;
mod told;

use stylobate::{Platform, endpoints::Routes};

use crate::members::Members;

pub(crate) use deletion::{DeleteOrg, OrgRemoval};
pub(crate) use documents::forget_person;
pub(crate) use service::Orgs;
pub(crate) use target::{OrgTarget, given_by_platform};

pub(crate) fn routes(platform: &Platform, members: &Members) -> Routes {
    let orgs = Orgs::new(platform);
    routes::routes(&orgs)
        .and(documents::routes(&orgs))
        .and(overview::routes(&orgs))
        .and(bootstrap::routes(platform, &orgs, members))
        .and(deletion::routes(platform))
}
