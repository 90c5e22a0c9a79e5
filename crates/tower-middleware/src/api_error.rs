use std::{error::Error as StdError, fmt, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use stylobate_core::{FieldProblem, Problem, RequestId};

use crate::problem_table::IntoProblem;

/// The media type of a problem (RFC 9457 §6.1).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What handlers and extractors return.
pub type ApiResult<T> = Result<T, ApiError>;

/// A refusal on its way to the caller: a [`Problem`] as a response.
///
/// Answers `application/problem+json` with `Cache-Control: no-store`, `Retry-After` where the problem has one, and
/// `WWW-Authenticate: Bearer` with 401 (RFC 6750 §3). [`EdgeLayer`](crate::EdgeLayer) fills in the request id.
#[derive(Debug, Clone)]
pub struct ApiError {
    problem: Box<Problem>,
    challenge: HeaderValue,
}

/// The problem behind a response, kept beside it until the edge has filled in the request id.
#[derive(Clone)]
pub(crate) struct ProblemBody(Arc<Problem>);

impl ApiError {
    /// 500: logs `cause` with its sources, and tells the caller nothing of it.
    pub fn internal(cause: impl StdError + 'static) -> Self {
        log_cause("internal", &cause);
        Problem::internal().into()
    }

    /// 422 `validation` about one field.
    pub fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldProblem::new(field, code, message)])
    }

    /// 422 `validation` about several fields.
    #[must_use]
    pub fn fields(errors: Vec<FieldProblem>) -> Self {
        let problem = Problem::new(422, "validation").detail("The request does not have the expected form.");
        Problem { errors, ..problem }.into()
    }

    /// 404: there is nothing the caller may see.
    #[must_use]
    pub fn not_found() -> Self {
        Problem::not_found().into()
    }

    /// 405: the resource is there, and does not support `method`.
    #[must_use]
    pub fn method_not_allowed(method: &Method) -> Self {
        let detail = format!("The resource does not support {method}.");
        Problem::new(405, "method_not_allowed").detail(detail).into()
    }

    /// 401 for a credential that was presented and is not valid (RFC 6750 §3.1).
    #[must_use]
    pub fn invalid_token() -> Self {
        let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        Self { problem: Box::new(Problem::unauthenticated()), challenge }
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The status that will be answered.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Logs why a request failed, once, at the place where the cause is turned into a problem.
pub(crate) fn log_cause(code: &str, cause: &(dyn StdError + 'static)) {
    tracing::error!(code, error = cause, "the request failed");
}

impl<E: IntoProblem> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self { problem: Box::new(error.into_problem()), challenge: HeaderValue::from_static("Bearer") }
    }
}

impl IntoProblem for Problem {
    fn into_problem(self) -> Problem {
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.problem.status, self.problem.code)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = Response::new(body_of(&self.problem));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, self.challenge);
        }
        response.extensions_mut().insert(ProblemBody(Arc::from(self.problem)));
        response
    }
}

/// The code of the problem that `response` carries.
pub(crate) fn problem_code(response: &Response) -> Option<&str> {
    response.extensions().get::<ProblemBody>().map(|body| body.0.code.as_ref())
}

/// Writes `id` into the problem that `response` carries, and turns bare refusals without a body (a router's 404 and 405)
/// into problems, so that every refusal looks alike.
pub(crate) fn name_request(response: &mut Response, id: RequestId) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return;
    }
    let mut problem = match response.extensions_mut().remove::<ProblemBody>() {
        Some(ProblemBody(problem)) if problem.request_id.is_none() => Arc::unwrap_or_clone(problem),
        Some(_) => return,
        None => match bare(response) {
            Some(problem) => problem,
            None => return,
        },
    };
    problem.request_id = Some(id);
    *response.body_mut() = body_of(&problem);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    response.extensions_mut().insert(ProblemBody(Arc::new(problem)));
}

fn bare(response: &Response) -> Option<Problem> {
    let empty = http_body::Body::size_hint(response.body()).exact() == Some(0);
    if !empty || response.headers().contains_key(header::CONTENT_TYPE) {
        return None;
    }
    let status = response.status().as_u16();
    let code = match status {
        401 => return Some(Problem::unauthenticated()),
        404 => return Some(Problem::not_found()),
        500 => return Some(Problem::internal()),
        403 => "permission_denied",
        405 => "method_not_allowed",
        413 => "body_too_large",
        415 => "unsupported_media_type",
        503 => "unavailable",
        501.. => "internal",
        _ => "bad_request",
    };
    Some(Problem::new(status, code))
}

fn body_of(problem: &Problem) -> Body {
    // Strings and numbers always serialise.
    Body::from(serde_json::to_vec(problem).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_answers_with_its_status_type_and_headers() {
        let response = ApiError::from(Problem::new(503, "busy").retry_after(7)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
        assert!(text(response).await.contains(r#""code":"busy""#));
    }

    #[test]
    fn a_401_names_the_scheme_and_says_when_a_token_was_bad() {
        let none = ApiError::from(Problem::unauthenticated()).into_response();
        assert_eq!(none.headers()[header::WWW_AUTHENTICATE], "Bearer");
        let bad = ApiError::invalid_token().into_response();
        assert_eq!(bad.headers()[header::WWW_AUTHENTICATE], r#"Bearer error="invalid_token""#);
    }

    #[tokio::test]
    async fn an_inner_error_stays_inside() {
        let cause = std::io::Error::other("canary: password=hunter2");
        let error = ApiError::internal(cause);
        assert_eq!(error.to_string(), "500 internal");
        assert!(!text(error.into_response()).await.contains("canary")); // A24
    }

    #[tokio::test]
    async fn the_request_id_is_written_once_and_answers_that_are_no_refusals_stay() {
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
        let mut refused = ApiError::from(Problem::not_found()).into_response();
        name_request(&mut refused, id);
        name_request(&mut refused, RequestId::from_uuid(uuid::Uuid::from_u128(8)));
        assert!(text(refused).await.contains(&id.to_string()));
        let mut done = Response::new(Body::from("x"));
        name_request(&mut done, id);
        assert_eq!(text(done).await, "x");
        let mut page = (StatusCode::NOT_FOUND, "a page").into_response();
        name_request(&mut page, id);
        assert_eq!(text(page).await, "a page");
        let mut bare = StatusCode::METHOD_NOT_ALLOWED.into_response();
        name_request(&mut bare, id);
        assert!(text(bare).await.contains(r#""code":"method_not_allowed""#));
    }
}
