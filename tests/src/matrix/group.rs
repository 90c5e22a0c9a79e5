use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;

use super::{Asker, Asks, Finding, IdPlace, Operation, Position, Rows, Trial, World, id_like, rows::row_of};
use crate::{Answer, Client};

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

/// What a world says of itself.
pub(super) type Told = fn(&World) -> String;

/// What the foreign organisation has that filters ask for which take no ids. All others are asked for its word.
pub(super) const TEXTS: [(&str, Told); 2] = [
    ("email", |world| world.foreign.address(&format!("{}-admin", world.foreign.word))),
    ("subject", |world| world.foreign.row("person").to_owned()),
];

/// What lists take beside filters.
const PAGING: [&str; 5] = ["limit", "cursor", "order_by", "order_dir", "include_total"];

/// Lists that never have a second page here, and why.
pub(super) const ONE_PAGE: [(&str, &str); 2] = [
    ("/v1/events/dead-letters", "nothing was given up"),
    ("/v1/jobs/dead-letters", "nothing failed for good"),
];

/// Far more pages than any list of home has.
const PAGES_MAX: usize = 200;

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
        let asked = operation.filters.iter().filter(|name| !PAGING.contains(&name.as_str()) && !is_id(name));
        let mut random = self.random();
        let trial = |name: &String| {
            let place = IdPlace { position: Position::Query, name: name.clone(), kind: "text".to_owned() };
            let known = TEXTS.iter().find(|(text, _)| text == name);
            let value = known.map_or_else(|| self.foreign.word.clone(), |(_, value)| value(self));
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

    /// Lists with all their pages, exports, and what is done to all that there is: nothing foreign is seen, and nothing is touched.
    async fn without_ids(&self, askers: &[Asker], operation: &Operation) -> Vec<Finding> {
        let is_bulk =
            operation.ids.is_empty() && operation.takes.is_none() && operation.asks != Asks::Nothing;
        if operation.ends_its_session() || !(operation.only_reads() || is_bulk) {
            return Vec::new();
        }
        let asked = askers.iter().map(|asker| self.read_all(asker, operation));
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Every page of a list, with the number of all it counts; of what is no list, the answer.
    async fn read_all(&self, asker: &Asker, operation: &Operation) -> Option<Finding> {
        let finding = |what: String, answer: Answer| {
            Some(Finding {
                operation: operation.to_string(),
                asker: asker.name,
                place: "nowhere".to_owned(),
                what,
                answers: vec![answer],
            })
        };
        let request = self.home_request(operation, &[]);
        let is_list = operation.filters.iter().any(|name| name == "cursor");
        let may = asker.name == "administrator" && !self.is_of_platform(operation);
        let (mut cursor, mut seen): (Option<String>, usize) = (None, 0);
        for _ in 0..PAGES_MAX {
            let mut page = request.clone();
            if is_list {
                page = page.with_query("limit", "200");
            }
            if let Some(cursor) = &cursor {
                page = page.with_query("cursor", cursor);
            }
            let answer = page.send(&asker.client).await;
            if let Some(leak) = self.leak(operation, &answer, std::iter::empty()) {
                return finding(leak, answer);
            }
            if is_list && may && !answer.is_success() {
                return finding("the list does not work, so that nothing is proven".to_owned(), answer);
            }
            seen += items(&answer);
            cursor = next_cursor(&answer);
            if cursor.is_some() {
                continue;
            }
            if !operation.filters.iter().any(|name| name == "include_total") {
                return None;
            }
            // Not every list is counted.
            let counted = request.with_query("include_total", "true").send(&asker.client).await;
            let all = total(&counted);
            return match all > seen {
                true => finding(format!("counts {all} where {seen} are shown"), counted),
                false => None,
            };
        }
        panic!("{operation} has more than {PAGES_MAX} pages");
    }

    /// Pages that begin behind a row of the foreign organisation.
    async fn cursors(&self, askers: &[Asker], operation: &Operation) -> Vec<Finding> {
        let Some(place) = operation.ids.iter().find(|place| place.is_cursor()) else { return Vec::new() };
        let finding = |what: &str, answers: Vec<Answer>| {
            vec![Finding {
                operation: operation.to_string(),
                asker: "administrator",
                place: place.to_string(),
                what: what.to_owned(),
                answers,
            }]
        };
        let first = async |client: &Client, rows: &Rows| {
            self.request(operation, rows, &[]).with_query("limit", "1").send(client).await
        };
        let there = first(&self.foreign.administrator.client, &self.foreign.rows).await;
        let mut cursor = next_cursor(&there);
        // Where the foreign list has no second page, the place behind the first row of another.
        for client in [&self.home.administrator.client, self.root()] {
            if cursor.is_none() {
                cursor = next_cursor(&first(client, &self.home.rows).await);
            }
        }
        // Called as a foreign row, where it is a row of the platform or of home.
        let foreign = self.foreign.row(row_of(operation, place));
        let foreign_id = |id: &str| if self.secrets.contains(id) { id } else { foreign }.to_owned();
        let cursor = cursor.and_then(|cursor| with_id(&cursor, foreign_id));
        let Some(cursor) = cursor else {
            let is_known = ONE_PAGE.iter().any(|(path, _)| *path == operation.canonical);
            return match is_known {
                true => Vec::new(),
                false => finding("no list has a second page, so that nothing is proven", vec![there]),
            };
        };
        let Some(missing) = with_id(&cursor, |id| id_like(id, &mut self.random())) else {
            return finding("a cursor that says no id", vec![there]);
        };
        let trial = Trial {
            label: place.to_string(),
            foreign: vec![(place.clone(), cursor)],
            missing: vec![(place.clone(), missing)],
        };
        self.compare_all(askers, operation, &trial).await
    }
}

fn page_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap_or_default()
}

fn items(answer: &Answer) -> usize {
    page_of(answer)["items"].as_array().map_or(0, Vec::len)
}

fn total(answer: &Answer) -> usize {
    page_of(answer)["total"].as_u64().map_or(0, |total| usize::try_from(total).expect("a total of a list"))
}

fn next_cursor(answer: &Answer) -> Option<String> {
    Some(page_of(answer)["next_cursor"].as_str()?.to_owned())
}

/// The same place in the order, with another id.
fn with_id(cursor: &str, id: impl FnOnce(&str) -> String) -> Option<String> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (order, key, old): (String, Value, String) = serde_json::from_slice(&json).ok()?;
    let json = serde_json::to_vec(&(order, key, id(&old))).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(json))
}
