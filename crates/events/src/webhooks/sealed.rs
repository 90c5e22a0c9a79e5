use chrono::{DateTime, Utc};
use stylobate_core::{SealError, Sealer, WebhookEndpointId};

use super::WebhookSecret;

/// Secrets of an endpoint as they are stored.
#[derive(Debug, Clone)]
pub(super) struct SealedSecrets {
    pub(super) current: Vec<u8>,
    /// The one before, and until when it is signed with.
    pub(super) previous: Option<(Vec<u8>, DateTime<Utc>)>,
}

/// A secret sealed for one endpoint does not open for another. The current one becomes the previous without being sealed anew, so
/// both are sealed alike.
fn context(id: WebhookEndpointId) -> Vec<u8> {
    format!("webhook_endpoints.secret:{id}").into_bytes()
}

pub(super) async fn seal(
    sealer: &dyn Sealer,
    id: WebhookEndpointId,
    secret: &WebhookSecret,
) -> Result<Vec<u8>, SealError> {
    sealer.seal(secret.expose().as_bytes(), &context(id)).await
}

/// The secrets that are signed with at `now`, the newest first.
pub(super) async fn open(
    sealer: &dyn Sealer,
    id: WebhookEndpointId,
    sealed: &SealedSecrets,
    now: DateTime<Utc>,
) -> Result<Vec<WebhookSecret>, SealError> {
    let previous = sealed.previous.as_ref().filter(|(_, until)| *until > now).map(|(sealed, _)| sealed);
    let mut secrets = Vec::with_capacity(2);
    for sealed in [Some(&sealed.current), previous].into_iter().flatten() {
        let text =
            String::from_utf8(sealer.open(sealed, &context(id)).await?).map_err(|_| SealError::Mismatch)?;
        secrets.push(WebhookSecret::parse(&text).map_err(|_| SealError::Mismatch)?);
    }
    Ok(secrets)
}
