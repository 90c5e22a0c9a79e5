use futures_util::future::join_all;
use reqwest::Method;

use super::{
    Asker, Asks, Finding, IdPlace, Operation, Position, Request, Trial, World, id_like, rows::row_of,
};

/// A part of the operations that is tried by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Roles, permissions, groups, and questions about them.
    Access,
    /// People, credentials, organisations and their people.
    Accounts,
    /// Webhooks, events, notifications.
    Messages,
    /// All others.
    TheRest,
}

impl Group {
    /// By the heading of an operation.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        match operation.tag.as_str() {
            "roles" | "permissions" | "exceptions" | "decisions" | "groups" => Self::Access,
            "people" | "credentials" | "sessions" | "api keys" | "service accounts" | "auth" | "pages"
            | "organisations" | "members" | "users" | "invitations" => Self::Accounts,
            "webhooks" | "events" | "notifications" => Self::Messages,
            _ => Self::TheRest,
        }
    }
}

/// What asks for rows by something that is no id: the parameter, and the foreign organisation's value.
const TEXTS: [(&str, fn(&World) -> String); 11] = [
    ("search", |world| world.foreign.word.clone()),
    ("q", |world| world.foreign.word.clone()),
    ("name", |world| world.foreign.word.clone()),
    ("code", |world| world.foreign.word.clone()),
    ("org_code", |world| world.foreign.word.clone()),
    ("email", |world| world.foreign.address(&format!("{}-admin", world.foreign.word))),
    ("subject", |world| world.foreign.row("person").to_owned()),
    ("actor_id", |world| world.foreign.administrator.id.clone()),
    ("entity_id", |world| world.foreign.row("role").to_owned()),
    ("resource_id", |world| world.foreign.row("role").to_owned()),
    ("username", |world| world.foreign.administrator.username.clone()),
];

impl World {
    /// Tries every operation of `group` in every way, and says what was found.
    pub async fn try_group(&self, group: Group) -> Vec<Finding> {
        let before = self.fingerprint().await;
        let of_group = || self.operations.iter().filter(|operation| Group::of(operation) == group);
        let mut findings = Vec::new();
        for operation in of_group() {
            let askers = self.askers_of(operation);
            for trial in Trial::all(self, operation, &mut self.random()) {
                findings.extend(self.compare_all(&askers, operation, &trial).await);
            }
            for trial in self.text_trials(operation) {
                findings.extend(self.compare_all(&askers, operation, &trial).await);
            }
            if !operation.is_alias() {
                findings.extend(self.without_ids(&askers, operation).await);
                findings.extend(self.cursors(&askers, operation).await);
            }
        }
        findings.extend(self.changed_since(&before).await);
        // What is taken away last leaves the others what they need.
        let mut controls: Vec<&Operation> = of_group().collect();
        controls.sort_by_key(|operation| (operation.method == Method::DELETE, !operation.only_reads()));
        for operation in controls {
            for place in &operation.ids {
                findings.extend(self.control(operation, place).await);
            }
        }
        findings.extend(self.changed_since(&before).await);
        findings
    }

    async fn compare_all(&self, askers: &[Asker], operation: &Operation, trial: &Trial) -> Vec<Finding> {
        let compared = askers.iter().map(|asker| self.compare(asker, operation, trial));
        join_all(compared).await.into_iter().flatten().collect()
    }

    /// Searches, and filters by what is no id.
    fn text_trials(&self, operation: &Operation) -> Vec<Trial> {
        if !operation.only_reads() {
            return Vec::new();
        }
        let is_id = |name: &str| {
            operation.ids.iter().any(|place| place.position == Position::Query && place.name == name)
        };
        let asked = TEXTS
            .iter()
            .filter(|(name, _)| operation.filters.iter().any(|filter| filter == name) && !is_id(name));
        let mut random = self.random();
        let trial = |(name, value): &(&str, fn(&Self) -> String)| {
            let place =
                IdPlace { position: Position::Query, name: (*name).to_owned(), kind: "text".to_owned() };
            let value = value(self);
            let missing = match value.split_once('@') {
                Some((name, _)) => format!("{}@plain.example", id_like(name, &mut random)),
                None => id_like(&value, &mut random),
            };
            Trial {
                label: place.to_string(),
                foreign: vec![(place.clone(), value)],
                missing: vec![(place, missing)],
            }
        };
        asked.map(trial).collect()
    }

    /// Lists, exports, and what is done to all that there is: nothing foreign is seen, and nothing is touched.
    async fn without_ids(&self, askers: &[Asker], operation: &Operation) -> Vec<Finding> {
        let is_bulk =
            operation.ids.is_empty() && operation.takes.is_none() && operation.asks != Asks::Nothing;
        if operation.ends_its_session() || !(operation.only_reads() || is_bulk) {
            return Vec::new();
        }
        let request = self.home_request(operation, &[]);
        let asked = askers.iter().map(async |asker| {
            let answer = request.send(&asker.client).await;
            let leak = self.leak(operation, &answer, std::iter::empty())?;
            Some(Finding {
                operation: operation.to_string(),
                asker: asker.name,
                place: "nowhere".to_owned(),
                what: leak,
                answers: vec![answer],
            })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Pages that begin behind a row of the foreign organisation.
    async fn cursors(&self, askers: &[Asker], operation: &Operation) -> Vec<Finding> {
        let Some(place) = operation.ids.iter().find(|place| place.is_cursor()) else { return Vec::new() };
        let first = |request: Request| request.with_query("limit", "1");
        let of_foreign = self.request(operation, &self.foreign.rows, &[]);
        let there = first(of_foreign).send(&self.foreign.administrator.client).await;
        let here = first(self.home_request(operation, &[])).send(&self.who_may(operation).client).await;
        let mut random = self.random();
        // Where the foreign list has no second page, the place behind the home list's first row, called as a foreign row.
        let cursor = next_cursor(&there).or_else(|| {
            let cursor = next_cursor(&here)?;
            with_id(&cursor, |_| self.foreign.row(row_of(operation, place)).to_owned())
        });
        let Some(cursor) = cursor else { return Vec::new() };
        let Some(missing) = with_id(&cursor, |id| id_like(id, &mut random)) else {
            let what = "a cursor that says no id".to_owned();
            return vec![Finding {
                operation: operation.to_string(),
                asker: "administrator",
                place: place.to_string(),
                what,
                answers: vec![there],
            }];
        };
        let trial = Trial {
            label: place.to_string(),
            foreign: vec![(place.clone(), cursor)],
            missing: vec![(place.clone(), missing)],
        };
        self.compare_all(askers, operation, &trial).await
    }
}

fn next_cursor(answer: &crate::Answer) -> Option<String> {
    let page: serde_json::Value = serde_json::from_str(&answer.text).ok()?;
    Some(page["next_cursor"].as_str()?.to_owned())
}

/// The same place in the order, with another id.
fn with_id(cursor: &str, id: impl FnOnce(&str) -> String) -> Option<String> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (order, key, old): (String, serde_json::Value, String) = serde_json::from_slice(&json).ok()?;
    let json = serde_json::to_vec(&(order, key, id(&old))).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(json))
}
