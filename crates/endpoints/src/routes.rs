//! The only way to add a route: what it answers to, who may call it, and how it is documented, in one place.

mod document;
mod ids;
mod route;

use axum::{Router, handler::Handler, middleware::map_response, response::Response, routing::MethodRouter};
use stylobate_tower_middleware::{PermissionGuardLayer, TenantHintLayer, method_not_allowed, not_found};

use crate::{Alias, paths::DEPRECATED_SINCE};

pub use document::ApiInfo;
pub use ids::{IdKind, IdPosition};
pub use route::{Route, RouteRow};

/// A set of routes. It becomes an axum router, an OpenAPI document and the rows of a test matrix, so the three cannot
/// disagree.
#[derive(Default)]
pub struct Routes {
    entries: Vec<Entry>,
}

struct Entry {
    route: Route,
    handler: MethodRouter,
}

impl Routes {
    /// No routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `route`, answered by `handler` with `state`.
    #[must_use]
    pub fn add<H, T, S>(mut self, route: Route, state: &S, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let filter = route.method_filter();
        let handler = MethodRouter::new().on(filter, handler).with_state(state.clone());
        self.entries.push(Entry { route, handler });
        self
    }

    /// Adds all routes of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// What is there, in the order it was added.
    #[must_use]
    pub fn rows(&self) -> Vec<RouteRow> {
        self.entries.iter().map(|entry| entry.route.row()).collect()
    }

    /// The distinct path templates.
    #[must_use]
    pub fn templates(&self) -> Vec<&'static str> {
        let mut templates: Vec<_> = self.entries.iter().map(|entry| entry.route.path()).collect();
        templates.sort_unstable();
        templates.dedup();
        templates
    }

    /// What is wrong with the ids that routes take, in words: one whose kind neither its name nor its place in the path tells and
    /// that no route [says](Route::id), or something said about what the route does not take. Empty when all is well.
    #[must_use]
    pub fn id_problems(&self) -> Vec<String> {
        self.entries.iter().flat_map(|entry| ids::problems(&entry.route)).collect()
    }

    /// Method and template of the routes that do not care who asks: public ones that do not
    /// [read the credential](Route::reads_credential).
    #[must_use]
    pub fn open_routes(&self) -> Vec<(http::Method, &'static str)> {
        let open = self.entries.iter().filter(|entry| entry.route.is_open());
        open.map(|entry| (entry.route.method().clone(), entry.route.path())).collect()
    }

    /// The OpenAPI 3.1 document; `aliases` appear in it as deprecated.
    #[must_use]
    pub fn document(&self, info: &ApiInfo, aliases: &[Alias]) -> utoipa::openapi::OpenApi {
        document::document(info, aliases, self.entries.iter().map(|entry| &entry.route))
    }

    /// Makes the router. `guard` gives each route the layer that lets only permitted principals through; it is asked about
    /// the route's permission, never about the path of a request. Inside it, `hints` holds requests to the organisation that they
    /// name in ways the route does not know.
    #[expect(clippy::disallowed_methods, reason = "this is what the lint points to")]
    pub fn into_router(
        self,
        hints: &TenantHintLayer,
        guard: impl Fn(&Route) -> PermissionGuardLayer,
    ) -> Router {
        let mut router = Router::new();
        for entry in self.entries {
            let mut hints = hints.clone().beside(&entry.route.query_names());
            if entry.route.is_open() {
                hints = hints.ignoring();
            }
            // The one that is added last is met first.
            let mut guarded = entry.handler.route_layer(hints).route_layer(guard(&entry.route));
            if entry.route.is_deprecated() {
                guarded = guarded.layer(map_response(deprecated));
            }
            router = router.route(entry.route.path(), guarded);
        }
        router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
    }
}

/// Says to callers what the document says to readers (RFC 9745).
async fn deprecated(mut response: Response) -> Response {
    response.headers_mut().insert("deprecation", DEPRECATED_SINCE);
    response
}
