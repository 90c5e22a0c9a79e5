mod unfit;

use axum::{
    body::Body,
    extract::{FromRequest, OptionalFromRequest},
    response::{IntoResponse, Response},
};
use http::{Request, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use stylobate_core::Problem;

use crate::{ApiError, body, field_error::field_problem};

const MEDIA: &str = "application/json";

/// A JSON body, read strictly; as an answer, plain JSON.
///
/// | what is wrong | answer |
/// |---|---|
/// | `Content-Type` is not `application/json` (any charset but UTF-8, or two of them) | 415 `unsupported_media_type` |
/// | more bytes than the [limit](crate::BodyLimitLayer) | 413 `body_too_large` |
/// | not there within 10 s | 408 `body_timeout` |
/// | not JSON, or nested deeper than 128 | 400 `malformed_json` |
/// | unknown (where the type says `deny_unknown_fields`), missing, doubled or mistyped field, NUL in a text, a name that begins with `$serde_json::private::` | 422 `validation` |
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
        body::require_media(request.headers(), MEDIA)?;
        let bytes = body::read(request).await?;
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
        let typed = if untyped { Ok(()) } else { body::require_media(request.headers(), MEDIA) };
        let bytes = typed.map(|()| body::read(request))?.await?;
        match (untyped, bytes.is_empty()) {
            (true, true) => Ok(None),
            (true, false) => Err(body::unsupported(MEDIA)),
            (false, _) => parse(&bytes).map(|value| Some(Self(value))),
        }
    }
}

impl<T: Serialize> IntoResponse for StrictJson<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if let Some(unfit) = unfit::find(bytes) {
        return Err(ApiError::field(unfit.place, "invalid", unfit.message));
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
}
