use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stylobate_auth::{Auth, AuthError, ContextWords, Email, NewPerson, PasswordHash, Person, Username};
use stylobate_core::{BoxFuture, FieldProblem, PersonId, Problem, RequestContext, TenantId};
use stylobate_db::{TransactError, Tx};
use stylobate_rbac::RbacError;
use stylobate_tenancy::Tenancy;
use stylobate_tower_middleware::{ApiError, IntoProblem as _};

/// The accounts of a service, as the flows make and change them: who keeps more of people than sign-in does, keeps it here. Every
/// method that takes a transaction does its work in that one, with what else the flow does.
pub trait Accounts: Send + Sync {
    /// Whether an account can be made of what somebody says about themselves: before a password is hashed for it.
    ///
    /// # Errors
    /// [`AccountError::Problem`], 422 with every field that cannot be kept.
    fn check(&self, profile: &NewProfile) -> Result<(), AccountError>;

    /// Makes an active account with its password, and makes it a member of `tenant`. Roles are the flow's.
    ///
    /// # Errors
    /// [`AccountError::Auth`] with [`UsernameTaken`](stylobate_auth::PeopleError::UsernameTaken) or
    /// [`EmailTaken`](stylobate_auth::PeopleError::EmailTaken); the database's own.
    fn make<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        new: &'a NewAccount,
    ) -> BoxFuture<'a, Result<PersonId, AccountError>>;

    /// `person`, whose account was there before, is a member of `tenant` by now.
    ///
    /// # Errors
    /// The database's own; the membership is undone then.
    fn joined<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> BoxFuture<'a, Result<(), AccountError>>;

    /// `person` has another e-mail address by now.
    ///
    /// # Errors
    /// The database's own; the change is undone then.
    fn email_changed<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        person: &'a Person,
    ) -> BoxFuture<'a, Result<(), AccountError>>;
}

/// An account to be made, checked and hashed.
#[derive(Clone)]
pub struct NewAccount {
    /// What its owner signs in with, besides the address.
    pub username: Option<Username>,
    /// Its address. A link that was mailed there has been answered.
    pub email: Email,
    /// Of the password that its owner chose.
    pub hash: PasswordHash,
    /// What its owner says about themselves.
    pub profile: NewProfile,
}

/// What somebody says about themselves who wants an account. Which of it is kept is decided by [`Accounts`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewProfile {
    /// The first name.
    pub first_name: String,
    /// Names between.
    pub middle_name: Option<String>,
    /// The last name.
    pub last_name: String,
    /// As `YYYY-MM-DD`.
    pub date_of_birth: Option<String>,
    /// As the service spells it.
    pub gender: Option<String>,
    /// As it was typed.
    pub nationality: Option<String>,
    /// A telephone number.
    pub phone: Option<String>,
    /// Whom to call in an emergency.
    pub emergency_number: Option<String>,
    /// Street and number.
    pub address: Option<String>,
    /// The town.
    pub city: Option<String>,
    /// The state or province.
    pub region: Option<String>,
    /// The postal code.
    pub postal_code: Option<String>,
    /// The country, as it was typed.
    pub country: Option<String>,
}

/// The most characters of anything that newcomers say about themselves: services that keep it have bounds of their own, and until
/// an account is made it lies in the row of its link.
const SAID_CHARS_MAX: usize = 255;

impl NewProfile {
    /// Refuses what is longer than 255 characters, under the names that bodies have for it.
    pub(super) fn check(&self) -> Result<(), AccountError> {
        let Self { first_name, last_name, .. } = self;
        let optional = [
            ("middle_name", &self.middle_name),
            ("date_of_birth", &self.date_of_birth),
            ("gender", &self.gender),
            ("nationality", &self.nationality),
            ("contact_information.phone_number", &self.phone),
            ("contact_information.emergency_number", &self.emergency_number),
            ("contact_information.street_address", &self.address),
            ("contact_information.city", &self.city),
            ("contact_information.state", &self.region),
            ("contact_information.zip_code", &self.postal_code),
            ("contact_information.country", &self.country),
        ];
        let said = optional.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let too_long: Vec<FieldProblem> = [("first_name", first_name), ("last_name", last_name)]
            .into_iter()
            .chain(said)
            .filter(|(_, text)| text.chars().nth(SAID_CHARS_MAX).is_some())
            .map(|(name, _)| FieldProblem::new(name, "too_long", "has more than 255 characters"))
            .collect();
        if too_long.is_empty() { Ok(()) } else { Err(ApiError::fields(too_long).into()) }
    }

    /// What a password must not be made of, beside the identifiers.
    pub(super) fn context_words(&self, username: Option<&Username>, email: &Email) -> ContextWords {
        let words = ContextWords::new().email(email.as_str()).word(&self.first_name).word(&self.last_name);
        match username {
            Some(username) => words.username(username.as_str()),
            None => words,
        }
    }
}

/// Why an account was not made or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountError {
    /// The caller is told this.
    Problem(Box<Problem>),
    /// Sign-in refused or failed.
    Auth(AuthError),
    /// The policy refused or failed.
    Rbac(RbacError),
    /// The organisation's side refused or failed.
    Tenancy(stylobate_tenancy::Error),
    /// The database failed.
    Db(stylobate_db::Error),
}

macro_rules! account_error_from {
    ($($variant:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for AccountError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

account_error_from!(
    Auth(AuthError),
    Rbac(RbacError),
    Tenancy(stylobate_tenancy::Error),
    Db(stylobate_db::Error),
);

impl From<Problem> for AccountError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ApiError> for AccountError {
    fn from(error: ApiError) -> Self {
        error.problem().clone().into()
    }
}

impl From<stylobate_auth::PeopleError> for AccountError {
    fn from(error: stylobate_auth::PeopleError) -> Self {
        Self::Auth(error.into())
    }
}

impl TransactError for AccountError {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Problem(_) => None,
            Self::Auth(error) => error.as_db(),
            Self::Rbac(error) => error.as_db(),
            Self::Tenancy(error) => error.as_db(),
            Self::Db(error) => Some(error),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Problem(problem) => (*problem).into(),
            AccountError::Auth(error) => error.into_problem().into(),
            AccountError::Rbac(error) => error.into_problem().into(),
            AccountError::Tenancy(error) => error.into_problem().into(),
            AccountError::Db(error) => error.into_problem().into(),
        }
    }
}

/// Accounts of services that keep nothing of people beside what sign-in and memberships do: a profile is not kept.
#[derive(Clone)]
pub struct PlainAccounts {
    /// Sign-in.
    pub auth: Auth,
    /// Who belongs to which organisation.
    pub tenancy: Arc<Tenancy>,
}

impl Accounts for PlainAccounts {
    fn check(&self, _: &NewProfile) -> Result<(), AccountError> {
        Ok(())
    }

    fn make<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        new: &'a NewAccount,
    ) -> BoxFuture<'a, Result<PersonId, AccountError>> {
        Box::pin(async move {
            let person = NewPerson {
                username: new.username.clone(),
                email: new.email.clone(),
                email_verified: true,
                must_change_password: false,
            };
            let person = self.auth.people().insert(tx, context, person).await?;
            self.auth.set_password(tx, context, person.id, &new.hash, false).await?;
            self.tenancy.add_member(tx, context, tenant, person.id).await?;
            Ok(person.id)
        })
    }

    fn joined<'a>(
        &'a self,
        _: &'a mut Tx,
        _: &'a RequestContext,
        _: TenantId,
        _: PersonId,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async { Ok(()) })
    }

    fn email_changed<'a>(
        &'a self,
        _: &'a mut Tx,
        _: &'a RequestContext,
        _: &'a Person,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async { Ok(()) })
    }
}
