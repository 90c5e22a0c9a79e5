use std::fmt::Debug;

use stylobate_core::{BoxFuture, TenantId};
use stylobate_db::{Error, Tx};

use crate::Assignee;

/// What the program knows about people and services and this crate does not: who is a member of which tenant, who can sign in,
/// and who has a tenant to sign in to. About groups it is not asked: they are rows of this crate.
///
/// `Rbac` asks inside the transaction that decides by the answer, under the lock of the policy that is being changed. For
/// that to be enough, the program takes the same lock before it changes what is answered here:
/// [`Rbac::remove_subject`](crate::Rbac::remove_subject) before it ends a membership,
/// [`Rbac::require_another_administrator`](crate::Rbac::require_another_administrator) before it suspends one,
/// [`Rbac::require_another_super_administrator`](crate::Rbac::require_another_super_administrator), and then the same of each
/// tenant that somebody is a member of, before they can sign in no longer,
/// [`Rbac::remove_subject_everywhere`](crate::Rbac::remove_subject_everywhere) before it deletes somebody. Before it ends or
/// suspends a membership, or closes a tenant, it also asks
/// [`Rbac::has_super_administrator`](crate::Rbac::has_super_administrator), and after it
/// [`Rbac::require_super_administrator_kept`](crate::Rbac::require_super_administrator_kept).
pub trait SubjectDirectory: Debug + Send + Sync {
    /// Whether `subject` belongs to `tenant`, as far as being given rules there is concerned. The transaction's scope is
    /// that tenant or the platform.
    ///
    /// # Errors
    /// The database's own.
    fn is_member<'a>(
        &'a self,
        tx: &'a mut Tx,
        tenant: TenantId,
        subject: Assignee,
    ) -> BoxFuture<'a, Result<bool, Error>>;

    /// Whether `subject` can sign in now: an administrator who cannot is of no help to anybody. The transaction's scope is the
    /// platform, or a tenant in which the subject is an administrator.
    ///
    /// # Errors
    /// The database's own.
    fn can_sign_in<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>>;

    /// Whether `subject` has a tenant to sign in to now: is an active member of an active one. Who acts for the platform needs
    /// one as well. A program where people sign in without a tenant says `true`. The transaction's scope is the platform.
    ///
    /// # Errors
    /// The database's own.
    fn has_tenant<'a>(&'a self, tx: &'a mut Tx, subject: Assignee) -> BoxFuture<'a, Result<bool, Error>>;
}
