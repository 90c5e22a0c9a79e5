//! Which error of which crate becomes which problem, beyond what the table says: named fields, and when to come back.

use stylobate_auth::PasswordError;
#[cfg(feature = "sql")]
use stylobate_core::KeyOwner;
use stylobate_core::Problem;
use stylobate_rbac::PolicyUnavailable;
use stylobate_tenancy::ChooseError;

use crate::problem_table::{IntoProblem, problem_for, problem_of};

impl IntoProblem for PasswordError {
    fn into_problem(self) -> Problem {
        let problem = problem_of(self.code(), &self);
        match self {
            Self::Busy { retry_after } => problem.retry_after(retry_after.as_secs().max(1)),
            Self::TooLong => problem.field("password", "too_long", "is longer than 1024 bytes"),
            _ => problem,
        }
    }
}

impl IntoProblem for PolicyUnavailable {
    fn into_problem(self) -> Problem {
        problem_of("policy_unavailable", &self)
    }
}

impl IntoProblem for ChooseError {
    fn into_problem(self) -> Problem {
        let problem = problem_for(self.code());
        match self {
            Self::OrgCodeRequired => problem.field("org_code", "required", "is required"),
            Self::NoMembership | Self::NotAMember => problem,
        }
    }
}

#[cfg(feature = "sql")]
mod with_stores {
    use stylobate_auth::{ApiKeyError, AuthError, PeopleError, ServiceAccountError};

    use super::*;

    /// The problem of a field whose name only the error knows.
    fn of_field(code: &str, field: &str, kind: &'static str, message: &str) -> Problem {
        problem_for(code).field(field, kind, message)
    }

    fn cursor() -> Problem {
        of_field("validation", "cursor", "invalid", "does not belong to this list")
    }

    impl IntoProblem for stylobate_db::Error {
        fn into_problem(self) -> Problem {
            problem_of(self.code(), &self)
        }
    }

    impl IntoProblem for stylobate_audit::Error {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::FilterInvalid { field } => of_field("validation", field, "invalid", "is not valid"),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for stylobate_tenancy::Error {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::CodeTaken => problem_of(self.code(), &self).field("code", "taken", "is taken"),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for PeopleError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::UsernameTaken => problem_of(self.code(), &self).field("username", "taken", "is taken"),
                Self::EmailTaken => problem_of(self.code(), &self).field("email", "taken", "is taken"),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for ApiKeyError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, problem } => {
                    of_field("validation", field, problem.code(), &problem.to_string())
                }
                Self::MadeTooMany { retry_after } => {
                    problem_of(self.code(), &self).retry_after(retry_after.as_secs() + 1)
                }
                Self::OwnerUnknown(owner) => {
                    let field = match owner {
                        KeyOwner::Person { .. } => "person_id",
                        KeyOwner::Service { .. } => "service_account_id",
                    };
                    of_field(self.code(), field, "unknown", "is nobody who can have API keys")
                }
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for ServiceAccountError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, problem } => {
                    of_field("validation", field, problem.code(), &problem.to_string())
                }
                Self::NameTaken => problem_of(self.code(), &self).field("name", "taken", "is taken"),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for AuthError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::People(error) => error.into_problem(),
                Self::Password(error) => error.into_problem(),
                Self::Throttled { retry_after }
                | Self::Busy { retry_after }
                | Self::FlowThrottled { retry_after } => {
                    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                    problem_of(self.code(), &self).retry_after(seconds.max(1))
                }
                Self::PasswordRefused(ref violations) => {
                    let problem = problem_for(self.code());
                    violations.iter().fold(problem, |problem, violation| {
                        problem.field("new_password", violation.code(), violation.to_string())
                    })
                }
                Self::PasswordUnchanged => {
                    problem_for(self.code()).field("new_password", "unchanged", "is the present one")
                }
                Self::EmailUnchanged => {
                    problem_for(self.code()).field("new_email", "unchanged", "is the present one")
                }
                Self::Cursor(_) => cursor(),
                error if error.is_outage() => problem_of("unavailable", &error),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for stylobate_jobs::JobsError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, ref problem } => of_field("validation", field, "invalid", problem),
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for stylobate_events::EventsError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, ref problem } => of_field("validation", field, "invalid", problem),
                error => problem_of(error.code(), &error),
            }
        }
    }

    #[cfg(feature = "webhooks")]
    impl IntoProblem for stylobate_events::WebhooksError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, ref problem } => of_field("validation", field, "invalid", problem),
                error => problem_of(error.code(), &error),
            }
        }
    }

    #[cfg(feature = "notify")]
    impl IntoProblem for stylobate_notify::NotifierError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Notify(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, ref problem } | Self::ChannelInvalid { field, ref problem } => {
                    of_field("validation", field, "invalid", problem)
                }
                error => problem_of(error.code(), &error),
            }
        }
    }

    #[cfg(feature = "notify")]
    impl IntoProblem for stylobate_notify::NotifyError {
        fn into_problem(self) -> Problem {
            match self {
                // Says where, and never what values there were.
                Self::TemplateInvalid { part, line, ref problem } => {
                    of_field(self.code(), part, "invalid", &format!("line {line}: {problem}"))
                }
                error => problem_of(error.code(), &error),
            }
        }
    }

    impl IntoProblem for stylobate_rbac::RbacError {
        fn into_problem(self) -> Problem {
            match self {
                Self::Db(error) => error.into_problem(),
                Self::Cursor(_) => cursor(),
                Self::Invalid { field, code, message } => of_field("validation", field, code, message),
                error => problem_of(error.code(), &error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_busy_hash_queue_says_when_to_come_back() {
        let problem = PasswordError::Busy { retry_after: Duration::from_millis(10) }.into_problem();
        assert_eq!((problem.status, problem.retry_after_s), (503, Some(1))); // A2
    }

    #[test]
    fn a_missing_organisation_code_is_a_field() {
        let problem = ChooseError::OrgCodeRequired.into_problem();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "org_code"));
    }

    #[cfg(feature = "sql")]
    #[test]
    fn an_outage_of_the_database_is_503_and_names_nothing() {
        let error = stylobate_db::Error::Unavailable("no route to 10.0.0.7".into());
        let problem = stylobate_rbac::RbacError::Db(error).into_problem();
        assert_eq!((problem.status, &*problem.code, problem.retry_after_s), (503, "unavailable", Some(1)));
        assert!(!format!("{problem:?}").contains("10.0.0.7")); // A24, A32
    }

    #[cfg(feature = "sql")]
    #[test]
    fn members_and_organisations_that_are_not_there_look_alike() {
        use stylobate_tenancy::Error;

        let missing = [Error::MemberNotFound, Error::OrgNotFound, Error::ForeignTenant];
        let [first, others @ ..] = missing.map(IntoProblem::into_problem);
        assert_eq!((first.status, &*first.code), (404, "not_found")); // A12
        assert!(others.iter().all(|other| *other == first));
        let taken = Error::CodeTaken.into_problem();
        assert_eq!((taken.status, taken.errors[0].field.as_str()), (409, "code"));
        let stale = Error::VersionConflict.into_problem();
        assert_eq!((stale.status, &*stale.code), (409, "stale"));
    }

    #[cfg(feature = "sql")]
    #[test]
    fn throttling_rounds_the_wait_up() {
        let error = stylobate_auth::AuthError::Throttled { retry_after: Duration::from_millis(1_200) };
        let problem = error.into_problem();
        assert_eq!((problem.status, problem.retry_after_s), (429, Some(2)));
    }

    #[cfg(feature = "sql")]
    #[test]
    fn the_field_that_the_queue_refuses_is_named() {
        let error = stylobate_jobs::JobsError::Invalid { field: "queue", problem: "is unknown".to_owned() };
        let problem = error.into_problem();
        assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "queue"));
        assert_eq!(problem.errors[0].message, "is unknown");
    }

    #[cfg(feature = "sql")]
    #[test]
    fn the_field_that_a_service_refuses_is_named() {
        let error =
            stylobate_rbac::RbacError::Invalid { field: "name", code: "too_long", message: "is too long" };
        let problem = error.into_problem();
        assert_eq!(
            (problem.status, problem.errors[0].field.as_str(), &*problem.errors[0].code),
            (422, "name", "too_long")
        );
    }
}
