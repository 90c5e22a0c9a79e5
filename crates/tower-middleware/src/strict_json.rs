use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, OptionalFromRequest},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use stylobate_core::Problem;

use crate::{
    ApiError,
    body_limit::{BODY_BYTES_MAX, BodyBytesMax, too_large},
    field_error::field_problem,
};

/// How long a body may take to arrive (SECURITY A28).
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A JSON body, read strictly; as an answer, plain JSON.
///
/// | what is wrong | answer |
/// |---|---|
/// | `Content-Type` is not `application/json` (any charset but UTF-8, or two of them) | 415 `unsupported_media_type` |
/// | more bytes than the [limit](crate::BodyLimitLayer) | 413 `body_too_large` |
/// | not there within 10 s | 408 `body_timeout` |
/// | not JSON, or nested deeper than 128 | 400 `malformed_json` |
/// | unknown (where the type says `deny_unknown_fields`), missing, doubled or mistyped field, NUL in a text | 422 `validation` |
///
/// As an `Option` it is `None` when there is neither a body nor a `Content-Type`.
#[derive(Debug, Clone, Copy, Default)]
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned> StrictJson<T> {
    /// Reads a value that was put together from a body, for example by a merge patch, as strictly as a body.
    ///
    /// # Errors
    /// 422 `validation` with the field that is unknown, missing or mistyped.
    pub fn from_value(value: Value) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(value).map_err(
            |error: serde_path_to_error::Error<serde_json::Error>| {
                ApiError::fields(vec![field_problem(error.path(), &error.inner().to_string())])
            },
        )
    }
}

impl<T, S> FromRequest<S> for StrictJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let bytes = read(request).await?;
        parse(&bytes).map(Self)
    }
}

impl<T, S> OptionalFromRequest<S> for StrictJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Option<Self>, ApiError> {
        let untyped = !request.headers().contains_key(header::CONTENT_TYPE);
        let typed = if untyped { Ok(()) } else { require_json(request.headers()) };
        let bytes = typed.map(|()| read(request))?.await?;
        match (untyped, bytes.is_empty()) {
            (true, true) => Ok(None),
            (true, false) => Err(unsupported()),
            (false, _) => parse(&bytes).map(|value| Some(Self(value))),
        }
    }
}

impl<T: Serialize> IntoResponse for StrictJson<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Only `application/json`: everything a form or a plain cross-site request can send is refused (SECURITY A21, C26).
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let line = lines.next().and_then(|line| line.to_str().ok());
    let sound = lines.next().is_none() && line.is_some_and(is_json);
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes() == b"identity");
    if sound && plain { Ok(()) } else { Err(unsupported()) }
}

fn is_json(line: &str) -> bool {
    let mut parts = line.split(';').map(str::trim);
    // The usual spelling first: it needs no splitting of parameters.
    let media = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    media
        && parts.all(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
        })
}

fn unsupported() -> ApiError {
    Problem::new(415, "unsupported_media_type")
        .detail("The body must be `application/json`, uncompressed.")
        .into()
}

async fn read(request: Request<Body>) -> Result<Bytes, ApiError> {
    let limit = request.extensions().get::<BodyBytesMax>().map_or(BODY_BYTES_MAX, |limit| limit.0);
    read_body(request.into_body(), limit).await
}

/// Reads all of a body of at most `bytes_max` bytes.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let collecting = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(READ_LIMIT, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_large(&*error) => Err(too_large().into()),
        // The client went away or broke the framing; nobody reads this.
        Ok(Err(_)) => {
            Err(Problem::new(400, "body_broken").detail("The body ended before it was complete.").into())
        }
        Err(_) => Err(Problem::new(408, "body_timeout").detail("The body did not arrive in time.").into()),
    }
}

/// The limit may be reached here or in the layer around, which wraps its error.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if has_nul(bytes)
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        let mut place = Vec::new();
        if holds_nul(&value, &mut place) {
            place.reverse();
            return Err(ApiError::field(place.join("."), "invalid", "must not hold NUL"));
        }
    }
    // serde would fill the fields of a struct from an array, by position.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
        return Err(ApiError::field("", "invalid", "must be an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| refusal(&error, bytes))?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>, bytes: &[u8]) -> ApiError {
    let json = error.inner();
    if !json.is_data() {
        // serde_json calls a number or an array where it looks for the name of an enum's variant bad syntax.
        return match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Ok(_) if json.to_string().starts_with("expected value ") => {
                ApiError::fields(vec![field_problem(error.path(), "invalid type: , expected a string")])
            }
            _ => malformed(json),
        };
    }
    let text = json.to_string();
    // serde_json ends its messages with the position.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    ApiError::fields(vec![field_problem(error.path(), message)])
}

fn malformed(error: &serde_json::Error) -> ApiError {
    let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
    Problem::new(400, "malformed_json").detail(detail).into()
}

/// Whether an escape for NUL stands in the text. PostgreSQL takes no NUL in texts, and nothing sound contains one.
fn has_nul(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| window == b"\\u0000")
}

fn holds_nul(value: &Value, place: &mut Vec<String>) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().enumerate().any(|(index, item)| {
            let found = holds_nul(item, place);
            if found {
                place.push(index.to_string());
            }
            found
        }),
        Value::Object(fields) => fields.iter().any(|(name, item)| {
            let found = name.contains('\0') || holds_nul(item, place);
            if found {
                place.push(name.replace('\0', ""));
            }
            found
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use stylobate_core::FieldProblem;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Role {
        name: String,
        level: u8,
        #[serde(default)]
        tags: Vec<Tag>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Tag {
        color: Color,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Color {
        Red,
        Blue,
    }

    fn refused(body: &str) -> (u16, String, FieldProblem) {
        let error = parse::<Role>(body.as_bytes()).unwrap_err();
        let problem = error.problem().clone();
        let field = problem.errors.first().cloned().unwrap_or(FieldProblem::new("", "", ""));
        (problem.status, problem.code.into_owned(), field)
    }

    #[test]
    fn each_wrong_field_is_named_with_its_code_and_never_with_its_value() {
        for (body, field, code) in [
            (r#"{"name":"a","level":1,"canary":2}"#, "canary", "unknown"),
            (r#"{"name":"a"}"#, "level", "required"),
            (r#"{"name":"a","level":1,"name":"b"}"#, "name", "duplicate"),
            (r#"{"name":7,"level":1}"#, "name", "invalid_type"),
            (r#"{"name":"a","level":"canary, expected canary"}"#, "level", "invalid_type"),
            (r#"{"name":"a","level":300}"#, "level", "invalid"),
            (
                r#"{"name":"a","level":1,"tags":[{"color":"red"},{"color":"canary"}]}"#,
                "tags.1.color",
                "invalid",
            ),
            (r#"{"name":"a","level":1,"tags":[{"color":5}]}"#, "tags.0.color", "invalid_type"),
            (r#"{"name":"a","level":1,"tags":[{"color":["red"]}]}"#, "tags.0.color", "invalid_type"),
            (r#"{"name":"a","level":1,"tags":[{}]}"#, "tags.0.color", "required"),
            (r#"{"name":"a","level":1,"tags":[{"color":"red","x":1}]}"#, "tags.0.x", "unknown"),
            (r#"{"name":"a\u0000","level":1}"#, "name", "invalid"),
            (r#"{"name":"a","level":1,"tags":[{"color":"\u0000"}]}"#, "tags.0.color", "invalid"),
            (r"[]", "", "invalid"),
            (r"null", "", "invalid_type"),
            (r#""canary""#, "", "invalid_type"),
        ] {
            let (status, problem, found) = refused(body);
            assert_eq!((status, problem.as_str()), (422, "validation"), "{body}");
            assert_eq!((found.field.as_str(), &*found.code), (field, code), "{body}");
            assert!(!found.message.contains("canary"), "{}", found.message);
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [
            "",
            "{",
            r#"{"name":"a",}"#,
            "nul",
            "{'a':1}",
            "\u{feff}{}",
            r#"{"level":1e400}"#,
            "01",
            r#"{"name":"a","level":1} x"#,
        ] {
            let (status, code, _) = refused(body);
            assert_eq!((status, code.as_str()), (400, "malformed_json"), "{body}"); // A28
        }
        assert!(parse::<Role>(b"{\"name\":\"\xff\",\"level\":1}").is_err());
        let deep = parse::<Value>("[".repeat(10_000).as_bytes()).unwrap_err();
        assert_eq!(deep.problem().code, "malformed_json"); // C42
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        let role: Role = parse(br#"{"name":"a\\u0000","level":1}"#).unwrap();
        assert_eq!(role.name, r"a\u0000");
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/json; charset=utf-16",
            "application/json; x=y",
            "application/json;",
            "application/x-www-form-urlencoded; application/json",
            "multipart/form-data; boundary=application/json",
            "application/ json",
        ] {
            assert!(!is_json(bad), "{bad}"); // A21, C26
        }
    }
}
