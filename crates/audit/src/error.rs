use stylobate_core::CursorInvalid;

/// Why the audit trail could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] stylobate_db::Error),
    /// The caller acts for no tenant, so there is no trail it may read.
    #[error("the caller acts for no tenant")]
    TenantRequired,
    /// An event names another tenant than the transaction it was recorded in.
    #[error("an audit event of another tenant than its transaction")]
    ForeignTenant,
    /// The cursor was not made by this list.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
    /// A filter holds what no stored value can hold: a NUL, or more characters than the column keeps.
    #[error("the filter `{field}` is not valid")]
    FilterInvalid {
        /// The filter's name.
        field: &'static str,
    },
    /// A stored row does not have the form this version writes.
    #[error("audit_events row {id}: bad value in `{column}`")]
    RowInvalid {
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
            Self::TenantRequired => "tenant_required",
            Self::ForeignTenant => "foreign_tenant",
            Self::Cursor(_) => "invalid_cursor",
            Self::FilterInvalid { .. } => "invalid_filter",
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
