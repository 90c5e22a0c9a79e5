//! Diagnostics of development builds: an echo, a look into Redis, a message to RabbitMQ. Never in a release image, and not there
//! at all in production.

mod rabbit;

use axum::{Json, extract::State, http::StatusCode};
use deadpool_redis::{Config, Pool, Runtime, redis::AsyncCommands as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use stylobate::{
    Settings,
    core::Problem,
    endpoints::{Permission, Route, Routes},
    events::{AmqpUrl, Broker},
    middleware::{ApiResult, StrictJson, StrictQuery},
};
use utoipa::{IntoParams, ToSchema};

const TAG: &str = "diagnostics";
const ON_PLATFORM: Permission = Permission::Key("platform.diagnostics");

pub(crate) fn routes(settings: &Settings) -> Routes {
    if settings.is_production() {
        return Routes::new();
    }
    let redis = settings
        .redis_url
        .as_ref()
        .and_then(|url| Config::from_url(url.expose_secret()).create_pool(Some(Runtime::Tokio1)).ok());
    let broker = settings.events.amqp_url.as_ref();
    let broker = broker.and_then(|url| AmqpUrl::parse(url.expose_secret()).ok()).map(Broker::new);
    let echo_reason = Permission::Public("it returns what it was given, in development only");
    Routes::new()
        .add(
            Route::post("/echo", echo_reason)
                .tag(TAG)
                .summary("Returns the message")
                .body::<Echo>()
                .returns::<Echo>(200),
            &(),
            async |StrictJson(echo): StrictJson<Echo>| Json(echo),
        )
        .add(
            Route::get("/redis", ON_PLATFORM)
                .tag(TAG)
                .summary("Reads a value from Redis")
                .query::<Key>()
                .returns::<Entry>(200),
            &redis,
            read,
        )
        .add(
            Route::put("/redis", ON_PLATFORM)
                .tag(TAG)
                .summary("Writes a value to Redis, for an hour")
                .body::<Entry>()
                .answers(204, None),
            &redis,
            write,
        )
        .add(
            Route::post("/rabbit", ON_PLATFORM)
                .tag(TAG)
                .summary("Publishes a message to an exchange of RabbitMQ, and says whether a queue has it")
                .body::<rabbit::RabbitMessage>()
                .returns::<rabbit::Published>(200),
            &broker,
            rabbit::publish,
        )
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    message: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    /// `null` when there is none.
    value: Option<String>,
}

/// Diagnostics leave nothing behind for long.
const KEPT_FOR_S: u64 = 3_600;

async fn read(
    State(redis): State<Option<Pool>>,
    StrictQuery(Key { key }): StrictQuery<Key>,
) -> ApiResult<Json<Entry>> {
    let mut connection = connection(redis).await?;
    let value = connection.get(named(&key)).await.map_err(|_| unavailable())?;
    Ok(Json(Entry { key, value }))
}

async fn write(
    State(redis): State<Option<Pool>>,
    StrictJson(entry): StrictJson<Entry>,
) -> ApiResult<StatusCode> {
    let mut connection = connection(redis).await?;
    let key = named(&entry.key);
    let done: Result<(), _> = match entry.value {
        Some(value) => connection.set_ex(key, value, KEPT_FOR_S).await,
        None => connection.del(key).await,
    };
    done.map_err(|_| unavailable())?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keys of diagnostics live apart from all others.
fn named(key: &str) -> String {
    format!("stylobate:diagnostics:{key}")
}

async fn connection(redis: Option<Pool>) -> Result<deadpool_redis::Connection, Problem> {
    redis.ok_or_else(unavailable)?.get().await.map_err(|_| unavailable())
}

/// What a diagnostic looks at is not there.
fn away(detail: &'static str) -> Problem {
    Problem::new(503, "unavailable").detail(detail).retry_after(1)
}

fn unavailable() -> Problem {
    away("Redis does not answer, or is not configured.")
}
