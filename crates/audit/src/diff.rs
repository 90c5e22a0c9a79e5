use serde_json::{Map, Value, json};

use crate::Redaction;

/// The fields that differ between two states, as `{"field": {"before": …, "after": …}}`; `None` when none does.
///
/// Fields are compared at the top level and taken over whole. A field that one side lacks counts as null there. States
/// that are not objects are compared as one field called `value`. Values of sensitive fields are hidden after the
/// comparison: that a password changed is recorded, which one it was is not.
#[must_use]
pub fn diff(before: Option<Value>, after: Option<Value>, redaction: &Redaction) -> Option<Value> {
    let (mut before, mut after) = (fields(before), fields(after));
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Map::new();
    for name in names {
        let mut old = before.remove(&name).unwrap_or(Value::Null);
        let mut new = after.remove(&name).unwrap_or(Value::Null);
        if old != new {
            redaction.apply_named(&name, &mut old);
            redaction.apply_named(&name, &mut new);
            changes.insert(name, json!({ "before": old, "after": new }));
        }
    }
    (!changes.is_empty()).then_some(Value::Object(changes))
}

fn fields(state: Option<Value>) -> Map<String, Value> {
    match state {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(other) => Map::from_iter([("value".to_owned(), other)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: Value, after: Value) -> Option<Value> {
        diff(Some(before), Some(after), &Redaction::default())
    }

    #[test]
    fn only_differing_fields_are_kept() {
        assert_eq!(
            changes(
                json!({ "name": "a", "note": "same", "gone": 1 }),
                json!({ "name": "b", "note": "same", "new": [1] })
            ),
            Some(json!({
                "name": { "before": "a", "after": "b" },
                "gone": { "before": 1, "after": null },
                "new": { "before": null, "after": [1] },
            }))
        );
    }

    #[test]
    fn equal_states_leave_no_changes() {
        assert_eq!(changes(json!({ "a": 1, "b": null }), json!({ "a": 1 })), None);
        assert_eq!(diff(None, None, &Redaction::default()), None);
    }

    #[test]
    fn creation_and_removal_list_every_field() {
        let redaction = Redaction::default();
        let state = json!({ "name": "a", "note": null });
        assert_eq!(
            diff(None, Some(state.clone()), &redaction),
            Some(json!({ "name": { "before": null, "after": "a" } }))
        );
        assert_eq!(
            diff(Some(state), None, &redaction),
            Some(json!({ "name": { "before": "a", "after": null } }))
        );
    }

    #[test]
    fn bare_values_are_one_field() {
        assert_eq!(changes(json!(1), json!(2)), Some(json!({ "value": { "before": 1, "after": 2 } })));
    }

    // A23: a changed secret shows as changed, with neither value.
    #[test]
    fn a_changed_secret_is_recorded_without_its_values() {
        assert_eq!(
            changes(
                json!({ "password_hash": "canary-1", "options": { "token": "canary-2" } }),
                json!({ "password_hash": "canary-3", "options": { "token": "canary-4" } })
            ),
            Some(json!({
                "password_hash": { "before": "***", "after": "***" },
                "options": { "before": { "token": "***" }, "after": { "token": "***" } },
            }))
        );
    }
}
