use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection as _, FromRow, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use uuid::Uuid;

use super::Place;
use crate::PATIENCE;

/// A row by column. Ids are written with hyphens whatever the engine; `NULL` is not there.
pub type Row = BTreeMap<String, String>;

/// Columns that say whose a row is. A lane of nil is nobody's by itself.
pub const OWNERS: [&str; 3] = ["tenant_id", "lane", "scope_id"];

#[derive(FromRow)]
struct Column {
    table_name: String,
    column_name: String,
}

/// Every column of SQLite's.
const COLUMNS: &str = "SELECT t.name AS table_name, c.name AS column_name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
                       WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";

impl Place {
    /// Every table whose rows may be an organisation's, and the first of [`OWNERS`] that it has.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn owned_tables(&self) -> BTreeMap<String, &'static str> {
        let all: Vec<Column> = match &self.database {
            Some(database) => {
                let mut connection =
                    PgConnection::connect(&database.url(None, None)).await.expect("PostgreSQL");
                let all = "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns AS c \
                           JOIN information_schema.tables AS t USING (table_schema, table_name) \
                           WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE'";
                sqlx::query_as(all).fetch_all(&mut connection).await.expect("the columns")
            }
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                let all = sqlx::query_as(COLUMNS).fetch_all(&mut connection).await.expect("the columns");
                connection.close().await.expect("the file to close");
                all
            }
        };
        let mut owned = BTreeMap::new();
        for owner in OWNERS {
            for column in all.iter().filter(|column| column.column_name == owner) {
                owned.entry(column.table_name.clone()).or_insert(owner);
            }
        }
        owned
    }

    /// Every row of every table, read behind the program's back.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn tables(&self) -> BTreeMap<String, Vec<Row>> {
        match &self.database {
            Some(database) => {
                let url = database.url(None, None);
                let mut connection = PgConnection::connect(&url).await.expect("PostgreSQL");
                let all = "SELECT table_name::text, ''::text AS column_name FROM information_schema.tables \
                           WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
                let all: Vec<Column> =
                    sqlx::query_as(all).fetch_all(&mut connection).await.expect("the tables");
                let mut tables = BTreeMap::new();
                for Column { table_name, .. } in all {
                    let sql = format!("SELECT to_jsonb(t)::text FROM \"{table_name}\" AS t");
                    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                        .fetch_all(&mut connection)
                        .await
                        .expect(&table_name);
                    tables.insert(table_name, rows.iter().map(|row| read(row, plain)).collect());
                }
                tables
            }
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.data().join("control-plane.db"))
                    .busy_timeout(PATIENCE);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the SQLite file");
                let all: Vec<Column> =
                    sqlx::query_as(COLUMNS).fetch_all(&mut connection).await.expect("the columns");
                let mut columns = BTreeMap::<String, Vec<String>>::new();
                for Column { table_name, column_name } in all {
                    columns.entry(table_name).or_default().push(column_name);
                }
                let mut tables = BTreeMap::new();
                for (table, columns) in columns {
                    let pairs = columns.iter().map(|column| format!("'{column}', quote(\"{column}\")"));
                    let pairs = pairs.collect::<Vec<_>>().join(", ");
                    let sql = format!("SELECT json_object({pairs}) FROM \"{table}\"");
                    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                        .fetch_all(&mut connection)
                        .await
                        .expect(&table);
                    tables.insert(table, rows.iter().map(|row| read(row, unquoted)).collect());
                }
                connection.close().await.expect("the file to close");
                tables
            }
        }
    }
}

fn read(row: &str, cell: fn(&Value) -> Option<String>) -> Row {
    let row: serde_json::Map<String, Value> = serde_json::from_str(row).expect("JSON of the database");
    row.iter().filter_map(|(column, value)| Some((column.clone(), cell(value)?))).collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Out of a literal of SQLite's SQL.
fn unquoted(value: &Value) -> Option<String> {
    let literal = value.as_str().unwrap_or_default();
    if literal == "NULL" {
        return None;
    }
    let hex = literal.strip_prefix("X'").and_then(|rest| rest.strip_suffix('\''));
    if let Some(id) = hex.filter(|hex| hex.len() == 32).and_then(|hex| Uuid::try_parse(hex).ok()) {
        return Some(id.to_string());
    }
    let text = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    Some(text.map_or(literal.to_owned(), |text| text.replace("''", "'")))
}
