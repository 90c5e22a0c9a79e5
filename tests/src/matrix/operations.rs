use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::Client;

/// Where an id stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the body.
    Body,
}

/// A place of an operation in which an id stands.
#[derive(Debug, Clone)]
pub struct IdPlace {
    /// Where.
    pub position: Position,
    /// By what name; in bodies, dots lead into objects and `[]` into lists.
    pub name: String,
    /// What it is an id of.
    pub kind: String,
}

impl IdPlace {
    /// Whether it says where a page of a list begins, and is no id by itself.
    #[must_use]
    pub fn is_cursor(&self) -> bool {
        self.position == Position::Query && self.name == "cursor"
    }
}

impl std::fmt::Display for IdPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, name, kind } = self;
        write!(f, "{position:?} {name} ({kind})")
    }
}

/// What an operation asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// That they are somebody.
    Credential,
    /// A permission.
    Permission(String),
}

/// A method of a path in the API document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The template of the path.
    pub path: String,
    /// The template under which samples and reasons are kept: that of the route that answers, for an alias.
    pub canonical: String,
    /// Under which heading it is documented.
    pub tag: String,
    /// What it asks of its caller.
    pub asks: Asks,
    /// Where it takes ids.
    pub ids: Vec<IdPlace>,
    /// The media type of its body.
    pub takes: Option<String>,
    /// What a JSON body may have at its top.
    pub fields: BTreeSet<String>,
    /// What its successful answers have at their top.
    pub told: BTreeSet<String>,
    /// The names of its query parameters.
    pub filters: Vec<String>,
}

impl Operation {
    /// Whether another path is the one to use.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        self.path != self.canonical
    }

    /// Whether its body is JSON.
    #[must_use]
    pub fn takes_json(&self) -> bool {
        self.takes.as_deref() == Some("application/json")
    }

    /// Whether it does no more than read.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.method == Method::GET
    }

    /// The place of a parameter of the path.
    #[must_use]
    pub fn in_path(&self, name: &str) -> Option<&IdPlace> {
        self.ids.iter().find(|place| place.position == Position::Path && place.name == name)
    }

    /// The ids that stand in its path.
    pub fn path_ids(&self) -> impl Iterator<Item = &IdPlace> {
        self.ids.iter().filter(|place| place.position == Position::Path)
    }

    /// Whether it is the operation of these two, by its own name or an alias of it.
    #[must_use]
    pub fn is(&self, method: &str, canonical: &str) -> bool {
        self.method == method && self.canonical == canonical
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Every operation of the API document, without those that are in some builds only.
///
/// # Panics
/// When the document says nothing of ids.
pub async fn operations(client: &Client) -> Vec<Operation> {
    let document = client.get("/openapi.json").await.expect(200);
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            if tag != "diagnostics" && operation.is_object() {
                all.push((method.clone(), path.clone(), operation));
            }
        }
    }
    let is_alias =
        |operation: &Value| operation["operationId"].as_str().is_some_and(|id| id.ends_with("_alias"));
    let found = all.iter().map(|(method, path, operation)| {
        // An alias is documented with the words of the route that answers.
        let is_same = |other: &&(Method, String, &Value)| {
            other.0 == *method
                && !is_alias(other.2)
                && ["summary", "tags", "requestBody", "x-ids"]
                    .iter()
                    .all(|part| other.2[*part] == operation[*part])
        };
        let canonical = if is_alias(operation) { all.iter().find(is_same) } else { None };
        Operation {
            method: method.clone(),
            path: path.clone(),
            canonical: canonical.map_or(path, |(_, path, _)| path).clone(),
            tag: operation["tags"][0].as_str().unwrap_or_default().to_owned(),
            asks: asks(operation),
            ids: ids(operation),
            takes: media_type(&operation["requestBody"]),
            fields: fields_of(&document, &operation["requestBody"]),
            told: told(&document, operation),
            filters: filters(operation),
        }
    });
    let found: Vec<Operation> = found.collect();
    let ids: usize = found.iter().map(|operation| operation.ids.len()).sum();
    assert!(found.len() > 200 && ids > 200, "{} operations with {ids} ids", found.len());
    found
}

fn asks(operation: &Value) -> Asks {
    match operation["x-permission"].as_str() {
        Some(key) => Asks::Permission(key.to_owned()),
        None if operation["security"].is_array() => Asks::Credential,
        None => Asks::Nothing,
    }
}

fn ids(operation: &Value) -> Vec<IdPlace> {
    let told = operation["x-ids"].as_array().unwrap_or_else(|| panic!("{operation} tells no ids"));
    let place = |one: &Value| {
        let text =
            |name: &str| one[name].as_str().unwrap_or_else(|| panic!("{one} has no {name}")).to_owned();
        let position = match one["in"].as_str() {
            Some("path") => Position::Path,
            Some("query") => Position::Query,
            Some("body") => Position::Body,
            _ => panic!("{one} stands nowhere"),
        };
        IdPlace { position, name: text("name"), kind: text("kind") }
    };
    told.iter().map(place).collect()
}

fn filters(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    queries.filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned).collect()
}

fn media_type(body: &Value) -> Option<String> {
    body["content"].as_object()?.keys().next().cloned()
}

fn told(document: &Value, operation: &Value) -> BTreeSet<String> {
    let answers = operation["responses"].as_object().into_iter().flatten();
    let good = answers.filter(|(status, _)| status.starts_with('2'));
    good.flat_map(|(_, answer)| fields_of(document, answer)).collect()
}

fn fields_of(document: &Value, holder: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(document, &holder["content"]["application/json"]["schema"], &mut found);
    found
}

fn collect(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let referred = document.pointer(reference.trim_start_matches('#')).expect("a schema of the document");
        return collect(document, referred, found);
    }
    for one in ["allOf", "oneOf", "anyOf"].iter().flat_map(|key| schema[*key].as_array()).flatten() {
        collect(document, one, found);
    }
    found.extend(schema["properties"].as_object().into_iter().flat_map(|all| all.keys().cloned()));
}
