use std::{error::Error as StdError, sync::Arc};

use stylobate_auth::{Auth, AuthError, People, PeopleError, ServiceAccountError, ServiceAccounts};
use stylobate_core::{BoxFuture, PersonId, ServiceId, TenantId};
use stylobate_db::{Error, Tx};
use stylobate_rbac::{Assignee, AssigneeKind, SubjectDirectory};
use stylobate_tenancy::{Membership, Tenancy};

/// People and services, as tenancy and sign-in know them.
#[derive(Debug)]
pub(crate) struct Subjects {
    pub(crate) auth: Auth,
    pub(crate) tenancy: Arc<Tenancy>,
}

impl SubjectDirectory for Subjects {
    fn is_member<'a>(
        &'a self,
        tx: &'a mut Tx,
        tenant: TenantId,
        subject: Assignee,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            if subject.kind == AssigneeKind::Service {
                let id = ServiceId::from_uuid(subject.id);
                return match ServiceAccounts::find_in(tx, tenant, id).await {
                    Ok(_) => Ok(true),
                    Err(ServiceAccountError::NotFound) => Ok(false),
                    Err(ServiceAccountError::Db(error)) => Err(error),
                    Err(error) => Err(engine(error)),
                };
            }
            let Some(person) = person(subject) else { return Ok(false) };
            self.tenancy.is_member(tx, tenant, person).await.map_err(of_tenancy)
        })
    }

    fn can_sign_in<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let Some(id) = person(subject) else { return Ok(false) };
            let found = People::find(tx, id).await.map_err(|error| match error {
                PeopleError::Db(error) => error,
                error => engine(error),
            })?;
            if !found.is_some_and(|person| person.is_active()) {
                return Ok(false);
            }
            self.auth.has_credential(tx, id).await.map_err(|error| match error {
                AuthError::Db(error) => error,
                error => engine(error),
            })
        })
    }

    fn has_tenant<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let Some(id) = person(subject) else { return Ok(false) };
            let memberships = self.tenancy.memberships_of(tx, id).await.map_err(of_tenancy)?;
            Ok(memberships.iter().any(Membership::is_usable))
        })
    }
}

fn person(subject: Assignee) -> Option<PersonId> {
    (subject.kind == AssigneeKind::Person).then(|| PersonId::from_uuid(subject.id))
}

fn of_tenancy(error: stylobate_tenancy::Error) -> Error {
    match error {
        stylobate_tenancy::Error::Db(error) => error,
        error => engine(error),
    }
}

fn engine(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::Engine(Box::new(error))
}
