use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, PersonId, ServiceId, SessionId, TenantId};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// Nobody has been authenticated.
    Anonymous,
    /// A person who signed in.
    Person {
        /// The person.
        id: PersonId,
    },
    /// A program that holds an API key of a person or service.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// Whose key it is and whose rights bound it.
        owner: KeyOwner,
    },
    /// A service account.
    Service {
        /// The service.
        id: ServiceId,
    },
    /// The platform itself: a command, a schedule, a migration.
    System,
}

/// Whose an API key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KeyOwner {
    /// A person's.
    Person {
        /// The person.
        id: PersonId,
    },
    /// A service account's.
    Service {
        /// The service.
        id: ServiceId,
    },
}

/// What the request presented to prove who acts; decides which defences a request needs (only
/// ambient credentials such as cookies need protection against cross-site request forgery).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Nothing.
    None,
    /// A session cookie, which browsers attach by themselves.
    Cookie,
    /// An access token in the `Authorization` header.
    Bearer,
    /// An API key.
    ApiKey,
    /// A signed request.
    Signature,
    /// A process of the platform, not a request.
    Process,
}

/// How strongly the subject was authenticated (NIST SP 800-63B-4 §2: authenticator assurance level).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticatorAssurance {
    /// One factor, or nothing known.
    #[default]
    Aal1,
    /// Two factors.
    Aal2,
    /// Two factors, one of them a hardware-bound, phishing-resistant key.
    Aal3,
}

/// How and when the subject proved itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assurance {
    /// Authentication method references (RFC 8176), for example `pwd` or `otp`.
    pub amr: Vec<String>,
    /// The level reached.
    pub aal: AuthenticatorAssurance,
    /// When the subject last proved itself, not when a token was renewed.
    pub auth_time: Option<DateTime<Utc>>,
}

/// Who acts, for which tenant, under which session and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Who acts.
    pub subject: Subject,
    /// The tenant on whose behalf; it always comes from the credential, never from a body or query.
    pub tenant: Option<TenantId>,
    /// The session behind the credential, when there is one.
    pub session: Option<SessionId>,
    /// Limits on what this credential may do. `None` sets no limit beyond the subject's rights; scopes never add rights.
    pub scopes: Option<Vec<String>>,
    /// How strongly the subject was authenticated.
    pub assurance: Assurance,
    /// The real actor behind an impersonation.
    pub impersonator: Option<PersonId>,
    /// What was presented.
    pub credential: Credential,
}

impl Principal {
    /// Nobody.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(Subject::Anonymous, Credential::None)
    }

    /// A person, without tenant or session yet.
    #[must_use]
    pub fn person(id: PersonId) -> Self {
        Self::of(Subject::Person { id }, Credential::Bearer)
    }

    /// The platform itself.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Subject::System, Credential::Process)
    }

    fn of(subject: Subject, credential: Credential) -> Self {
        Self {
            subject,
            tenant: None,
            session: None,
            scopes: None,
            assurance: Assurance::default(),
            impersonator: None,
            credential,
        }
    }

    /// The same principal acting for `tenant`.
    #[must_use]
    pub fn in_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Whether anybody has been authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.subject != Subject::Anonymous
    }

    /// The person who acts. `None` for a program with a key of theirs: what is a person's own is not their programs'.
    #[must_use]
    pub fn person_id(&self) -> Option<PersonId> {
        match self.subject {
            Subject::Person { id } => Some(id),
            Subject::ApiKey { .. } | Subject::Anonymous | Subject::Service { .. } | Subject::System => None,
        }
    }

    /// The person who acts, or in whose name a program with a key of theirs does: whoever may not do something to themselves may not
    /// have a program do it either.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<PersonId> {
        match self.subject {
            Subject::Person { id } | Subject::ApiKey { owner: KeyOwner::Person { id }, .. } => Some(id),
            Subject::ApiKey { .. } | Subject::Anonymous | Subject::Service { .. } | Subject::System => None,
        }
    }

    /// Whether a person acts with all their rights, so that what concerns them alone is theirs to do.
    #[must_use]
    pub fn is_person_unscoped(&self) -> bool {
        self.person_id().is_some() && self.scopes.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock as _, SystemClock};

    #[test]
    fn only_a_person_with_all_their_rights_acts_in_person() {
        let now = SystemClock.now();
        let id = PersonId::new(now);
        let ada = Principal::person(id);
        assert!(ada.is_person_unscoped());
        assert!(!Principal { scopes: Some(Vec::new()), ..ada.clone() }.is_person_unscoped());
        let key = Subject::ApiKey { id: ApiKeyId::new(now), owner: KeyOwner::Person { id } };
        let key = Principal { subject: key, ..ada };
        assert_eq!((key.person_id(), key.is_person_unscoped()), (None, false));
        assert_eq!(key.on_behalf_of(), Some(id));
        let shown = serde_json::to_value(key.subject).unwrap();
        assert_eq!(shown["owner"], serde_json::json!({ "kind": "person", "id": id }));
    }
}
