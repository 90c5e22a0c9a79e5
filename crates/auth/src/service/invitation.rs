use stylobate_core::{InvitationId, TenantId};
use stylobate_db::Tx;
use uuid::Uuid;

use super::{Auth, AuthError};
use crate::{Email, TokenBinding, one_time};

/// What the secrets in the links of invitations are bound to. The invitations themselves are another crate's.
impl Auth {
    /// What the token of an invitation is bound to: the organisation, the invitation, and the address that it is mailed to.
    #[must_use]
    pub fn invitation_binding(
        &self,
        tenant: TenantId,
        invitation: InvitationId,
        email: &Email,
    ) -> TokenBinding {
        let binding = TokenBinding { tenant: Some(tenant), ..TokenBinding::to(invitation.as_uuid()) };
        binding.address(&self.inner.pepper, email)
    }

    /// Takes away every token that is about `subject`, such as an invitation that is taken back.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn void_one_time(&self, tx: &mut Tx, subject: Uuid) -> Result<(), AuthError> {
        one_time::delete_of(tx, subject).await?;
        Ok(())
    }
}
