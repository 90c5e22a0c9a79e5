//! What is sealed, each for its own place: put into another row, it does not open.

use serde::{Deserialize, Serialize};
use stylobate_core::{SealError, Sealer};
use uuid::Uuid;

use crate::channel_config::ChannelConfig;

/// What a sealed value is, as part of what it is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Values,
    Recipient,
    Destination,
    Channel,
}

impl Place {
    fn context(self, id: Uuid) -> Vec<u8> {
        let name = match self {
            Self::Values => "notify_messages.values",
            Self::Recipient => "notify_messages.recipient",
            Self::Destination => "notify_deliveries.destination",
            Self::Channel => "notification_channels.config",
        };
        format!("{name}:{id}").into_bytes()
    }
}

/// Where a delivery goes, and what its recipient is called.
#[derive(Default, Clone, Serialize, Deserialize)]
pub(crate) struct Destination {
    /// The address; empty where a channel has it.
    pub(crate) to: String,
    pub(crate) name: String,
}

pub(crate) async fn seal(
    sealer: &dyn Sealer,
    place: Place,
    id: Uuid,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    sealer.seal(plain, &place.context(id)).await
}

pub(crate) async fn open(
    sealer: &dyn Sealer,
    place: Place,
    id: Uuid,
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    sealer.open(sealed, &place.context(id)).await
}

pub(crate) async fn open_json<T: for<'de> Deserialize<'de>>(
    sealer: &dyn Sealer,
    place: Place,
    id: Uuid,
    sealed: &[u8],
) -> Result<T, SealError> {
    serde_json::from_slice(&open(sealer, place, id, sealed).await?).map_err(|_| SealError::Mismatch)
}

pub(crate) async fn open_config(
    sealer: &dyn Sealer,
    id: Uuid,
    sealed: &[u8],
) -> Result<ChannelConfig, SealError> {
    let json = open(sealer, Place::Channel, id, sealed).await?;
    ChannelConfig::from_json(&json).ok_or(SealError::Mismatch)
}
