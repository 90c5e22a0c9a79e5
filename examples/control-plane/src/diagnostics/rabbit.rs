use std::time::Duration;

use axum::{Json, extract::State};
use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::FieldTable,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::Problem,
    middleware::{ApiResult, StrictJson},
};
use utoipa::ToSchema;

use super::away;

/// How long the broker has for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

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
    State(url): State<Option<SecretString>>,
    StrictJson(message): StrictJson<RabbitMessage>,
) -> ApiResult<Json<Published>> {
    let url = url.ok_or_else(broker_away)?;
    let published = tokio::time::timeout(PATIENCE, send(url.expose_secret(), message)).await;
    Ok(Json(Published { routed: published.map_err(|_| broker_away())?.map_err(|_| broker_away())? }))
}

async fn send(url: &str, message: RabbitMessage) -> Result<bool, lapin::Error> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let exchange = message.exchange_name.as_str();
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (body, properties) = (message.message.as_bytes(), BasicProperties::default().with_delivery_mode(2));
    let confirmed = channel.basic_publish(
        exchange.into(),
        message.routing_key.as_str().into(),
        mandatory,
        body,
        properties,
    );
    let confirmation = confirmed.await?.await?;
    connection.close(200, "done".into()).await?;
    Ok(matches!(confirmation, Confirmation::Ack(None)))
}

fn broker_away() -> Problem {
    away("RabbitMQ does not answer, refuses that exchange, or is not configured.")
}
