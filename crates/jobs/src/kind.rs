use serde_json::Value;

use crate::{Backoff, Job, Unique};

/// What a kind of job says of itself: the constants of [`Job`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) version: u16,
    pub(crate) queue: &'static str,
    pub(crate) timeout_ms: i64,
    pub(crate) attempts_max: u16,
    pub(crate) key_limit: u16,
    pub(crate) backoff: Backoff,
}

impl Shape {
    pub(crate) fn of<J: Job>() -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            timeout_ms: i64::try_from(J::TIMEOUT.as_millis()).unwrap_or(i64::MAX).clamp(1_000, 86_400_000),
            attempts_max: J::ATTEMPTS_MAX.clamp(1, 1_000),
            key_limit: J::KEY_LIMIT.max(1),
            backoff: J::BACKOFF,
        }
    }
}

/// What one job says of itself beyond its kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    pub(crate) key: Option<String>,
    pub(crate) unique: Option<Unique>,
}

impl Marks {
    pub(crate) fn of<J: Job>(job: &J) -> Self {
        Self { key: job.key(), unique: job.unique() }
    }

    /// Those of a job of kind `J` that is written as `payload`; or why it is none.
    pub(crate) fn read<J: Job>(payload: &Value) -> Result<Self, serde_json::Error> {
        serde::Deserialize::deserialize(payload).map(|job: J| Self::of(&job))
    }
}
