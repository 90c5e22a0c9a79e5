use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::RequestId;

/// What is wrong with one field of a body, or one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// The field, as it is spelled in the body; nested ones with dots.
    pub field: String,
    /// A stable code: `required`, `unknown`, `invalid`, `too_long` …
    pub code: Cow<'static, str>,
    /// A sentence for people. Never repeats the value.
    pub message: String,
}

impl FieldProblem {
    /// A problem of `field`.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: Cow::Borrowed(code), message: message.into() }
    }
}

/// A refusal as callers see it: the body of an `application/problem+json` answer (RFC 9457 §3) with a stable `code`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:stylobate:problem:<code>`: an identifier, not an address to fetch.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sentence that goes with the status.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// The stable code programs may match on.
    pub code: Cow<'static, str>,
    /// What happened this time, for people. Never holds secrets, and never tells whether a hidden thing exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request to quote when asking for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// What is wrong field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// After how many seconds trying again makes sense; sent as `Retry-After` (RFC 9110 §10.2.3).
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with `status` and `code`.
    #[must_use]
    pub fn new(status: u16, code: &'static str) -> Self {
        Self {
            kind: format!("urn:stylobate:problem:{code}"),
            title: Cow::Borrowed(title(status)),
            status,
            code: Cow::Borrowed(code),
            detail: None,
            request_id: None,
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// Adds a sentence about this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what is wrong with a field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        self.errors.push(FieldProblem::new(field, code, message));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// 401: the caller has to prove who it is.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(401, "unauthenticated").detail("A valid credential is required.")
    }

    /// 404: there is nothing the caller may see. Foreign and missing rows answer with this same problem.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(404, "not_found").detail("There is no such resource.")
    }

    /// 500: the cause is in the log under the request id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(500, "internal").detail("The request could not be completed.")
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_members_of_rfc_9457_and_a_code() {
        let problem = Problem::new(422, "validation").field("name", "required", "is missing").retry_after(3);
        let body = serde_json::to_value(&problem).unwrap();
        assert_eq!(body["type"], "urn:stylobate:problem:validation");
        assert_eq!(body["title"], "Unprocessable Content");
        assert_eq!((&body["status"], &body["code"]), (&422.into(), &"validation".into()));
        assert_eq!(body["errors"][0]["field"], "name");
        assert!(body.get("detail").is_none() && body.get("retry_after_s").is_none());
    }
}
