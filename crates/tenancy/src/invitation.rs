use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::{InvitationId, PersonId, RoleId, TenantId};

/// What has become of an invitation. One whose time has passed stays [`Pending`](Self::Pending); nobody can accept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    /// Nobody has used it yet.
    Pending,
    /// Somebody has joined with it.
    Accepted,
    /// Somebody took it back, or a later one took its place.
    Revoked,
}

impl InvitationStatus {
    /// The status as rows and bodies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
        }
    }

    /// The status that is spelt `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Accepted, Self::Revoked].into_iter().find(|status| status.as_str() == word)
    }
}

/// An invitation to an organisation, of whoever reads the mail to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// Names it. The secret in its link is another value, and none of this table's.
    pub id: InvitationId,
    /// To which organisation.
    pub tenant_id: TenantId,
    /// The address that is invited, as it was typed.
    pub email: String,
    /// The role that whoever accepts is given.
    pub role_id: Option<RoleId>,
    /// Who invites.
    pub invited_by: Option<PersonId>,
    /// What has become of it.
    pub status: InvitationStatus,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Who accepted it.
    pub accepted_by: Option<PersonId>,
}

impl Invitation {
    /// Whether it can be accepted at `now`.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.status == InvitationStatus::Pending && now < self.expires_at
    }
}

/// An invitation to be made.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// The address, as it was typed.
    pub email: String,
    /// The address as it is compared: two spellings of one mailbox are one invitation.
    pub email_key: String,
    /// The role that whoever accepts is given. Whether the inviter may give it is the caller's question.
    pub role_id: Option<RoleId>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// Which invitations a list holds; what is `None` matters not.
#[derive(Debug, Clone, Default)]
pub struct InvitationFilter {
    /// Those that this has become of. One whose time has passed is still pending.
    pub status: Option<InvitationStatus>,
    /// Those that can be accepted now, or those that cannot.
    pub is_open: Option<bool>,
    /// Those whose address contains this, in whatever case.
    pub search: Option<String>,
}
