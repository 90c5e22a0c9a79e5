use crate::BoxFuture;

/// How a dependency is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It answers.
    Up,
    /// It answers, but not as it should; the service still does its work.
    Degraded,
    /// It does not answer.
    Down,
}

/// The answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How the dependency is doing.
    pub status: HealthStatus,
    /// What an operator should know; no addresses, no credentials.
    pub detail: Option<String>,
}

impl Health {
    /// It answers.
    #[must_use]
    pub fn up() -> Self {
        Self { status: HealthStatus::Up, detail: None }
    }

    /// It does not answer, because of `detail`.
    #[must_use]
    pub fn down(detail: impl Into<String>) -> Self {
        Self { status: HealthStatus::Down, detail: Some(detail.into()) }
    }
}

/// Something a service needs, which can be asked how it is doing.
pub trait HealthCheck: Send + Sync {
    /// A short stable name, for example `database`.
    fn name(&self) -> &'static str;

    /// Whether the service can do its work without it: readiness turns false only for critical checks.
    fn is_critical(&self) -> bool {
        true
    }

    /// Asks. The caller bounds how long it waits.
    fn check(&self) -> BoxFuture<'_, Health>;
}
