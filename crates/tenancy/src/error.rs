use stylobate_core::TenantId;

/// Why a change of organisations or memberships was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// The configuration names another organisation as the default than the database has.
    #[error("the default organisation is configured as {configured} and stored as {stored}")]
    DefaultOrgMismatch {
        /// What the configuration says.
        configured: TenantId,
        /// What the database has.
        stored: TenantId,
    },
    /// Another organisation has this code, in whatever case.
    #[error("the organisation code is taken")]
    CodeTaken,
    /// There is no such organisation.
    #[error("there is no such organisation")]
    OrgNotFound,
    /// Nobody may act in the organisation.
    #[error("the organisation is not active")]
    OrgInactive,
    /// The removal of the organisation has begun.
    #[error("the organisation is being deleted")]
    OrgBeingDeleted,
    /// Only an organisation whose removal has begun loses its rows.
    #[error("the organisation is not being deleted")]
    OrgNotBeingDeleted,
    /// The organisation that every installation has stays active, and stays.
    #[error("the default organisation is neither deactivated nor deleted")]
    DefaultOrg,
    /// The organisation has changed since the version that was named.
    #[error("the organisation has changed since it was read")]
    VersionConflict,
    /// The person does not belong to the organisation.
    #[error("the person is not a member")]
    MemberNotFound,
    /// The address has an open invitation already.
    #[error("the address has an open invitation")]
    InvitationPending,
    /// The invitation was used or taken back, its time has passed, or there is none.
    #[error("the invitation is not open")]
    InvitationClosed,
    /// The transaction works on the rows of another tenant.
    #[error("a row of another tenant than the transaction's")]
    ForeignTenant,
    /// A stored row does not have the form this version writes.
    #[error("{table} row {id}: bad value in `{column}`")]
    RowInvalid {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: uuid::Uuid,
    },
}

impl Error {
    /// The stable code of the situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Db(error) => error.code(),
            Self::DefaultOrgMismatch { .. } => "default_org_mismatch",
            Self::CodeTaken => "org_code_taken",
            Self::OrgNotFound => "org_not_found",
            Self::OrgInactive => "org_inactive",
            Self::OrgBeingDeleted => "org_being_deleted",
            Self::OrgNotBeingDeleted => "org_not_being_deleted",
            Self::DefaultOrg => "org_is_default",
            Self::VersionConflict => "version_conflict",
            Self::MemberNotFound => "member_not_found",
            Self::InvitationPending => "invitation_pending",
            Self::InvitationClosed => "invitation_closed",
            Self::ForeignTenant => "foreign_tenant",
            Self::RowInvalid { .. } => "row_invalid",
        }
    }
}

impl stylobate_db::TransactError for Error {
    fn as_db(&self) -> Option<&stylobate_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}
