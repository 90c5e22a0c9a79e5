//! What the handle promises, on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod connections;
mod hints;
mod migrations;
mod participants;
mod scope;
mod transactions;
mod writer;

use stylobate_db::{Migration, MigrationSet};

/// A set with one tenant table and one plain one.
pub(crate) static NOTES: MigrationSet = MigrationSet {
    name: "notes",
    append_only: &["note_history"],
    migrations: &[Migration {
        name: "20260101000000_notes",
        postgres: (
            "CREATE TABLE notes (id uuid PRIMARY KEY, tenant_id uuid NOT NULL, name text COLLATE \"C\" NOT NULL,
                created_at timestamptz NOT NULL, CONSTRAINT notes_tenant_id_name_key UNIQUE (tenant_id, name),
                CONSTRAINT notes_name_is_not_empty CHECK (name <> ''));
             ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
             ALTER TABLE notes FORCE ROW LEVEL SECURITY;
             CREATE POLICY tenant_isolation ON notes USING (stylobate_may_see(tenant_id)) WITH CHECK (stylobate_may_see(tenant_id));
             CREATE TABLE note_history (id bigint PRIMARY KEY, parent bigint REFERENCES note_history (id));
             CREATE TABLE counters (id bigint PRIMARY KEY, value bigint NOT NULL);
             INSERT INTO counters (id, value) VALUES (1, 0);",
            "DROP TABLE notes; DROP TABLE note_history; DROP TABLE counters;",
        ),
        sqlite: (
            "CREATE TABLE notes (id blob PRIMARY KEY, tenant_id blob NOT NULL, name text NOT NULL, created_at text NOT NULL,
                CONSTRAINT notes_tenant_id_name_key UNIQUE (tenant_id, name),
                CONSTRAINT notes_name_is_not_empty CHECK (name <> '')) STRICT;
             CREATE TABLE note_history (id integer PRIMARY KEY, parent integer REFERENCES note_history (id)) STRICT;
             CREATE TABLE counters (id integer PRIMARY KEY, value integer NOT NULL) STRICT;
             INSERT INTO counters (id, value) VALUES (1, 0);",
            "DROP TABLE notes; DROP TABLE note_history; DROP TABLE counters;",
        ),
    }],
};
