use std::collections::HashSet;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::Answer;

/// Something that an answer must not have told.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Method and template.
    pub operation: String,
    /// Who asked.
    pub asker: &'static str,
    /// Where the id stood.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What was answered.
    pub answers: Vec<Answer>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, asker, place, what, answers } = self;
        write!(f, "{operation}, asked by {asker}, {place}: {what}")?;
        answers.iter().try_for_each(|answer| write!(f, "\n    {answer}\n        {:?}", answer.headers))
    }
}

/// Fails with all that was found.
///
/// # Panics
/// When there is anything.
#[track_caller]
pub fn assert_none(findings: &[Finding]) {
    // More would be read by nobody.
    let told: Vec<String> = findings.iter().take(40).map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), told.join("\n"));
}

/// What a caller can tell answers apart by, without what differs between any two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Headers that say nothing about what was asked for: what it was sent as and how much of it there is, and how often the caller may
/// ask.
const OF_ANY_ANSWER: [&str; 5] =
    ["content-length", "retry-after", "ratelimit", "ratelimit-policy", "transfer-encoding"];

/// Headers of which no more counts than that they are there: what is made anew, and whose policy counts by now.
const ONLY_NAMED: [&str; 2] = ["set-cookie", "x-policy-epoch"];

/// Members that the program moves by itself.
const MOVED: [&str; 19] = [
    "request_id",
    "attempts",
    "due_at",
    "attempted_at",
    "finished_at",
    "claimed_at",
    "run_at",
    "next_run_at",
    "response_code",
    "response_body",
    "failing_since",
    "last_used_at",
    "last_seen_at",
    "last_login_at",
    "last_delivered_at",
    "staleness_ms",
    "epoch",
    "loaded_epoch",
    "platform_epoch",
];

/// Members that it moves of what is on its way: of deliveries and jobs.
const MOVED_ON_THE_WAY: [&str; 6] = ["status", "state", "error", "reason", "last_error", "attempt"];

/// Members of what was made just now.
const MADE: [&str; 12] = [
    "id",
    "created_at",
    "updated_at",
    "assigned_at",
    "expires_at",
    "secret",
    "key",
    "prefix",
    "access_token",
    "refresh_token",
    "session_id",
    "version",
];

impl Seen {
    /// Of an answer to a request with these values.
    #[must_use]
    pub fn of<'a>(answer: &Answer, sent: impl Iterator<Item = &'a str>) -> Self {
        let (status, headers, text) = answer.without_volatile();
        let sent: Vec<&str> = sent.collect();
        let text = masked(&text, &sent);
        let body = match serde_json::from_str::<Value>(&text) {
            Ok(mut json) => {
                mask(&mut json, answer.status == 201);
                json.to_string()
            }
            Err(_) => text,
        };
        let headers = headers.into_iter().filter(|(name, _)| !OF_ANY_ANSWER.contains(&name.as_str()));
        let only_name = |(name, value): (String, String)| match ONLY_NAMED.contains(&name.as_str()) {
            true => (name, value.split_once('=').map_or(String::new(), |(cookie, _)| cookie.to_owned())),
            // Where an alias leads to says what was asked for.
            false => (name, masked(&value, &sent)),
        };
        Self { status, headers: headers.map(only_name).collect(), body }
    }
}

/// Codes of refusals for who asks, whatever is asked for.
const OF_WHO_ASKS: [&str; 6] = [
    "unauthenticated",
    "permission_denied",
    "person_required",
    "service_required",
    "not_a_person",
    "tenant_required",
];

/// Whether somebody was refused for who they are.
#[must_use]
pub fn is_refused(answer: &Answer) -> bool {
    let code = code(answer);
    [401, 403].contains(&answer.status) && OF_WHO_ASKS.iter().any(|refused| code == *refused)
}

/// Whether somebody who is signed in was not listened to: their session has ended, or they are to come again later. Two such answers
/// are alike whatever was asked for.
pub(super) fn is_unheard(answer: &Answer) -> bool {
    [429, 503].contains(&answer.status) || (answer.status == 401 && code(answer) == "unauthenticated")
}

fn code(answer: &Answer) -> String {
    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// The text with something else in the place of what was sent.
fn masked(text: &str, sent: &[&str]) -> String {
    sent.iter().filter(|value| !value.is_empty()).fold(text.to_owned(), |text, value| {
        text.replace(value, "<sent>").replace(&value.replace('-', ""), "<sent>")
    })
}

fn mask(json: &mut Value, is_new: bool) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, is_new)),
        Value::Object(fields) => {
            let is_on_the_way = ["attempts", "attempts_max"].iter().any(|name| fields.contains_key(*name));
            for (name, value) in fields {
                let name = name.as_str();
                let is_moved = MOVED.contains(&name)
                    || (is_on_the_way && MOVED_ON_THE_WAY.contains(&name))
                    || (is_new && MADE.contains(&name));
                if is_moved {
                    *value = "<moved>".into();
                } else {
                    mask(value, is_new);
                }
            }
        }
        _ => {}
    }
}

/// By what the two can be told apart.
pub(super) fn differs(one: &Seen, other: &Seen) -> Option<String> {
    if one == other {
        return None;
    }
    let mut told = Vec::new();
    if one.status != other.status {
        told.push(format!("status {} and {}", one.status, other.status));
    }
    if one.headers != other.headers {
        let only = |of: &Seen, not: &Seen| {
            let lines = of.headers.iter().filter(|line| !not.headers.contains(line));
            lines.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        told.push(format!("headers {:?} and {:?}", only(one, other), only(other, one)));
    }
    if one.body != other.body {
        told.push(format!("bodies {:.400} and {:.400}", one.body, other.body));
    }
    Some(format!("foreign and missing are told apart by {}", told.join("; ")))
}

/// What of somebody's `word` and `ids` is in an answer, beside what was sent.
pub(super) fn leaks<'a>(
    answer: &Answer,
    sent: impl Iterator<Item = &'a str>,
    word: &str,
    ids: &HashSet<String>,
) -> Option<String> {
    let headers = answer.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let all = format!("{}\n{}", answer.text, headers.collect::<Vec<_>>().join("\n"));
    let text = masked(&format!("{all}\n{}", cursors(&all)), &sent.collect::<Vec<_>>()).to_lowercase();
    if let Some(at) = text.find(word) {
        let around: String =
            text[..at].chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
        return Some(format!("tells a name of the foreign organisation behind `{around}`"));
    }
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let found = words.filter(|word| word.len() == 36 || word.len() == 32).find(|word| {
        ids.contains(*word) || word.parse::<uuid::Uuid>().is_ok_and(|id| ids.contains(&id.to_string()))
    });
    found.map(|id| format!("tells the foreign id {id}"))
}

/// What the cursors say that are in a text.
fn cursors(text: &str) -> String {
    let said = text.split("\"next_cursor\":\"").skip(1).filter_map(|rest| {
        let cursor = rest.split('"').next()?;
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
    });
    said.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    const ID: &str = "0191e000-0000-7000-8000-0000000000a1";
    const OTHER: &str = "0191e000-0000-7000-8000-0000000000a2";

    fn answer(status: u16, text: &str) -> Answer {
        Answer { asked: "GET /".into(), status, headers: HeaderMap::new(), text: text.into() }
    }

    #[test]
    fn what_was_sent_and_what_moves_is_no_difference() {
        let one = answer(200, &format!("{{\"id\":\"{ID}\",\"attempts\":1,\"status\":\"pending\"}}"));
        let other = answer(200, &format!("{{\"id\":\"{OTHER}\",\"attempts\":2,\"status\":\"sent\"}}"));
        let seen = [(&one, ID), (&other, OTHER)].map(|(answer, id)| Seen::of(answer, [id].into_iter()));
        assert_eq!(differs(&seen[0], &seen[1]), None);
        let told = answer(200, "{\"status\":\"pending\"}");
        let apart = differs(&Seen::of(&told, [].into_iter()), &seen[1]).expect("a difference");
        assert!(apart.contains("bodies"), "{apart}");
        let missing = answer(404, &one.text);
        let apart = differs(&Seen::of(&missing, [ID].into_iter()), &seen[0]).expect("a difference");
        assert!(apart.contains("status 404 and 200"), "{apart}");
    }

    #[test]
    fn a_header_that_only_one_answer_has_is_a_difference() {
        let (plain, mut with) = (answer(204, ""), answer(204, ""));
        with.headers.insert("x-policy-epoch", "7".parse().expect("a value"));
        let mut later = with.clone();
        later.headers.insert("x-policy-epoch", "8".parse().expect("a value"));
        let seen = |answer| Seen::of(answer, [].into_iter());
        assert!(differs(&seen(&plain), &seen(&with)).is_some());
        assert_eq!(differs(&seen(&with), &seen(&later)), None);
    }

    #[test]
    fn answers_that_say_nothing_are_known() {
        let coded = |status, code: &str| answer(status, &format!("{{\"code\":\"{code}\"}}"));
        for one in [coded(429, "api_key_throttled"), answer(503, ""), coded(401, "unauthenticated")] {
            assert!(is_unheard(&one), "{one}");
        }
        for one in
            [coded(401, "invalid_credentials"), coded(403, "permission_denied"), coded(404, "not_found")]
        {
            assert!(!is_unheard(&one), "{one}");
        }
        assert!(is_refused(&coded(403, "permission_denied")) && is_refused(&coded(401, "unauthenticated")));
        assert!(!is_refused(&coded(403, "beyond_own_permissions")) && !is_refused(&coded(404, "not_found")));
    }

    #[test]
    fn names_and_ids_are_found_wherever_they_stand() {
        let ids = HashSet::from([ID.to_owned()]);
        let leak =
            |text: &str, sent: &[&str]| leaks(&answer(200, text), sent.iter().copied(), "obsidian", &ids);
        assert_eq!(leak(&format!("{{\"role_id\":\"{OTHER}\"}}"), &[]), None);
        assert_eq!(leak(&format!("no role {ID}"), &[ID]), None);
        for text in
            [format!("no role {ID}"), format!("a/{}/b", ID.replace('-', "")), "of Obsidian works".into()]
        {
            assert!(leak(&text, &[]).is_some(), "{text}");
        }
        let cursor = BASE64_URL_SAFE_NO_PAD.encode(format!("[\"name.asc\",\"x\",\"{ID}\"]"));
        assert!(leak(&format!("{{\"next_cursor\":\"{cursor}\"}}"), &[]).is_some());
    }
}
