//! Background work: what this program knows to do, who sees and steers it.

mod kinds;
mod model;
mod queues;
mod routes;
mod standing;
mod task_model;
mod tasks;

use stylobate::{
    Platform,
    core::RequestContext,
    endpoints::Routes,
    jobs::{Jobs, Registry, Schedules},
    middleware::ApiResult,
    rbac::{Authorizer as _, Rbac},
};

use crate::caller::{of_platform, of_tenant};

pub(crate) use kinds::fill;
pub(crate) use standing::make_standing;

/// What the handlers of this room work with.
#[derive(Clone)]
struct Work {
    jobs: Jobs,
    kinds: Registry,
    schedules: Schedules,
    rbac: Rbac,
}

pub(crate) fn routes(platform: &Platform) -> Routes {
    let work = Work {
        jobs: platform.jobs().clone(),
        kinds: platform.kinds().clone(),
        schedules: platform.schedules().clone(),
        rbac: platform.rbac().clone(),
    };
    routes::routes(&work).and(queues::routes(&work)).and(tasks::routes(&work))
}

/// What lets somebody see and steer the jobs of the platform and of every organisation.
const EVERYWHERE: &str = "platform.jobs.manage";

/// In whose name somebody asks about jobs.
struct Asker {
    context: RequestContext,
    /// Whether the jobs of all organisations and of the platform are theirs to see.
    is_of_platform: bool,
}

impl Work {
    // A12
    /// Who steers the jobs of all acts for no organisation, and so for all; everybody else for their own.
    fn asker(&self, context: &RequestContext) -> ApiResult<Asker> {
        if self.rbac.check(&context.principal, EVERYWHERE).is_allowed() {
            return Ok(Asker { context: of_platform(context), is_of_platform: true });
        }
        Ok(Asker { context: of_tenant(context)?.clone(), is_of_platform: false })
    }
}
