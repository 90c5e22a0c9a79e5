//! What operators and their probes ask: is it alive, is it ready, what does it measure, which version is it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use stylobate_core::HealthStatus;
use stylobate_db::Db;
use stylobate_observability::{HealthRegistry, HealthReport};
use stylobate_tower_middleware::Permission;
use utoipa::ToSchema;

use crate::{Route, Routes};

const TAG: &str = "operations";
const PROBE: Permission =
    Permission::Public("probes carry no credentials, and the answer names no addresses");

/// `GET /health`, `/health/live` and `/health/ready`.
///
/// `/health` and `/health/ready` answer 503 while a critical check fails or the process drains; `/health/live` answers 200
/// as long as the process answers at all, so that an outage of the database restarts nobody.
#[must_use]
pub fn health_routes(registry: Arc<HealthRegistry>) -> Routes {
    let route = |path, summary| Route::get(path, PROBE).tag(TAG).summary(summary).returns::<HealthBody>(200);
    Routes::new()
        .add(route("/health", "Whether it can do its work, in short"), &registry, ready)
        .add(route("/health/live", "Whether the process answers"), &registry, live)
        .add(route("/health/ready", "Whether it can do its work, check by check"), &registry, ready)
}

/// The answer of a health route.
#[derive(serde::Serialize, ToSchema)]
struct HealthBody {
    /// `up`, `degraded` or `down`.
    #[schema(value_type = String)]
    status: HealthStatus,
    /// Whether it is shutting down and wants no new work.
    draining: bool,
    /// Each check by its name.
    #[schema(value_type = Object)]
    checks: serde_json::Value,
}

fn answer(report: &HealthReport, ok: bool) -> Response {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = HealthBody {
        status: report.status,
        draining: report.draining,
        checks: serde_json::to_value(&report.checks).unwrap_or_default(),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn live(State(registry): State<Arc<HealthRegistry>>) -> Response {
    answer(&registry.live(), true)
}

async fn ready(State(registry): State<Arc<HealthRegistry>>) -> Response {
    let report = registry.ready().await;
    answer(&report, report.is_ready())
}

/// `GET /health/db-pool`: how many database connections there are, and how many are in use.
#[must_use]
pub fn pool_routes(db: Db) -> Routes {
    let route = Route::get("/health/db-pool", PROBE).tag(TAG).summary("How the connection pool is doing");
    Routes::new().add(route.answers(200, Some("application/json")), &db, pool)
}

async fn pool(State(db): State<Db>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(db.pool_stats())).into_response()
}

#[cfg(feature = "metrics")]
pub use metrics::{MetricsAccess, metrics_routes};

#[cfg(feature = "metrics")]
mod metrics {
    use std::{net::SocketAddr, sync::Arc};

    use axum::{
        extract::{ConnectInfo, State},
        response::{IntoResponse, Response},
    };
    use http::{HeaderMap, header};
    use secrecy::{ExposeSecret as _, SecretString};
    use stylobate_core::Problem;
    use stylobate_observability::{METRICS_CONTENT_TYPE, Metrics};
    use stylobate_tower_middleware::{ApiError, ApiResult, Permission};

    use super::TAG;
    use crate::{Route, Routes};

    /// Who may scrape.
    #[derive(Clone)]
    pub enum MetricsAccess {
        /// Whoever presents this bearer token.
        Token(SecretString),
        /// Programs on the same machine, directly and not through a proxy.
        Loopback,
    }

    /// `GET /metrics` in the Prometheus text format.
    #[must_use]
    pub fn metrics_routes(metrics: Arc<Metrics>, access: MetricsAccess) -> Routes {
        let reason =
            Permission::Public("the scraper's own token, or the loopback address, is checked by the handler");
        let route = Route::get("/metrics", reason).tag(TAG).summary("What it measures, for Prometheus");
        Routes::new().add(route.answers(200, Some(METRICS_CONTENT_TYPE)), &(metrics, access), scrape)
    }

    async fn scrape(
        State((metrics, access)): State<(Arc<Metrics>, MetricsAccess)>,
        peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
        headers: HeaderMap,
    ) -> ApiResult<Response> {
        match access {
            MetricsAccess::Token(token) => {
                let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let presented = presented.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
                if !equal(presented.as_bytes(), token.expose_secret().as_bytes()) {
                    return Err(Problem::unauthenticated().into());
                }
            }
            MetricsAccess::Loopback => {
                let forwarded =
                    headers.contains_key("x-forwarded-for") || headers.contains_key(header::FORWARDED);
                let local = peer.is_some_and(|axum::Extension(ConnectInfo(peer))| peer.ip().is_loopback());
                if forwarded || !local {
                    return Err(ApiError::not_found());
                }
            }
        }
        let text = metrics.render().map_err(ApiError::internal)?;
        Ok(([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text)
            .into_response())
    }

    /// Looks at every byte whatever it finds, so that time tells nothing but the length.
    fn equal(left: &[u8], right: &[u8]) -> bool {
        left.len() == right.len()
            && std::hint::black_box(left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right)))
                == 0
    }
}
