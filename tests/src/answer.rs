use reqwest::header::HeaderMap;
use serde_json::Value;

/// What the server answered, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Method and path, for messages.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    pub(crate) async fn read(asked: String, response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { asked, status, headers, text: response.text().await? })
    }

    /// Whether it is a success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null when there is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{self}: no JSON ({error})"))
    }

    /// The one value of a header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status, headers and body without what differs between any two answers: what a caller can tell answers apart by.
    #[must_use]
    pub fn without_volatile(&self) -> (u16, Vec<(String, String)>, String) {
        let volatile = ["x-request-id", "date", "traceresponse"];
        let text =
            |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let mut headers: Vec<_> = headers.filter(|(name, _)| !volatile.contains(&name.as_str())).collect();
        headers.sort();
        (self.status, headers, self.text.clone())
    }

    /// The same with the body as JSON, without the id of the request that stands in problems.
    #[must_use]
    #[track_caller]
    pub fn seen(&self) -> (u16, Vec<(String, String)>, Value) {
        let (status, headers, _) = self.without_volatile();
        let mut body = self.json();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("request_id");
        }
        (status, headers, body)
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        if self.header("content-type").is_some_and(|kind| kind.contains("json")) {
            self.json()
        } else {
            Value::Null
        }
    }

    /// The problem of a refusal that must have this status and code. Holds every refusal to its form (RFC 9457).
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self}");
        assert_eq!(problem["status"], status, "{self}");
        for member in ["type", "title", "request_id"] {
            assert!(problem[member].is_string(), "{self} has no {member}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self}");
        problem
    }

    /// As [`problem`](Self::problem), about a certain field.
    #[track_caller]
    pub fn problem_of(&self, status: u16, code: &str, field: &str) -> Value {
        let problem = self.problem(status, code);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{self} names no field"));
        assert!(errors.iter().any(|error| error["field"] == field), "{self} does not name {field}");
        problem
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answered {} {:.2000}", self.asked, self.status, self.text)
    }
}

/// The rows of a CSV text as maps from column to cell.
///
/// # Panics
/// When the text is not RFC 4180.
#[must_use]
pub fn csv_rows(text: &str) -> Vec<std::collections::HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("a row of CSV")).collect()
}

/// The text at `name` of a JSON object.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}
