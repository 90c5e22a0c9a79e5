//! Requests put together from samples, rows and the ids that are tried.

use serde_json::{Map, Value};

use super::{
    IdPlace, Operation, Position, Request, Rows,
    rows::row_of,
    samples::{QUERIES, WORDS, sample_at},
};

/// The request of `operation` about `rows`, with `values` in their places. `unique` gives a word that nobody has used.
pub(super) fn request(
    operation: &Operation,
    rows: &Rows,
    values: &[(IdPlace, String)],
    unique: &mut dyn FnMut() -> String,
) -> Request {
    let own = |key: &str| rows.get(key).cloned().unwrap_or_else(|| panic!("{operation}: no row of {key}"));
    let given = |position: Position, name: &str| {
        let found = values.iter().find(|(place, _)| place.position == position && place.name == name);
        found.map(|(_, value)| value.clone())
    };
    let part = |part: &str| {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            return part.to_owned();
        };
        given(Position::Path, name)
            .or_else(|| operation.in_path(name).map(|place| own(row_of(operation, place))))
            .or_else(|| WORDS.iter().find(|(word, _)| *word == name).map(|(_, text)| (*text).to_owned()))
            .unwrap_or_else(|| panic!("{operation}: nothing says what {name} is"))
    };
    let path: Vec<String> = operation.path.split('/').map(part).collect();
    let mut request = Request { method: operation.method.clone(), path: path.join("/"), body: None };
    for (method, canonical, name, value) in QUERIES {
        if operation.is(method, canonical) {
            request = request.with_query(name, value);
        }
    }
    for (place, value) in values.iter().filter(|(place, _)| place.position == Position::Query) {
        request = request.with_query(&place.name, value);
    }
    if operation.takes_json() {
        let in_body = || values.iter().filter(|(place, _)| place.position == Position::Body);
        let first = in_body().next().map(|(place, _)| place.name.as_str());
        let mut body = sample_at(&operation.method, &operation.canonical, first)
            .unwrap_or_else(|| Value::Object(Map::new()));
        fill(&mut body, &mut |key| match key {
            "unique" => Some(unique()),
            key => rows.get(key).cloned(),
        });
        for (place, value) in in_body() {
            set(&mut body, &place.name, value);
        }
        request.body = Some(body);
    }
    request
}

/// The keys of the rows that a sample names.
pub(super) fn named(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    fill(&mut body.clone(), &mut |key| {
        found.push(key.to_owned());
        None
    });
    found
}

/// Puts in the place of each `<key>` of a text what `value` has for it.
fn fill(body: &mut Value, value: &mut dyn FnMut(&str) -> Option<String>) {
    match body {
        Value::String(text) => {
            let mut filled = String::new();
            let mut rest = text.as_str();
            while let Some((before, key, after)) = marked(rest) {
                filled.push_str(before);
                filled.push_str(&value(key).unwrap_or_else(|| format!("<{key}>")));
                rest = after;
            }
            filled.push_str(rest);
            *text = filled;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, value)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, value)),
        _ => {}
    }
}

/// What stands before the first `<key>`, the key, and what stands behind it.
fn marked(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('<')?;
    let (key, after) = rest.split_once('>')?;
    Some((before, key, after))
}

/// Sets the field that a place names: of each object of a list that has it, or of the first that has none of them.
fn set(body: &mut Value, name: &str, value: &str) {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    if !body.is_object() {
        *body = Value::Object(Map::new());
    }
    let Value::Object(fields) = body else { return };
    let Some(list) = first.strip_suffix("[]") else {
        match rest {
            Some(rest) => set(fields.entry(first).or_insert(Value::Null), rest, value),
            None => {
                fields.insert(first.to_owned(), value.into());
            }
        }
        return;
    };
    let list = fields.entry(list).or_insert_with(|| Value::Array(Vec::new()));
    match (list, rest) {
        (Value::Array(items), Some(rest)) => {
            if items.is_empty() {
                items.push(Value::Object(Map::new()));
            }
            let has_it = items.iter().any(|item| item.get(rest).is_some());
            for item in items.iter_mut().filter(|item| !has_it || item.get(rest).is_some()) {
                set(item, rest, value);
            }
        }
        (list, _) => *list = Value::Array(vec![value.into()]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_set_where_places_say() {
        let mut body = json!({ "a": { "b": 1 }, "list": [{ "kind": "x" }, { "kind": "y", "id": 1 }] });
        for name in ["a.c_id", "d_id", "list[].id", "ids[]", "e.f.g_id"] {
            set(&mut body, name, "7");
        }
        let expected = json!({
            "a": { "b": 1, "c_id": "7" }, "d_id": "7", "e": { "f": { "g_id": "7" } }, "ids": ["7"],
            "list": [{ "kind": "x" }, { "kind": "y", "id": "7" }],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn rows_are_filled_in() {
        let body =
            json!({ "role_id": "<role>", "name": "a <unique> b", "odd": "1 < 2", "list": ["<role#2>"] });
        // In whatever order a body keeps its fields.
        let mut keys = named(&body);
        keys.sort_unstable();
        assert_eq!(keys, ["role", "role#2", "unique"].map(str::to_owned).to_vec());
        let mut filled = body;
        fill(&mut filled, &mut |key| (key != "role#2").then(|| key.to_uppercase()));
        let expected =
            json!({ "role_id": "ROLE", "name": "a UNIQUE b", "odd": "1 < 2", "list": ["<role#2>"] });
        assert_eq!(filled, expected);
    }
}
