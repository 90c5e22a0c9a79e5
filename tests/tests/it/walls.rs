//! What keeps organisations apart in the database itself, whatever a statement forgets.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use stylobate_tests::{Engine, TestApp};
use uuid::Uuid;

use rows::{Rows, Table};

/// Tables without a wall, and why each needs none.
const OPEN: [(&str, &str); 30] = [
    ("api_key_usage", "of a key, and counted as soon as the key is known"),
    ("api_keys", "a key is read to learn whose it is"),
    ("credentials", "of people, who sign in before an organisation is known"),
    ("event_deliveries", "numbers of events that a relay owes, of all organisations in one order"),
    ("event_held", "numbers of events that wait for another"),
    ("event_holds", "numbers of events that others wait for, and why"),
    ("event_inbox", "ids of messages that a consumer has heard"),
    ("event_subscribers", "programs of the installation"),
    ("event_subscriptions", "what programs of the installation hear"),
    ("flow_counters", "counts requests of whoever is not known yet, by digest"),
    ("job_count_changes", "counts the jobs of everybody"),
    ("job_counts", "counts the jobs of everybody"),
    ("login_counters", "counts attempts of whoever is not known yet"),
    ("notify_preferences", "of people, whichever organisation sends them something"),
    ("one_time_tokens", "a link is read to learn whose it is"),
    ("orgs", "found by their code before anybody has signed in"),
    ("paused_queues", "of the installation"),
    ("people", "an account is the platform's; the organisation's is the membership"),
    ("person_profiles", "of people, as `people` is"),
    ("policy_epochs", "every process follows all policies; tells only that one has changed"),
    ("refresh_families", "a token is read to learn whose it is"),
    ("request_nonces", "a signature is refused before it is known whose it is"),
    ("revocations", "every process follows what has ended anywhere"),
    ("sealed_secrets", "of the installation"),
    ("service_accounts", "found by a key before an organisation is known"),
    ("service_grants", "of service accounts, as `service_accounts` is"),
    ("service_keys", "a key is read to learn whose it is"),
    ("sessions", "a session is read to learn whose it is"),
    ("setup_tokens", "of an installation that has nobody yet"),
    ("signing_keys", "of the installation"),
];

/// Which migrations of a crate have been applied. The server's role only reads these.
const LISTINGS: &str = "_migrations";

/// Nobody changes their rows, not even those of one's own organisation.
const APPEND_ONLY: [&str; 1] = ["audit_events"];

/// What PostgreSQL answers to a row that a policy refuses, and to a statement that a role may not run.
const REFUSED: &str = "42501";

/// The one rule, as PostgreSQL writes it, after the column that says whose a row is.
const RULE: &str = " = ( SELECT stylobate_tenant() AS stylobate_tenant)) \
                    OR (( SELECT (stylobate_is_platform())::integer AS stylobate_is_platform) <> 0))";

/// Lets everybody read what the platform shares with all organisations.
const PLATFORM_ROWS: &str = "(tenant_id IS NULL)";

/// A policy, as PostgreSQL tells of it.
#[derive(sqlx::FromRow)]
struct Policy {
    table: String,
    name: String,
    is_permissive: bool,
    roles: String,
    command: String,
    using: String,
    check: String,
}

impl Policy {
    async fn all(owner: &mut PgConnection) -> Vec<Self> {
        let sql = "SELECT tablename::text AS \"table\", policyname::text AS name, permissive = 'PERMISSIVE' AS is_permissive, \
                   roles::text AS roles, cmd::text AS command, COALESCE(qual, '') AS \"using\", \
                   COALESCE(with_check, '') AS \"check\" FROM pg_policies ORDER BY tablename, policyname";
        sqlx::query_as(sql).fetch_all(owner).await.unwrap()
    }

    /// The column that says whose a row is, when this is the wall.
    fn wall(&self) -> Option<&str> {
        let column = self.using.strip_prefix("((")?.strip_suffix(RULE)?;
        let is_whole = self.is_permissive && self.roles == "{public}" && self.command == "ALL";
        (is_whole && self.using == self.check && self.name == "tenant_isolation").then_some(column)
    }

    fn shares_platform_rows(&self) -> bool {
        self.command == "SELECT" && self.using == PLATFORM_ROWS
    }
}

/// The database as somebody whom no policy binds.
async fn superuser(app: &TestApp) -> PgConnection {
    PgConnection::connect(&app.place.superuser_url().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_behind_a_wall_or_says_why() {
    let app = TestApp::builder(Engine::Postgres).without_administrator().start().await;
    let mut owner = superuser(&app).await;
    let tables: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let mut server = Careless::new(&app, Said::Nothing).await;
    let policies = Policy::all(&mut owner).await;
    let walls: BTreeSet<&str> = policies
        .iter()
        .filter(|policy| policy.wall().is_some())
        .map(|policy| policy.table.as_str())
        .collect();
    let mut open: BTreeMap<&str, &str> = OPEN.into_iter().collect();
    let mut faults = Vec::new();
    for (table, is_enabled, is_forced) in &tables {
        let is_walled = *is_enabled && *is_forced && walls.contains(table.as_str());
        let is_open = open.remove(table.as_str()).is_some();
        if is_walled && is_open {
            faults.push(format!("{table} is behind a wall: OPEN says why it would not be"));
        }
        if is_walled || is_open {
            continue;
        }
        if !table.ends_with(LISTINGS) || writable(&mut server.connection, table).await {
            faults.push(format!("{table} has neither a wall nor a reason in OPEN"));
        }
    }
    faults.extend(open.keys().map(|table| format!("OPEN names {table}, and there is no such table")));
    // One policy more lets through what the wall would not.
    for policy in policies.iter().filter(|policy| policy.wall().is_none() && !policy.shares_platform_rows()) {
        faults.push(format!("{} of {} is no wall: {}", policy.name, policy.table, policy.using));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether the role of the connection may change the table.
async fn writable(connection: &mut PgConnection, table: &str) -> bool {
    let sql = "SELECT has_table_privilege(to_regclass($1), 'INSERT, UPDATE, DELETE, TRUNCATE')";
    sqlx::query_scalar(sql).bind(table).fetch_one(connection).await.unwrap()
}

/// What somebody has said about whose rows they want.
#[derive(Debug, Clone, Copy)]
enum Said {
    Nothing,
    /// As a connection says that had a tenant before.
    Empty,
    Tenant(Uuid),
}

/// The server's role with nothing but what was said.
struct Careless {
    connection: PgConnection,
    said: Said,
}

impl Careless {
    async fn new(app: &TestApp, said: Said) -> Self {
        let url = app.place.environment()["DATABASE_URL"].clone();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let settings = match said {
            Said::Nothing => None,
            Said::Empty => Some((String::new(), "")),
            Said::Tenant(tenant) => Some((tenant.to_string(), "tenant")),
        };
        if let Some((tenant, scope)) = settings {
            let set =
                "SELECT set_config('stylobate.tenant', $1, false), set_config('stylobate.scope', $2, false)";
            sqlx::query(set).bind(tenant).bind(scope).execute(&mut connection).await.unwrap();
        }
        Self { connection, said }
    }

    /// How many rows the statement has changed, or why it was refused.
    async fn run(&mut self, sql: String) -> Result<u64, String> {
        match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut self.connection).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(sqlx::Error::Database(refused)) => Err(refused.code().unwrap_or_default().into_owned()),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    async fn count(&mut self, table: &Table) -> i64 {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await.unwrap()
    }

    /// Whose rows these are to them.
    fn own(&self) -> Option<Uuid> {
        match self.said {
            Said::Tenant(tenant) => Some(tenant),
            Said::Nothing | Said::Empty => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_forget_the_tenant_see_and_change_nothing() {
    let mut app = TestApp::builder(Engine::Postgres).without_administrator().start().await;
    // Whatever changes from here on was changed by this test.
    app.server().terminate();
    app.server().ended().await;
    app.place.join_other_org(&Uuid::new_v4().to_string()).await;
    let mut owner = superuser(&app).await;
    let orgs: Vec<(String,)> = sqlx::query_as("SELECT id::text FROM orgs ORDER BY is_default DESC")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let [ours, theirs] = [0, 1].map(|at: usize| orgs[at].0.parse::<Uuid>().unwrap());

    let policies = Policy::all(&mut owner).await;
    let walls = policies.iter().filter_map(|policy| Some((policy.table.as_str(), policy.wall()?))).collect();
    let shared: BTreeSet<&str> = policies
        .iter()
        .filter(|policy| policy.shares_platform_rows())
        .map(|policy| policy.table.as_str())
        .collect();
    let mut rows = Rows::new(owner, &walls).await;
    for tenant in [Some(ours), Some(theirs), None] {
        rows.fill(tenant).await;
    }
    let tables: Vec<Table> = rows.walled().cloned().collect();
    assert_eq!(tables.len(), walls.len());

    let before = rows.of_others(theirs).await;
    for said in [Said::Nothing, Said::Empty, Said::Tenant(theirs)] {
        let mut careless = Careless::new(&app, said).await;
        for table in &tables {
            let (name, wall) = (&table.name, table.wall.as_deref().unwrap());
            let own = match careless.own() {
                Some(tenant) => rows.count(table, Some(tenant)).await,
                None => 0,
            };
            assert!(own > 0 || careless.own().is_none(), "{name} has no row of the tenant's own");
            let given = if shared.contains(name.as_str()) { rows.count(table, None).await } else { 0 };
            assert_eq!(careless.count(table).await, own + given, "{name} is counted, {said:?}");

            let is_kept = APPEND_ONLY.contains(&name.as_str());
            let changed = careless.run(format!("UPDATE {name} SET {wall} = {wall}")).await;
            let expected = if is_kept { Err(REFUSED.to_owned()) } else { Ok(own.unsigned_abs()) };
            assert_eq!(changed, expected, "{name} is changed, {said:?}");
            // Nor are rows handed to others, or made for them.
            let given_away = careless.run(format!("UPDATE {name} SET {wall} = '{ours}'")).await;
            let expected = if is_kept || own > 0 { Err(REFUSED.to_owned()) } else { Ok(0) };
            assert_eq!(given_away, expected, "{name} is given away, {said:?}");
            let added = careless.run(rows.insert(table, Some(ours), 0)).await;
            assert_eq!(added, Err(REFUSED.to_owned()), "{name} is added to, {said:?}");
        }
    }
    for said in [Said::Nothing, Said::Empty, Said::Tenant(theirs)] {
        let mut careless = Careless::new(&app, said).await;
        // What refers to others goes first.
        for table in tables.iter().rev() {
            let own = match careless.own() {
                Some(tenant) => rows.count(table, Some(tenant)).await,
                None => 0,
            };
            let removed = careless.run(format!("DELETE FROM {}", table.name)).await;
            let is_kept = APPEND_ONLY.contains(&table.name.as_str());
            let expected = if is_kept { Err(REFUSED.to_owned()) } else { Ok(own.unsigned_abs()) };
            assert_eq!(removed, expected, "{} is emptied, {said:?}", table.name);
        }
    }
    let after = rows.of_others(theirs).await;
    for (table, rows) in &before {
        assert_eq!(after[table], *rows, "{table}");
    }
}
