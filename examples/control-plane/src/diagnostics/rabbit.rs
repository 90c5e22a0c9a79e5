use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::Problem,
    events::Broker,
    middleware::{ApiResult, StrictJson},
};
use utoipa::ToSchema;

use super::away;

/// A message to be published.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RabbitMessage {
    /// A durable topic exchange; it is declared.
    exchange_name: String,
    routing_key: String,
    message: String,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Published {
    /// Whether a queue has it. Without one the broker returned it.
    routed: bool,
}

pub(super) async fn publish(
    State(broker): State<Option<Broker>>,
    StrictJson(message): StrictJson<RabbitMessage>,
) -> ApiResult<Json<Published>> {
    let broker = broker.ok_or_else(broker_away)?;
    let RabbitMessage { exchange_name, routing_key, message } = message;
    let published = broker.try_out(&exchange_name, &routing_key, message.into_bytes()).await;
    Ok(Json(Published { routed: published.map_err(|_| broker_away())? }))
}

fn broker_away() -> Problem {
    away("RabbitMQ does not answer, refuses that exchange, or is not configured.")
}
