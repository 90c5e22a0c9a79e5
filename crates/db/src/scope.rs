use stylobate_core::TenantId;

/// On whose rows a transaction works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The rows of one tenant. On PostgreSQL row-level security shows no others.
    Tenant(TenantId),
    /// The rows of every tenant, and why: for sign-in, clean-up, relays and platform administrators. The reason is
    /// logged with the transaction.
    Platform(&'static str),
}

impl Scope {
    /// The tenant, when there is one.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Tenant(tenant) => Some(*tenant),
            Self::Platform(_) => None,
        }
    }
}
