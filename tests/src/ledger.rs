use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, stream};

use crate::{Answer, Client, csv_rows};

/// What a load knows for certain: the writes that were acknowledged to it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By person: the last acknowledged version and name.
    people: BTreeMap<String, Option<(i64, String)>>,
    /// How often which status refused a write.
    refusals: BTreeMap<u16, u64>,
    writes: u64,
}

/// What a [`Ledger`] and the installation disagree about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged people who are not there.
    pub lost_people: Vec<String>,
    /// Acknowledged names that a lower version or another name stands for.
    pub lost_names: Vec<String>,
    /// People whose changes and audit rows differ in number.
    pub unaudited: Vec<String>,
    /// Audit rows about people who do not exist.
    pub invented: Vec<String>,
}

impl Verdict {
    /// Whether nothing is lost, half done or invented.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        *self == Self::default()
    }
}

impl Ledger {
    pub(crate) fn created(&mut self, id: &str) {
        self.writes += 1;
        self.people.insert(id.to_owned(), None);
    }

    pub(crate) fn renamed(&mut self, id: &str, version: i64, name: &str) {
        self.writes += 1;
        let known = self.people.entry(id.to_owned()).or_default();
        if known.as_ref().is_none_or(|(before, _)| *before < version) {
            *known = Some((version, name.to_owned()));
        }
    }

    pub(crate) fn refused(&mut self, answer: &Answer) {
        *self.refusals.entry(answer.status).or_default() += 1;
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Statuses of refusals other than those that a stopped server or database may answer.
    #[must_use]
    pub fn strange_refusals(&self) -> Vec<(u16, u64)> {
        self.refusals
            .iter()
            .map(|(status, count)| (*status, *count))
            .filter(|(status, _)| *status != 503)
            .collect()
    }

    /// Adds what another load knows.
    pub fn merge(&mut self, other: Self) {
        self.people.extend(other.people);
        self.writes += other.writes;
        for (status, count) in other.refusals {
            *self.refusals.entry(status).or_default() += count;
        }
    }

    /// Asks the server for every person it knows: quick enough for after every kill.
    pub async fn check_acknowledged(&self, client: &Client) -> Verdict {
        let answers = stream::iter(self.people.iter())
            .map(async |(id, known)| (id, known, client.get(&format!("/people/{id}")).await))
            .buffer_unordered(8)
            .collect::<Vec<_>>()
            .await;
        let mut verdict = Verdict::default();
        for (id, known, answer) in answers {
            if answer.status != 200 {
                verdict.lost_people.push(answer.to_string());
                continue;
            }
            let Some((version, name)) = known else { continue };
            let person = answer.json();
            let now = person["version"].as_i64().unwrap_or_default();
            if now < *version || (now == *version && person["display_name"] != **name) {
                verdict.lost_names.push(id.clone());
            }
        }
        verdict
    }

    /// Compares all people with all audit rows: every change has its row and every row its change.
    ///
    /// Each change of a person counts its version up by one and is one audit row, in the same transaction.
    pub async fn check_everything(&self, client: &Client) -> Verdict {
        let mut verdict = self.check_acknowledged(client).await;
        let created = rows_by_person(client, "person.create").await;
        let updated = rows_by_person(client, "person.update").await;
        let everybody = client.all("/people").await;
        for person in &everybody {
            let id = person["id"].as_str().unwrap_or_default();
            let is_ours = person["email"].as_str().is_some_and(|email| email.ends_with("@load.example.org"));
            let changes = updated.get(id).copied().unwrap_or_default();
            if is_ours && (created.get(id) != Some(&1) || person["version"] != FIRST_VERSION + changes) {
                verdict.unaudited.push(id.to_owned());
            }
        }
        let exists = |id: &String| everybody.iter().any(|person| person["id"] == **id);
        verdict.invented.extend(created.into_keys().chain(updated.into_keys()).filter(|id| !exists(id)));
        verdict
    }
}

/// The version of a person that was never changed.
const FIRST_VERSION: i64 = 1;

async fn rows_by_person(client: &Client, action: &str) -> HashMap<String, i64> {
    let path = format!("/audit-events/export?action={action}&max_rows=1000000");
    let export = client.get(&path).await;
    export.expect(200);
    let mut counts = HashMap::new();
    for row in csv_rows(&export.text) {
        *counts.entry(row["entity_id"].clone()).or_default() += 1;
    }
    counts
}
