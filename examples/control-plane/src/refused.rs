//! Why something was refused: every error that a transaction of this program ends with, and what is answered then.

use stylobate::{
    auth::{ApiKeyError, AuthError, PeopleError, ServiceAccountError},
    core::{FieldProblem, Problem},
    db::{self, TransactError},
    events::EventsError,
    jobs::JobsError,
    middleware::{ApiError, IntoProblem as _},
    notify::NotifierError,
    rbac::RbacError,
    tenancy,
};

/// Why something was refused, by whichever crate or by this one.
#[derive(Debug)]
pub(crate) enum Refused {
    Problem(Box<Problem>),
    Db(db::Error),
    People(PeopleError),
    Auth(AuthError),
    ApiKey(ApiKeyError),
    ServiceAccount(ServiceAccountError),
    Rbac(RbacError),
    Tenancy(tenancy::Error),
    Jobs(JobsError),
    Events(EventsError),
    Notifier(NotifierError),
}

macro_rules! refused_from {
    ($($variant:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

refused_from!(
    Db(db::Error),
    People(PeopleError),
    Auth(AuthError),
    ApiKey(ApiKeyError),
    ServiceAccount(ServiceAccountError),
    Rbac(RbacError),
    Tenancy(tenancy::Error),
    Jobs(JobsError),
    Events(EventsError),
    Notifier(NotifierError),
);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl TransactError for Refused {
    fn as_db(&self) -> Option<&db::Error> {
        match self {
            Self::Problem(_) => None,
            Self::Db(error) => Some(error),
            Self::People(error) => error.as_db(),
            Self::Auth(error) => error.as_db(),
            Self::ApiKey(error) => error.as_db(),
            Self::ServiceAccount(error) => error.as_db(),
            Self::Rbac(error) => error.as_db(),
            Self::Tenancy(error) => error.as_db(),
            Self::Jobs(error) => error.as_db(),
            Self::Events(error) => error.as_db(),
            Self::Notifier(error) => error.as_db(),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => (*problem).into(),
            Refused::Db(error) => error.into_problem().into(),
            Refused::People(error) => error.into_problem().into(),
            Refused::Auth(error) => error.into_problem().into(),
            Refused::ApiKey(error) => error.into_problem().into(),
            Refused::ServiceAccount(error) => error.into_problem().into(),
            Refused::Rbac(error) => error.into_problem().into(),
            Refused::Tenancy(error) => error.into_problem().into(),
            Refused::Jobs(error) => error.into_problem().into(),
            Refused::Events(error) => error.into_problem().into(),
            Refused::Notifier(error) => error.into_problem().into(),
        }
    }
}

/// 422 `validation` for each of the fields.
pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Problem {
    let mut problem = Problem::new(422, "validation").detail("Some fields are not as they should be.");
    problem.errors = errors;
    problem
}

/// 422 `validation` for one field.
pub(crate) fn field(name: &'static str, message: &'static str) -> Problem {
    invalid(vec![FieldProblem::new(name, "invalid", message)])
}
