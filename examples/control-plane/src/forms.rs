//! Forms of pages: what was sent, and what a page says of a refusal.

use axum::{
    extract::rejection::FormRejection,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use stylobate::{
    core::{FieldProblem, Problem},
    middleware::{ApiError, CspNonce},
};

/// What was sent is not what the page sends.
pub(crate) fn not_the_form(rejection: FormRejection) -> ApiError {
    match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(415, "unsupported_media_type")
            .detail("The body must be `application/x-www-form-urlencoded`.")
            .into(),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(413, "body_too_large").detail("The body is larger than this route accepts.").into()
        }
        _ => ApiError::field("form", "invalid", "lacks a field, or has one too many"),
    }
}

/// What a page is answered with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageStatus {
    code: StatusCode,
    retry_after_s: Option<u64>,
}

impl From<StatusCode> for PageStatus {
    fn from(code: StatusCode) -> Self {
        Self { code, retry_after_s: None }
    }
}

impl PageStatus {
    /// A page with a form as an answer.
    ///
    /// Without any referrer, browsers send a form as from nowhere (`Origin: null`, Fetch §3.2), as pages of others do that hide where
    /// they are. So its own server is told; a token in the address stays with it.
    pub(crate) fn answer(self, nonce: CspNonce, html: String) -> Response {
        let referrer = [(header::REFERRER_POLICY, "same-origin")];
        let mut response = (self.code, nonce, referrer, Html(html)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What a page lists of a refusal that its reader can mend; anything else is an error of its own.
pub(crate) fn problems_of(error: ApiError) -> Result<(PageStatus, Vec<FieldProblem>), ApiError> {
    let problem = error.problem();
    if problem.status >= 500 {
        return Err(error);
    }
    let mut problems = problem.errors.clone();
    if problems.is_empty() {
        problems.push(FieldProblem::new("", "refused", problem.detail.clone().unwrap_or_default()));
    }
    Ok((PageStatus { code: error.status(), retry_after_s: problem.retry_after_s }, problems))
}
