//! Rows for any table, made of what the database says about its columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// A table, and what is to be known in order to add to it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// The column that says whose a row is; nothing for a table that is only referred to.
    pub(super) wall: Option<String>,
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: String,
    /// A row may go without: it is left out.
    is_optional: bool,
    is_nullable: bool,
    /// The first of the words that it takes, when it takes only certain ones.
    word: Option<String>,
    /// Table and column that it refers to.
    reference: Option<(String, String)>,
}

/// Adds rows, and counts them, past every policy.
pub(super) struct Rows {
    owner: PgConnection,
    /// What is referred to comes before what refers to it.
    tables: Vec<Table>,
    /// What was added, by table and tenant.
    added: BTreeMap<(String, Option<Uuid>), Vec<Value>>,
    /// No two texts are the same.
    number: u32,
}

impl Rows {
    /// Of the tables of `walls`, each with its column that says whose a row is, and of those that they refer to.
    pub(super) async fn new(mut owner: PgConnection, walls: &BTreeMap<&str, &str>) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        let mut waiting: Vec<String> = walls.keys().map(|name| (*name).to_owned()).collect();
        let mut begun = BTreeSet::new();
        while let Some(name) = waiting.last().cloned() {
            if tables.iter().any(|table| table.name == name) {
                waiting.pop();
                continue;
            }
            let table = Table::read(&mut owner, &name, walls.get(name.as_str()).copied()).await;
            let missing: Vec<String> = table
                .references()
                .filter(|needed| **needed != name && !tables.iter().any(|table| table.name == **needed))
                .cloned()
                .collect();
            if missing.is_empty() || !begun.insert(name) {
                waiting.pop();
                tables.push(table);
            } else {
                waiting.extend(missing);
            }
        }
        Self { owner, tables, added: BTreeMap::new(), number: 0 }
    }

    pub(super) fn walled(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.wall.is_some())
    }

    /// Adds a row or two to every table, of the tenant or of the platform where that has any.
    pub(super) async fn fill(&mut self, tenant: Option<Uuid>) {
        for table in self.tables.clone() {
            let is_whose = |column: &&Column| Some(&column.name) == table.wall.as_ref();
            let may_be_nobodys = table.columns.iter().find(is_whose).is_none_or(|column| column.is_nullable);
            if tenant.is_none() && !may_be_nobodys {
                continue;
            }
            self.add(&table, tenant).await;
            // For whoever refers to two of them.
            self.add(&table, tenant).await;
        }
    }

    async fn add(&mut self, table: &Table, tenant: Option<Uuid>) {
        self.number += 1;
        let mut last = None;
        // Some tables begin to count at 0, others at 1.
        for first in [0, 1] {
            let insert = self.insert(table, tenant, first);
            let sql = format!("{insert} ON CONFLICT DO NOTHING RETURNING to_jsonb({})::text", table.name);
            let added: Result<Option<String>, _> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&mut self.owner).await;
            match added {
                Ok(row) => {
                    let row = row.map(|row| serde_json::from_str::<Value>(&row).unwrap());
                    self.added.entry((table.name.clone(), tenant)).or_default().extend(row);
                    return;
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("teach this file what {} takes: {}", table.name, last.unwrap());
    }

    /// The statement that adds a row of the tenant.
    pub(super) fn insert(&self, table: &Table, tenant: Option<Uuid>, first: i64) -> String {
        let mut referred: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in &table.columns {
            let is_whose = Some(&column.name) == table.wall.as_ref()
                || table.wall.is_some() && ["tenant_id", "lane"].contains(&column.name.as_str());
            let value = match (&column.reference, tenant) {
                (_, Some(tenant)) if is_whose => format!("'{tenant}'"),
                _ if column.is_optional => continue,
                (Some((needed, theirs)), _) => {
                    // A row that refers to one table twice refers to two rows.
                    let at = referred.entry(needed.as_str()).or_default();
                    let row = self.added.get(&(needed.clone(), tenant)).and_then(|rows| rows.get(*at));
                    *at += 1;
                    let row = row.unwrap_or_else(|| panic!("{} needs a row of {needed}", table.name));
                    format!(
                        "'{}'",
                        row[theirs].as_str().map_or_else(|| row[theirs].to_string(), str::to_owned)
                    )
                }
                _ => self.value(column, first),
            };
            names.push(format!("\"{}\"", column.name));
            values.push(value);
        }
        format!("INSERT INTO {} ({}) VALUES ({})", table.name, names.join(", "), values.join(", "))
    }

    fn value(&self, column: &Column, first: i64) -> String {
        match (column.kind.as_str(), &column.word) {
            (_, Some(word)) => format!("'{word}'"),
            ("uuid", _) => "gen_random_uuid()".to_owned(),
            ("bigint" | "integer" | "smallint", _) => first.to_string(),
            ("boolean", _) => "true".to_owned(),
            ("timestamp with time zone", _) => "now()".to_owned(),
            ("date", _) => "current_date".to_owned(),
            ("jsonb" | "json", _) => "'{}'".to_owned(),
            ("text", _) => format!("'walls{}'", self.number),
            ("bytea", _) => format!("'walls{}'::bytea", self.number),
            (kind, _) => panic!("teach this file a value of {kind}, for {}", column.name),
        }
    }

    /// How many rows are the tenant's, or the platform's.
    pub(super) async fn count(&mut self, table: &Table, tenant: Option<Uuid>) -> i64 {
        let wall = table.wall.as_deref().unwrap();
        let whose = tenant.map_or("IS NULL".to_owned(), |tenant| format!("= '{tenant}'"));
        let sql = format!("SELECT count(*) FROM {} WHERE {wall} {whose}", table.name);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.owner).await.unwrap()
    }

    /// All there is in each table behind a wall, except what is the tenant's.
    pub(super) async fn of_others(&mut self, tenant: Uuid) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for table in self.tables.iter().filter(|table| table.wall.is_some()) {
            let (name, wall) = (&table.name, table.wall.as_deref().unwrap());
            let sql = format!(
                "SELECT to_jsonb({name})::text AS line FROM {name} WHERE {wall} IS DISTINCT FROM '{tenant}' ORDER BY line"
            );
            let rows: Vec<(String,)> =
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut self.owner).await.unwrap();
            assert!(!rows.is_empty(), "{name} has rows of nobody else");
            all.insert(name.clone(), rows.into_iter().map(|(row,)| row).collect());
        }
        all
    }
}

impl Table {
    async fn read(owner: &mut PgConnection, name: &str, wall: Option<&str>) -> Self {
        let columns: Vec<(String, String, bool, bool)> = sqlx::query_as(
            "SELECT column_name::text, data_type::text, is_nullable = 'YES', \
             column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS' \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position",
        )
        .bind(name)
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let words: Vec<(String, String)> = sqlx::query_as(
            "SELECT a.attname::text, pg_get_constraintdef(c.oid) FROM pg_constraint AS c \
             JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
             WHERE c.contype = 'c' AND cardinality(c.conkey) = 1 AND c.conrelid = to_regclass($1) \
             AND pg_get_constraintdef(c.oid) LIKE '%= ANY (ARRAY[''%'",
        )
        .bind(name)
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let references: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT a.attname::text, c.confrelid::regclass::text, f.attname::text FROM pg_constraint AS c \
             CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (own, theirs) \
             JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.own \
             JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = k.theirs \
             WHERE c.contype = 'f' AND c.conrelid = to_regclass($1)",
        )
        .bind(name)
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        let column = |(name, kind, is_nullable, has_default): (String, String, bool, bool)| {
            let word = words.iter().find(|(of, _)| *of == name);
            let word = word.and_then(|(_, check)| check.split('\'').nth(1)).map(str::to_owned);
            let reference = references.iter().find(|(of, ..)| *of == name);
            let reference = reference.map(|(_, table, column)| (table.clone(), column.clone()));
            Column { name, kind, is_optional: is_nullable || has_default, is_nullable, word, reference }
        };
        let columns = columns.into_iter().map(column).collect();
        Self { name: name.to_owned(), wall: wall.map(str::to_owned), columns }
    }

    /// The tables of which there must be a row before. Whose a row is is said by ids of organisations that there are.
    fn references(&self) -> impl Iterator<Item = &String> {
        let needed = self
            .columns
            .iter()
            .filter(|column| !column.is_optional && Some(&column.name) != self.wall.as_ref());
        needed.filter_map(|column| column.reference.as_ref().map(|(table, _)| table))
    }
}
