//! Forms of pages: what was sent, and what a page says of a refusal.

use axum::{extract::rejection::FormRejection, http::StatusCode};
use stylobate::{
    core::{FieldProblem, Problem},
    middleware::ApiError,
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

/// What a page lists of a refusal that its reader can mend; anything else is an error of its own.
pub(crate) fn problems_of(error: ApiError) -> Result<(StatusCode, Vec<FieldProblem>), ApiError> {
    let problem = error.problem();
    if problem.status >= 500 {
        return Err(error);
    }
    let mut problems = problem.errors.clone();
    if problems.is_empty() {
        problems.push(FieldProblem::new("", "refused", problem.detail.clone().unwrap_or_default()));
    }
    Ok((error.status(), problems))
}
