use http::Method;

use crate::ApiError;

/// Answers what no route matches: 404 `not_found`, the same as for a missing row. For `Router::fallback`.
pub async fn not_found() -> ApiError {
    ApiError::not_found()
}

/// Answers a method that the matched route does not have: 405 `method_not_allowed`; the router adds `Allow`. For
/// `Router::method_not_allowed_fallback`.
pub async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::method_not_allowed(&method)
}
