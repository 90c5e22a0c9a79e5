use std::time::Duration;

use stylobate_core::CursorInvalid;
use stylobate_db::{Error, TransactError};

use crate::{
    ConfigProblems, CounterStoreError, KeyError, PasswordError, PeopleError, PolicyViolation, TokenError,
};

/// Signing in, or something around it, was refused or did not work.
///
/// The first group answers the caller, the second is the operator's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No person with this name and password may sign in. It is the same for unknown names, wrong passwords, persons
    /// without a password and disabled ones.
    #[error("the username or password is wrong")]
    InvalidCredentials,
    /// The account or the address has failed too often.
    #[error("too many failed logins")]
    Throttled {
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// More passwords are being checked than there is room for. Nothing was counted against anybody.
    #[error("too many passwords are being checked")]
    Busy {
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The password was right, and has to be changed before a session can begin.
    #[error("the password has to be changed first")]
    MustChangePassword,
    /// Somebody else chose the password, so that it opens no further organisation: a mailed link sets one of the person's own.
    #[error("the password was chosen by somebody else")]
    PasswordNotOwn,
    /// The new password does not fulfil the policy.
    #[error("the new password is refused")]
    PasswordRefused(Vec<PolicyViolation>),
    /// The new password is the old one.
    #[error("the new password is the present one")]
    PasswordUnchanged,
    /// The new e-mail address is the present one.
    #[error("the new e-mail address is the present one")]
    EmailUnchanged,
    /// The refresh token is not ours, has run out, or its session is over.
    #[error("the refresh token is not valid")]
    RefreshInvalid,
    /// The refresh token had been redeemed before. Its session has been ended.
    #[error("the refresh token was used twice")]
    RefreshReused,
    /// The refresh token has just been redeemed by another request; nothing was ended.
    #[error("the refresh token is being redeemed by another request")]
    RefreshInProgress,
    /// The caller has no such session.
    #[error("there is no such session")]
    SessionNotFound,
    /// The person has no credential of the kind.
    #[error("there is no such credential")]
    CredentialNotFound,
    /// The person has a credential of the kind already.
    #[error("the person has such a credential already")]
    CredentialExists,
    /// A cursor was not made by the list it was given to.
    #[error("the cursor does not belong to this list")]
    Cursor(#[source] CursorInvalid),
    /// The caller is not a person, and only persons have sessions and passwords.
    #[error("only a person can do this")]
    NotAPerson,
    /// A mailed link, or another single-use token, is not ours, used, too old, or overtaken by what has happened since. Which of
    /// them is nobody's business.
    #[error("the link is not valid")]
    LinkInvalid,
    /// A token of this kind cannot be revoked by itself (RFC 7009 §2.2.1): a service token ends within minutes, or with a change of its
    /// account.
    #[error("tokens of this kind cannot be revoked")]
    TokenNotRevocable,
    /// The client has asked for this too often.
    #[error("this was asked for too often")]
    FlowThrottled {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The set-up link is wrong, used, or too old, or there is somebody already.
    #[error("the set-up link is not valid")]
    SetupTokenInvalid,

    /// The configuration is wrong.
    #[error("the configuration of sign-in is wrong: {0}")]
    Config(#[source] ConfigProblems),
    /// A person could not be read or changed.
    #[error("the person could not be changed")]
    People(#[source] PeopleError),
    /// A password could not be hashed.
    #[error("the password could not be hashed")]
    Password(#[source] PasswordError),
    /// A token could not be issued.
    #[error("the token could not be issued")]
    Token(#[source] TokenError),
    /// Keys or secrets could not be had.
    #[error("the keys could not be used")]
    Key(#[source] KeyError),
    /// Failed logins could not be counted, so nobody signs in.
    #[error("failed logins could not be counted")]
    Counters(#[source] CounterStoreError),
    /// The database could not do it.
    #[error("the database could not be used")]
    Db(#[source] Error),
}

impl AuthError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::Throttled { .. } => "login_throttled",
            Self::Busy { .. } => "password_hashing_busy",
            Self::MustChangePassword => "must_change_password",
            Self::PasswordNotOwn => "password_not_own",
            Self::PasswordRefused(_) => "password_refused",
            Self::PasswordUnchanged => "password_unchanged",
            Self::EmailUnchanged => "email_unchanged",
            Self::RefreshInvalid => "refresh_invalid",
            Self::RefreshReused => "refresh_reused",
            Self::RefreshInProgress => "refresh_in_progress",
            Self::SessionNotFound => "session_not_found",
            Self::CredentialNotFound => "credential_not_found",
            Self::CredentialExists => "credential_exists",
            Self::Cursor(_) => "cursor_invalid",
            Self::NotAPerson => "not_a_person",
            Self::LinkInvalid => "link_invalid",
            Self::TokenNotRevocable => "unsupported_token_type",
            Self::FlowThrottled { .. } => "flow_throttled",
            Self::SetupTokenInvalid => "setup_token_invalid",
            Self::Config(_) => "auth_config",
            Self::People(error) => error.code(),
            Self::Password(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Counters(error) => error.code(),
            Self::Db(error) => error.code(),
        }
    }

    /// The database error inside, when there is one.
    fn db(&self) -> Option<&Error> {
        match self {
            Self::Db(error) | Self::People(PeopleError::Db(error)) | Self::Key(KeyError::Db(error)) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Whether the database or the store of counters could not do its work at all, so that trying later makes sense (503).
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Counters(_)) || self.db().is_some_and(Error::is_outage)
    }
}

impl TransactError for AuthError {
    fn as_db(&self) -> Option<&Error> {
        self.db()
    }
}

impl From<Error> for AuthError {
    fn from(error: Error) -> Self {
        Self::Db(error)
    }
}

impl From<CursorInvalid> for AuthError {
    fn from(error: CursorInvalid) -> Self {
        Self::Cursor(error)
    }
}

impl From<PeopleError> for AuthError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::Db(error) => Self::Db(error),
            other => Self::People(other),
        }
    }
}

impl From<KeyError> for AuthError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy { retry_after } => Self::Busy { retry_after },
            other => Self::Password(other),
        }
    }
}

impl From<CounterStoreError> for AuthError {
    fn from(error: CounterStoreError) -> Self {
        match error {
            CounterStoreError::Db(error) => Self::Db(error),
            other => Self::Counters(other),
        }
    }
}

impl From<ConfigProblems> for AuthError {
    fn from(problems: ConfigProblems) -> Self {
        Self::Config(problems)
    }
}

/// An access token was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticateError {
    /// The token itself is not good. Why is for logs alone.
    #[error("the access token is refused")]
    Refused(#[source] TokenError),
    /// The token was good; its session is over, or everything issued to its person was voided.
    #[error("the access token is revoked")]
    Revoked,
    /// No live session has this cookie.
    #[error("no session has this cookie")]
    UnknownSession,
    /// No API key that is good here has this text. Why it is not is in the audit trail alone.
    #[error("no API key has this text")]
    UnknownKey,
    /// The API key has been used as often as it may be in this hour.
    #[error("the API key has been used too often")]
    KeyThrottled {
        /// When the hour ends.
        retry_after: Duration,
    },
    /// Memory does not know the latest revocations, or the tenant was ended a while ago, so that a row has to decide: ask
    /// [`Auth::authenticate_slow`](crate::Auth::authenticate_slow). Never returned by it.
    #[error("the revocations in memory do not decide")]
    Stale,
    /// Whether the session is over could not be found out. Answer 503.
    #[error("the session could not be checked")]
    Unavailable(#[source] Error),
}

impl AuthenticateError {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Revoked => "token_revoked",
            Self::UnknownSession => "session_unknown",
            Self::UnknownKey => "api_key_unknown",
            Self::KeyThrottled { .. } => "api_key_throttled",
            Self::Stale => "revocations_stale",
            Self::Unavailable(_) => "auth_unavailable",
        }
    }
}
