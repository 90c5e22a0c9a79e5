//! The record of a denial.

use std::{sync::Arc, time::Duration};

use stylobate_core::{AuditEvent, AuditSink};
use tracing::Instrument as _;

use crate::api_error::log_cause;

/// How long the record of a denial may keep the caller waiting. It is written all the same.
const AUDIT_WAIT: Duration = Duration::from_secs(1);

/// Writes `event`. What fails is logged, and the denial stands.
pub(crate) async fn record(audit: &Arc<dyn AuditSink>, event: AuditEvent) {
    let audit = Arc::clone(audit);
    // A task of its own: who is refused and hangs up is recorded as well.
    let recording = tokio::spawn(async move { audit.record(event).await }.in_current_span());
    match tokio::time::timeout(AUDIT_WAIT, recording).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => log_cause("audit_failed", &error),
        Ok(Err(error)) => log_cause("audit_failed", &error),
        Err(_) => tracing::warn!(code = "audit_slow", "the record of a denial takes long"),
    }
}
