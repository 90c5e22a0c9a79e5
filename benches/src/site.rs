//! An installation to measure: a database with an administrator and people, and the programs on it.

use std::{process::Command, sync::Arc};

use serde_json::{Value, json};
use stylobate_auth::{Auth, AuthConfig, KeyEncryptionKey, LocalSealer};
use stylobate_core::{AuditError, AuditEvent, AuditSink, BoxFuture};
use stylobate_db::{Db, DbOptions};
use stylobate_tests::{Engine, PASSWORD, Place, Program};

use crate::{
    Result, bare,
    load::{Connection, request},
    server::Process,
};

/// Both engines.
pub(crate) const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// An installation. It is gone with the value.
pub(crate) struct Site {
    place: Place,
    program: Program,
}

impl Site {
    /// A migrated database with one administrator, `admin`, and `people` others, called `p1`, `p2` …, who have the same
    /// password.
    pub(crate) async fn new(engine: Engine, people: u32) -> Result<Self> {
        let place = Place::new(engine).await;
        let program = Program::at(&place);
        let arguments = ["createsuperuser", "--username", "admin", "--email", "admin@example.org"];
        let names = ["--first-name", "Grace", "--last-name", "Hopper", "--password", PASSWORD, "--no-input"];
        let run = program.run(&[arguments.as_slice(), names.as_slice()].concat()).await;
        if !run.success {
            return Err(format!("createsuperuser failed: {}", run.text).into());
        }
        if people > 0 {
            place.sql(&insert_people(engine, people)).await;
            // PostgreSQL looks at tables that grew by itself, within a minute; SQLite plans without.
            if engine == Engine::Postgres {
                place.sql("VACUUM (ANALYZE)").await;
            }
        }
        Ok(Self { place, program })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Our server, ready.
    pub(crate) async fn serve(&self) -> Result<Process> {
        let process = self.spawn()?;
        process.ready().await?;
        Ok(process)
    }

    /// Our server, as soon as it says where it listens.
    pub(crate) fn spawn(&self) -> Result<Process> {
        Process::start(self.program.command(&["serve"]), self.place.folder())
    }

    /// The address of its database.
    pub(crate) fn database(&self) -> String {
        let file = self.place.folder().join("data/control-plane.db");
        let url = self.place.environment().remove("DATABASE_URL");
        url.unwrap_or_else(|| format!("sqlite://{}", file.display()))
    }

    /// Its sign-in within this program, which records nothing.
    pub(crate) async fn auth(&self) -> Result<(Db, Auth)> {
        let options = DbOptions::default();
        let db = Db::builder(&self.database(), options).without_audit().without_events().connect().await?;
        let key = KeyEncryptionKey::from_file_or_generate(&self.place.folder().join("data/kek"))?;
        let sealer = Arc::new(LocalSealer::new(&key));
        let auth = Auth::builder(&db, AuthConfig::default(), sealer, Arc::new(Nowhere)).build().await?;
        Ok((db, auth))
    }

    /// The bare peer on the same database.
    pub(crate) fn bare(&self) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(bare::COMMAND).env(bare::DATABASE, self.database());
        let folder = self.place.folder().join("bare");
        std::fs::create_dir_all(&folder)?;
        Process::start(command, &folder)
    }
}

/// The body of a login.
pub(crate) fn login_body(username: &str) -> Value {
    json!({ "username": username, "password": PASSWORD })
}

/// Signs in; the answer has the tokens.
pub(crate) async fn login(server: &Process, username: &str) -> Result<Value> {
    let login = request("POST", "/auth/login", None, Some(&login_body(username)));
    let mut connection = Connection::open(server.address()).await?;
    connection.exchange(&login).await?.json(200)
}

/// The text of one field.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| format!("no `{name}` in {value}").into())
}

/// People as the program would make them, at one per second from a day in 2026 on, with the administrator's password.
///
/// Times have six decimals, which is how the program writes times that are not whole milliseconds: a time read from a
/// row finds the row again.
fn insert_people(engine: Engine, people: u32) -> String {
    let numbers = match engine {
        Engine::Postgres => format!("generate_series(1::bigint, {people}::bigint) AS numbers (n)"),
        Engine::Sqlite => format!(
            "(WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {people}) \
             SELECT n FROM counted) AS numbers"
        ),
    };
    // A UUIDv7 (RFC 9562 §5.7) of the same second.
    let (id, time) = match engine {
        Engine::Postgres => (
            "(lpad(to_hex((1767225600 + n) * 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' \
             || lpad(to_hex(n), 15, '0'))::uuid",
            "to_timestamp(1767225600 + n) + interval '7 microseconds'",
        ),
        Engine::Sqlite => (
            "unhex(printf('%012x7%03x8%015x', (1767225600 + n) * 1000, n % 4096, n))",
            "strftime('%Y-%m-%dT%H:%M:%S', 1767225600 + n, 'unixepoch') || '.000007+00:00'",
        ),
    };
    let (yes, no) = match engine {
        Engine::Postgres => ("true", "false"),
        Engine::Sqlite => ("1", "0"),
    };
    format!(
        "INSERT INTO people (id, username, username_key, email, email_key, email_verified, status, \
         must_change_password, credential_epoch, version, created_at, updated_at) \
         SELECT {id}, 'p' || n, 'p' || n, 'p' || n || '@example.org', 'p' || n || '@example.org', {yes}, 'active', \
         {no}, 0, 1, {time}, {time} FROM {numbers};
         INSERT INTO memberships (tenant_id, person_id, status, created_at, updated_at) \
         SELECT (SELECT id FROM orgs WHERE is_default), {id}, 'active', {time}, {time} FROM {numbers};
         INSERT INTO person_profiles (person_id, first_name, last_name, gender, status, marketing_opt_in, search_key) \
         SELECT {id}, 'Ada', 'Lovelace ' || n, 'unknown', 'active', {no}, \
         'ada lovelace ' || n || ' p' || n || ' p' || n || '@example.org' FROM {numbers};
         INSERT INTO credentials (person_id, kind, hash, updated_at) \
         SELECT {id}, 'password', (SELECT hash FROM credentials WHERE person_id = \
         (SELECT id FROM people WHERE username_key = 'admin')), {time} FROM {numbers};"
    )
}

/// Keeps nothing.
struct Nowhere;

impl AuditSink for Nowhere {
    fn record(&self, _: AuditEvent) -> BoxFuture<'_, std::result::Result<(), AuditError>> {
        Box::pin(async { Ok(()) })
    }
}
