use std::collections::HashMap;

use serde_json::{Value, json};
use stylobate_core::{DomainEvent, RequestContext, TenantId};
use stylobate_db::{Db, Scope, Sql, Tx};
use stylobate_events::{Catalogue, Envelope, EventType, Exchange};

use super::SCOPE;

/// The type of all events of a run that anybody hears.
pub(super) const KIND: &str = "note.made";
/// Where brokers are told of them.
pub(super) const EXCHANGE: &str = Exchange::AUDIT.name();
/// What no catalogue has: a transaction that emits it cannot commit.
const UNHEARD_OF: &str = "note.unheard_of";
/// Of how many subjects writers tell, in each of two lanes: few, so that they meet.
const SUBJECTS: u32 = 20;
/// One of the lanes; the other is the platform.
const TENANT: &str = "0198c5f0-0000-7000-8000-000000000002";

/// One thing that happened: a row of `chaos_facts` and the event that tells of it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Note {
    /// Which one it is; each is written by one transaction.
    pub(super) n: i64,
    /// The subject within its lane.
    pub(super) subject: String,
    /// Which writer tells: it tells of a subject in the order of `n`.
    pub(super) writer: i64,
}

/// By what events are ordered: a tenant, or none, and a subject.
pub(super) type Lane = (Option<TenantId>, String);

impl Note {
    /// A note by `writer` about any subject.
    pub(super) fn random(n: u32, writer: u32, random: &mut fastrand::Rng) -> Self {
        let subject = format!("place-{}", random.u32(..SUBJECTS));
        Self { n: n.into(), subject, writer: writer.into() }
    }

    /// The event, with a payload of any length.
    pub(super) fn event(&self) -> DomainEvent {
        let text = "x".repeat(usize::try_from(self.n % 700).unwrap_or_default());
        self.told(KIND, json!({ "n": self.n, "text": text }))
    }

    /// The same, of a type that no catalogue has.
    pub(super) fn unheard_of(&self) -> DomainEvent {
        self.told(UNHEARD_OF, json!({ "n": self.n }))
    }

    fn told(&self, kind: &'static str, data: Value) -> DomainEvent {
        DomainEvent::new(&RequestContext::system("chaos"), kind, &self.subject, data)
    }

    /// Writes the row.
    pub(super) async fn insert(&self, tx: &mut Tx) -> Result<(), stylobate_db::Error> {
        tx.q("INSERT INTO chaos_facts (n, subject, writer) VALUES ($1, $2, $3)")
            .bind(self.n)
            .bind(self.subject.clone())
            .bind(self.writer)
            .run()
            .await?;
        Ok(())
    }
}

/// In which lane a writer's transactions are.
pub(super) fn lane_of(writer: i64) -> Option<TenantId> {
    (writer % 2 == 1).then(|| TENANT.parse().expect("the id of a tenant"))
}

/// What transactions in that lane have as their scope.
pub(super) fn scope_of(writer: i64) -> Scope {
    lane_of(writer).map_or(SCOPE, Scope::Tenant)
}

/// Which note an event tells of.
pub(super) fn number_in(event: &Envelope) -> Option<i64> {
    event.data.get("n")?.as_i64()
}

pub(super) fn catalogue() -> Catalogue {
    let kind = EventType {
        name: KIND,
        version: 1,
        exchange: Some(Exchange::AUDIT),
        description: "A note was made.",
        schema: json!({ "type": "object" }),
    };
    Catalogue::new([kind]).expect("a catalogue")
}

const TABLES: [Sql; 2] = [
    Sql::Per {
        pg: "CREATE TABLE chaos_facts (n bigint PRIMARY KEY, subject text NOT NULL, writer bigint NOT NULL)",
        lite: "CREATE TABLE chaos_facts (n INTEGER PRIMARY KEY, subject TEXT NOT NULL, writer INTEGER NOT NULL) STRICT",
    },
    Sql::Per {
        pg: "CREATE TABLE chaos_heard (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n bigint NOT NULL, \
             sequence bigint NOT NULL)",
        lite: "CREATE TABLE chaos_heard (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, sequence INTEGER NOT NULL) STRICT",
    },
];

/// Makes the tables of what happened and of what was heard in process, as the owner.
pub(super) async fn prepare(owner: &Db) {
    let prepare = async |tx: &mut Tx| {
        for table in TABLES {
            tx.q(table).run().await?;
        }
        if tx.engine() == stylobate_db::Engine::Postgres {
            tx.q("GRANT SELECT, INSERT ON chaos_facts, chaos_heard TO PUBLIC").run().await?;
        }
        Ok::<_, stylobate_db::Error>(())
    };
    owner.transact(SCOPE, prepare).await.expect("the tables of the evidence");
}

/// What a handler in process has done for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Heard {
    pub(super) n: i64,
    pub(super) sequence: i64,
}

/// What the database holds at the end.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Everything that happened, by its number.
    pub(super) facts: HashMap<i64, Note>,
    /// What handlers did, in their order within a subject.
    pub(super) heard: Vec<Heard>,
}

impl Held {
    pub(super) async fn read(db: &Db) -> Result<Self, stylobate_db::Error> {
        let mut tx = db.begin_read(SCOPE).await?;
        let facts: Vec<Note> = tx.q("SELECT n, subject, writer FROM chaos_facts").all().await?;
        let heard = tx.q("SELECT n, sequence FROM chaos_heard ORDER BY id").all().await?;
        tx.rollback().await?;
        Ok(Self { facts: facts.into_iter().map(|note| (note.n, note)).collect(), heard })
    }
}

/// How much happened, and how much of it was heard in process.
pub(super) async fn counts(db: &Db) -> Result<(i64, i64), stylobate_db::Error> {
    let mut tx = db.begin_read(SCOPE).await?;
    let facts = tx.q("SELECT count(*) FROM chaos_facts").scalar().await?;
    let heard = tx.q("SELECT count(*) FROM chaos_heard").scalar().await?;
    tx.rollback().await?;
    Ok((facts, heard))
}
