use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    auth::{CredentialRecord, Username},
    core::{FieldProblem, PersonId},
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    given::given,
    refused::{Refused, invalid},
};

/// Where a credential is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Provider {
    /// Here: a password.
    Local,
    /// Elsewhere. There is none yet.
    Sso,
}

/// A credential, without what it is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct CredentialView {
    /// The person's own id: everybody has at most one password.
    id: Uuid,
    person_id: Uuid,
    provider: Provider,
    username: Option<String>,
    must_change_password: bool,
    password_updated_at: DateTime<Utc>,
    /// Failed tries in a row.
    failed_login_attempts: u32,
    /// Until when tries are refused.
    locked_until: Option<DateTime<Utc>>,
    /// Whether tries from clients that are not known are refused until an unlock or a new password, whatever the time.
    is_closed: bool,
    last_login_at: Option<DateTime<Utc>>,
    is_active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<CredentialRecord> for CredentialView {
    fn from(record: CredentialRecord) -> Self {
        Self {
            id: record.id,
            person_id: record.person_id.as_uuid(),
            provider: Provider::Local,
            username: record.username,
            must_change_password: record.must_change_password,
            password_updated_at: record.password_updated_at,
            failed_login_attempts: record.lock.failures,
            locked_until: record.lock.refused_until(),
            is_closed: record.lock.is_closed,
            last_login_at: record.last_login_at,
            is_active: record.is_active,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// A credential to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialInput {
    person_id: Uuid,
    /// Only `local` can be made here.
    #[serde(default)]
    provider: Option<Provider>,
    /// A name to sign in with beside the e-mail address; the person's present one unless given.
    #[serde(default)]
    username: Option<String>,
    /// Required for `local`; never shown.
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    must_change_password: bool,
    /// Only 0: nobody begins with failed tries.
    #[serde(default)]
    failed_login_attempts: Option<i64>,
    /// Only `null`: nobody begins locked out.
    #[serde(default)]
    locked_until: Option<DateTime<Utc>>,
    #[serde(default)]
    is_active: Option<bool>,
}

/// What to change of a credential; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialPatch {
    /// A credential keeps its person; only that person is accepted.
    #[serde(default)]
    person_id: Option<Uuid>,
    /// Only `local` is accepted.
    #[serde(default)]
    provider: Option<Provider>,
    /// The person's name to sign in with; `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    username: Option<Option<String>>,
    /// A new password; never shown. All sessions end.
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    must_change_password: Option<bool>,
    /// 0 ends a lock.
    #[serde(default)]
    failed_login_attempts: Option<i64>,
    /// `null` ends a lock.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    locked_until: Option<Option<DateTime<Utc>>>,
    /// Off, nobody signs in with it. All sessions end.
    #[serde(default)]
    is_active: Option<bool>,
}

/// A credential to be made, read.
pub(super) struct NewCredential {
    pub(super) person: PersonId,
    pub(super) username: Option<Username>,
    pub(super) password: String,
    pub(super) must_change_password: bool,
    pub(super) is_active: bool,
}

/// What to change of a credential, read.
pub(super) struct CredentialChange {
    pub(super) username: Option<Option<Username>>,
    pub(super) password: Option<String>,
    pub(super) must_change_password: Option<bool>,
    pub(super) unlock: bool,
    pub(super) is_active: Option<bool>,
}

impl CredentialChange {
    /// Whether it decides who can sign in to the account: whoever decides that holds it.
    pub(super) fn decides_who_signs_in(&self) -> bool {
        self.password.is_some()
            || self.username.is_some()
            || self.must_change_password.is_some()
            || self.is_active.is_some()
    }
}

impl CredentialInput {
    pub(super) fn read(self) -> Result<NewCredential, Refused> {
        let mut problems = Vec::new();
        check_provider(self.provider, &mut problems);
        check_failures(self.failed_login_attempts, &mut problems);
        check_lock(self.locked_until, &mut problems);
        let username = self.username.and_then(|name| username(&name, &mut problems));
        if self.password.is_none() {
            problems.push(FieldProblem::new("password", "required", "is required"));
        }
        match self.password {
            Some(password) if problems.is_empty() => Ok(NewCredential {
                person: PersonId::from_uuid(self.person_id),
                username,
                password,
                must_change_password: self.must_change_password,
                is_active: self.is_active.unwrap_or(true),
            }),
            _ => Err(invalid(problems).into()),
        }
    }
}

impl CredentialPatch {
    /// What to change of the credential of `person`.
    pub(super) fn read(self, person: PersonId) -> Result<CredentialChange, Refused> {
        let mut problems = Vec::new();
        check_provider(self.provider, &mut problems);
        check_failures(self.failed_login_attempts, &mut problems);
        check_lock(self.locked_until.flatten(), &mut problems);
        if self.person_id.is_some_and(|id| id != person.as_uuid()) {
            problems.push(FieldProblem::new("person_id", "immutable", "cannot be changed"));
        }
        let username = self.username.map(|name| name.and_then(|name| username(&name, &mut problems)));
        if !problems.is_empty() {
            return Err(invalid(problems).into());
        }
        Ok(CredentialChange {
            username,
            password: self.password,
            must_change_password: self.must_change_password,
            unlock: self.failed_login_attempts.is_some() || self.locked_until.is_some(),
            is_active: self.is_active,
        })
    }
}

fn check_provider(provider: Option<Provider>, problems: &mut Vec<FieldProblem>) {
    if provider == Some(Provider::Sso) {
        problems.push(FieldProblem::new("provider", "invalid", "is not `local`"));
    }
}

fn check_failures(failures: Option<i64>, problems: &mut Vec<FieldProblem>) {
    if failures.is_some_and(|failures| failures != 0) {
        problems.push(FieldProblem::new("failed_login_attempts", "invalid", "can only be set to 0"));
    }
}

fn check_lock(until: Option<DateTime<Utc>>, problems: &mut Vec<FieldProblem>) {
    if until.is_some() {
        problems.push(FieldProblem::new("locked_until", "invalid", "can only be set to null"));
    }
}

fn username(name: &str, problems: &mut Vec<FieldProblem>) -> Option<Username> {
    Username::parse(name)
        .map_err(|error| problems.push(FieldProblem::new("username", error.code(), error.to_string())))
        .ok()
}
