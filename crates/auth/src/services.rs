//! Service accounts: programs that act for themselves, not for a person.
//!
//! 1. A service account belongs to one tenant. Its rights are roles, as those of people are; what it presents are API keys of its
//!    own.
//! 2. Disabled, nothing of it works, at once in this process and within a second in others, and its keys rest; deleted, they go
//!    with it. Accounts are disabled with their tenant, and active again with it unless somebody has decided about them since.
//! 3. The registry says at which audiences an account has which operations. For one audience at a time it gets a token of a few
//!    minutes ([`ServiceTokenSigner`](crate::ServiceTokenSigner)), for an API key or a signed request and never for another
//!    token, so that whoever gets hold of one has it for minutes and not for good. A key with scopes gets those operations that the scopes cover.
//!    Revoking the key leaves the token its few minutes; any change of the account ends it.
//! 4. A token for this installation acts with the account's roles, narrowed to its operations. Others verify theirs by our public
//!    keys ([`RemoteServiceVerifier`](crate::RemoteServiceVerifier)).
//! 5. An account registers public keys; a request that is signed with one of the other halves (RFC 9421) acts for it. A key has a
//!    name of ours, which the signature covers, so that nobody can make somebody else's signatures their own by registering the
//!    same key. It has a beginning and an end, and is revoked with all tokens of the account.
//! 6. Every change counts `version` up and is told to other processes: what they remember of it is read again, and its tokens of
//!    earlier versions are over.

mod account;
mod error;
mod grant;
mod key;
mod key_store;
mod sql_keys;
mod store;
mod token;

pub(crate) use account::ServiceAccountsParts;
pub use account::{
    NewServiceAccount, ServiceAccount, ServiceAccountChange, ServiceAccountQuery, ServiceAccountStatus,
    ServiceAccounts,
};
pub use error::{ServiceAccountError, ServiceAccountProblem};
pub use grant::ServiceGrant;
pub use key::{NewServiceKey, ServiceKey};
pub use sql_keys::SqlKeys;
pub(crate) use store::{disable_with_tenant, enable_with_tenant, is_current, lock};
pub use token::{IssuedServiceToken, NewServiceToken};
