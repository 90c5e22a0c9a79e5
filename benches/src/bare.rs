//! The peer: what somebody would write by hand with axum and sqlx, without any of what we add. It runs in a process of
//! its own, as this program's hidden subcommand.

use std::{io::Write as _, sync::Arc};

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    routing::{get, post},
    serve::ListenerExt as _,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use uuid::Uuid;

use crate::Result;

/// The subcommand.
pub(crate) const COMMAND: &str = "bare-server";
/// The variable that names its database.
pub(crate) const DATABASE: &str = "STYLOBATE_BENCH_DATABASE";

/// As many as our server has.
const CONNECTIONS: u32 = 16;

#[derive(Clone)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Serves until it is killed.
pub(crate) fn serve() -> Result {
    let url = std::env::var(DATABASE)?;
    // Workers as our server has them: one for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let pool = connect(&url)?;
        let router = Router::new()
            .route("/fixed", get(fixed))
            .route("/me/{id}", get(me))
            .route("/refresh", post(refresh))
            .route("/introspect", post(introspect))
            .with_state(pool);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

fn connect(url: &str) -> Result<Pool> {
    // Without the ping before each use, as ours.
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse()?;
        let options = options.journal_mode(SqliteJournalMode::Wal).pragma("query_only", "on");
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        Ok(Pool::Sqlite(pool.connect_lazy_with(options)))
    } else {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        Ok(Pool::Postgres(pool.connect_lazy(url)?))
    }
}

/// A small JSON body that is there already.
async fn fixed() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"subject":"0198c5a0-0000-7000-8000-000000000000"}"#)
}

/// The row that `GET /auth/me` reads.
#[derive(Serialize, sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    username: Option<String>,
    email: String,
    email_verified: bool,
    must_change_password: bool,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    joined_at: DateTime<Utc>,
    first_name: String,
    last_name: String,
    display_name: Option<String>,
    avatar_url: Option<String>,
    bio: Option<String>,
    phone: Option<String>,
    date_of_birth: Option<String>,
    gender: String,
    preferred_contact_method: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    address_line1: Option<String>,
    address_line2: Option<String>,
    city: Option<String>,
    region: Option<String>,
    postal_code: Option<String>,
    country_code: Option<String>,
    status: String,
    marketing_opt_in: bool,
    notes: Option<String>,
    metadata: Option<String>,
}

/// The statement of `GET /auth/me`, word for word.
const SELECT_PERSON: &str = "SELECT p.id, p.username, p.email, p.email_verified, p.must_change_password, p.version, \
    p.created_at, p.updated_at, p.created_at AS joined_at, f.first_name, f.last_name, f.display_name, f.avatar_url, \
    f.bio, f.phone, f.date_of_birth, f.gender, f.preferred_contact_method, f.locale, f.timezone, f.address_line1, \
    f.address_line2, f.city, f.region, f.postal_code, f.country_code, f.status, f.marketing_opt_in, f.notes, \
    f.metadata FROM people p JOIN person_profiles f ON f.person_id = p.id WHERE p.id = $1";

async fn me(State(pool): State<Pool>, Path(id): Path<Uuid>) -> std::result::Result<Json<PersonRow>, Failed> {
    let row = match pool {
        Pool::Postgres(pool) => sqlx::query_as(SELECT_PERSON).bind(id).fetch_one(&pool).await?,
        Pool::Sqlite(pool) => sqlx::query_as(SELECT_PERSON).bind(id).fetch_one(&pool).await?,
    };
    Ok(Json(row))
}

/// The statement of `POST /oauth/introspect`, word for word.
const SELECT_SESSION: &str = "SELECT s.idle_expires_at, s.expires_at, s.ended_at \
    FROM sessions s JOIN people p ON p.id = s.person_id \
    WHERE s.id = $1 AND s.person_id = $2 AND s.credential_epoch = p.credential_epoch AND p.status = 'active'";

type SessionTimes = (Option<DateTime<Utc>>, DateTime<Utc>, Option<DateTime<Utc>>);

#[derive(Deserialize)]
struct Introspect {
    session_id: Uuid,
    person_id: Uuid,
}

#[derive(Serialize)]
struct Introspected {
    active: bool,
    sub: Uuid,
    sid: Uuid,
    exp: i64,
}

async fn introspect(
    State(pool): State<Pool>,
    Form(input): Form<Introspect>,
) -> std::result::Result<Json<Introspected>, Failed> {
    let Introspect { session_id: sid, person_id: sub } = input;
    let (_, expires_at, ended_at): SessionTimes = match pool {
        Pool::Postgres(pool) => sqlx::query_as(SELECT_SESSION).bind(sid).bind(sub).fetch_one(&pool).await?,
        Pool::Sqlite(pool) => sqlx::query_as(SELECT_SESSION).bind(sid).bind(sub).fetch_one(&pool).await?,
    };
    Ok(Json(Introspected { active: ended_at.is_none(), sub, sid, exp: expires_at.timestamp() }))
}

/// The table that [`refresh`] works on: of the shape of our own, but without anything around it.
pub(crate) const FAMILIES: &str = "CREATE TABLE bench_families (LIKE refresh_families INCLUDING ALL);
    INSERT INTO bench_families (session_id, generation, current_hash, rotated_at, expires_at) \
    SELECT lpad(to_hex(n), 32, '0')::uuid, 0, decode(lpad(to_hex(n), 64, '0'), 'hex'), now(), now() \
    FROM generate_series(1, 1000) AS numbers (n);
    GRANT SELECT, UPDATE ON bench_families TO PUBLIC;";

#[derive(Deserialize)]
struct Refresh {
    session_id: Uuid,
}

#[derive(Serialize)]
struct Refreshed {
    generation: i64,
}

/// One select and one update by key in one transaction. PostgreSQL only.
async fn refresh(
    State(pool): State<Pool>,
    Json(input): Json<Refresh>,
) -> std::result::Result<Json<Refreshed>, Failed> {
    let Pool::Postgres(pool) = pool else { return Err(Failed("PostgreSQL only".into())) };
    let mut transaction = pool.begin().await?;
    let (generation, hash): (i64, Vec<u8>) =
        sqlx::query_as("SELECT generation, current_hash FROM bench_families WHERE session_id = $1")
            .bind(input.session_id)
            .fetch_one(&mut *transaction)
            .await?;
    let next = [input.session_id.as_bytes().as_slice(), &[0; 8], &(generation + 1).to_be_bytes()].concat();
    sqlx::query(
        "UPDATE bench_families SET current_hash = $1, generation = generation + 1, rotated_at = $2 \
         WHERE session_id = $3 AND current_hash = $4",
    )
    .bind(next)
    .bind(Utc::now())
    .bind(input.session_id)
    .bind(hash)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Json(Refreshed { generation: generation + 1 }))
}

/// Whatever happened: the load stops at it and shows it.
struct Failed(Arc<str>);

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl axum::response::IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
