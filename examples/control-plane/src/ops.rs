//! What the product says about itself: its version and its API documents.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use stylobate::{
    endpoints::{ApiInfo, Permission, Route, Routes},
    middleware::ContentPolicy,
};
use utoipa::ToSchema;

use crate::router;

const TAG: &str = "operations";

#[derive(Serialize, ToSchema)]
struct Version {
    name: &'static str,
    version: &'static str,
    /// What is compiled in.
    features: &'static [&'static str],
}

pub(crate) fn version_routes() -> Routes {
    let reason = Permission::Public("the version of the API is what clients adapt to");
    let route =
        Route::get("/version", reason).tag(TAG).summary("The version that runs").returns::<Version>(200);
    Routes::new().add(route, &(), async || {
        Json(Version {
            name: "stylobate control plane",
            version: stylobate::VERSION,
            features: stylobate::features(),
        })
    })
}

/// Adds the API documents to `routes`, which they describe together with themselves.
pub(crate) fn with_documents(routes: Routes, is_public: bool) -> Routes {
    let permission = if is_public {
        Permission::Public("the API documents are open by configuration")
    } else {
        Permission::Key("docs.read")
    };
    let asset = Permission::Public("a library published by others");
    let page = |path, summary| {
        Route::get(path, permission).tag(TAG).summary(summary).answers(200, Some("text/html"))
    };
    let file = |path, media| {
        Route::get(path, asset).tag(TAG).summary("A library of the documents").answers(200, Some(media))
    };
    let document = Route::get("/openapi.json", permission).tag(TAG).summary("The API document (OpenAPI 3.1)");
    let document = document.answers(200, Some("application/json"));
    // The document describes its own route as well, so the route is added before the document is made.
    let cell: Arc<std::sync::OnceLock<String>> = Arc::default();
    let routes = routes
        .add(document, &Arc::clone(&cell), openapi)
        .add(page("/docs", "The API documents, to read and try"), &(), async || viewer(SWAGGER_UI))
        .add(page("/redoc", "The API documents, to read"), &(), async || viewer(REDOC))
        .add(file("/docs/swagger-ui.css", "text/css"), &(), async || {
            library("text/css", include_bytes!("../assets/swagger-ui/swagger-ui.css"))
        })
        .add(file("/docs/swagger-ui-bundle.js", "text/javascript"), &(), async || {
            library("text/javascript", include_bytes!("../assets/swagger-ui/swagger-ui-bundle.js"))
        })
        .add(file("/docs/start.js", "text/javascript"), &(), async || {
            library("text/javascript", SWAGGER_START.as_bytes())
        })
        .add(file("/redoc/redoc.standalone.js", "text/javascript"), &(), async || {
            library("text/javascript", include_bytes!("../assets/redoc/redoc.standalone.js"))
        });
    let text = routes.document(&api_info(), router::ALIASES).to_json().unwrap_or_default();
    // The cell is new, so this sets it.
    let _ = cell.set(text);
    routes
}

/// What the API document says about the API as a whole.
pub(crate) fn api_info() -> ApiInfo {
    ApiInfo { title: "Stylobate control plane".to_owned(), version: stylobate::VERSION.to_owned() }
}

async fn openapi(State(document): State<Arc<std::sync::OnceLock<String>>>) -> Response {
    let text = document.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn library(media_type: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, bytes).into_response()
}

/// Both viewers write styles into the page as they run; scripts still come from here alone.
const VIEWER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SWAGGER_UI: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API documents</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="docs/swagger-ui.css">
</head><body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script>
</body></html>"#;

const SWAGGER_START: &str =
    "SwaggerUIBundle({ url: 'openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });";

const REDOC: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API documents</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><redoc spec-url="openapi.json" disable-search="true"></redoc><script src="redoc/redoc.standalone.js"></script></body></html>"#;

fn viewer(page: &'static str) -> Response {
    let mut response = Html(page).into_response();
    if let Ok(policy) = ContentPolicy::parse(VIEWER_POLICY) {
        response.extensions_mut().insert(policy);
    }
    response
}
