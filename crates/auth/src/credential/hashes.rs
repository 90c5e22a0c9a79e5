//! What stored hashes were made with, counted: never a hash.

use std::collections::BTreeMap;

use stylobate_db::{Conn, Error};
use uuid::Uuid;

use crate::{PasswordHasher, StoredHash};

/// Rows of one page: a few hundred KiB of text.
const PAGE_ROWS: i64 = 1_000;

/// The stored text of a password hash.
#[derive(sqlx::FromRow)]
pub(crate) struct HashRow {
    #[sqlx(rename = "person_id")]
    pub(crate) person: Uuid,
    pub(crate) hash: String,
    pub(crate) is_active: bool,
}

/// The next page of stored hashes in the order of their people, those after `after`; none when there are no more.
pub(crate) async fn list_hashes(conn: &mut Conn, after: Uuid) -> Result<Vec<HashRow>, Error> {
    conn.q("SELECT person_id, hash, is_active FROM credentials WHERE kind = 'password' AND person_id > $1 \
            ORDER BY person_id LIMIT 0 + $2")
        .bind(after)
        .bind(PAGE_ROWS)
        .all()
        .await
}

/// Stored hashes of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCount {
    /// What they were made with, as [`StoredHash::scheme`] says it; `unknown` for what is no hash that this build reads.
    pub scheme: &'static str,
    /// Memory in KiB and passes of an Argon2id hash of ours.
    pub cost: Option<(u32, u32)>,
    /// The version of the password pepper that they are keyed with, if any.
    pub pepper_version: Option<u16>,
    /// Why they cannot be verified, by the code of the error: their people cannot sign in.
    pub unusable: Option<&'static str>,
    /// How many there are.
    pub count: u64,
}

/// All stored hashes by kind, in the order of scheme, cost and version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashCounts(pub Vec<HashCount>);

impl HashCounts {
    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|kind| kind.count).sum()
    }

    /// How many are keyed with a version of the password pepper.
    #[must_use]
    pub fn keyed_with(&self, version: u16) -> u64 {
        self.0.iter().filter(|kind| kind.pepper_version == Some(version)).map(|kind| kind.count).sum()
    }
}

type Kind = (&'static str, Option<(u32, u32)>, Option<u16>, Option<&'static str>);

/// Counts the hashes of all passwords, switched off or not. `hasher` says which of them can be verified.
pub(crate) async fn count_hashes(conn: &mut Conn, hasher: &PasswordHasher) -> Result<HashCounts, Error> {
    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut after = Uuid::nil();
    loop {
        let rows = list_hashes(conn, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.person;
        for row in &rows {
            *counts.entry(kind_of(&row.hash, hasher)).or_default() += 1;
        }
    }
    let counts = counts.into_iter().map(|((scheme, cost, pepper_version, unusable), count)| HashCount {
        scheme,
        cost,
        pepper_version,
        unusable,
        count,
    });
    Ok(HashCounts(counts.collect()))
}

fn kind_of(text: &str, hasher: &PasswordHasher) -> Kind {
    match text.parse::<StoredHash>() {
        Ok(hash) => {
            let unusable = hasher.check_stored(&hash).err().map(|error| error.code());
            (hash.scheme(), hash.cost(), hash.pepper_version(), unusable)
        }
        Err(error) => ("unknown", None, None, Some(error.code())),
    }
}
