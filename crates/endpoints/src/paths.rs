//! One table of paths, read before routing: prefixes under which everything answers, and other names of routes.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::extract::{OriginalUri, Request};
use http::{HeaderValue, Uri, header, uri::PathAndQuery};
use tower::{Layer, Service};

pub use future::PathFuture;

/// Another name of a route, kept for callers of an older system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The other path template.
    pub path: &'static str,
    /// The canonical template, with the same parameters.
    pub canonical: &'static str,
}

/// Rewrites the path of a request to the canonical one before it is routed: routes exist once, whatever they are called.
///
/// Rules, in this order; the first that finds a known template wins:
/// 1. the path as it is;
/// 2. the path without one of the prefixes, longest first, where that is a route;
/// 3. the same, where it is an alias: with the prefixes `/api` and `/api/v1`, `/api/v1/orgs` is the route `/v1/orgs` and not the alias
///    `/orgs`.
///
/// Whoever needs the path as it was sent finds it as axum's `OriginalUri`.
///
/// A path reached by an alias is answered with `Deprecation` (RFC 9745) and `Link: rel="successor-version"` (RFC 5829).
#[derive(Clone)]
pub struct PathTable {
    inner: Arc<Inner>,
}

struct Inner {
    prefixes: Vec<&'static str>,
    known: matchit::Router<Option<&'static str>>,
}

/// A path table that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("the path template `{template}` cannot be added: {reason}")]
pub struct PathTableInvalid {
    template: String,
    reason: String,
}

impl PathTable {
    /// A table of the routes `templates` that answers under `prefixes` too, and to `aliases`.
    ///
    /// # Errors
    /// [`PathTableInvalid`] when an alias shadows a route or another alias.
    pub fn new(
        templates: &[&'static str],
        prefixes: &[&'static str],
        aliases: &[Alias],
    ) -> Result<Self, PathTableInvalid> {
        let mut known = matchit::Router::new();
        let mut add = |template: &'static str, canonical| {
            known.insert(template, canonical).map_err(|error| PathTableInvalid {
                template: template.to_owned(),
                reason: error.to_string(),
            })
        };
        for template in templates {
            add(template, None)?;
        }
        for alias in aliases {
            add(alias.path, Some(alias.canonical))?;
        }
        let mut prefixes = prefixes.to_vec();
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        Ok(Self { inner: Arc::new(Inner { prefixes, known }) })
    }

    /// The canonical path, when it differs, and whether an alias led there.
    fn canonical(&self, path: &str) -> Option<(String, bool)> {
        if let Some(found) = self.lookup(path) {
            return found.map(|canonical| (canonical, true));
        }
        let mut successor = None;
        for prefix in &self.inner.prefixes {
            let Some(rest) = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')) else { continue };
            match self.lookup(rest) {
                Some(None) => return Some((rest.to_owned(), false)),
                Some(canonical) => successor = successor.or(canonical),
                None => {}
            }
        }
        successor.map(|canonical| (canonical, true))
    }

    /// `None` when the path is unknown, `Some(None)` when it is canonical.
    fn lookup(&self, path: &str) -> Option<Option<String>> {
        let found = self.inner.known.at(path).ok()?;
        let Some(template) = found.value else { return Some(None) };
        let parts = template.split('/').map(|part| {
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            name.and_then(|name| found.params.get(name)).unwrap_or(part)
        });
        Some(Some(parts.collect::<Vec<_>>().join("/")))
    }
}

impl<S> Layer<S> for PathTable {
    type Service = PathService<S>;

    fn layer(&self, inner: S) -> PathService<S> {
        PathService { inner, table: self.clone() }
    }
}

/// The service of [`PathTable`].
#[derive(Clone)]
pub struct PathService<S> {
    inner: S,
    table: PathTable,
}

impl<S, B> Service<Request> for PathService<S>
where
    S: Service<Request, Response = http::Response<B>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<B>;
    type Error = S::Error;
    type Future = PathFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut successor = None;
        if let Some((path, is_alias)) = self.table.canonical(request.uri().path())
            && let Some(uri) = with_path(request.uri(), &path)
        {
            if is_alias {
                successor = HeaderValue::try_from(format!("<{path}>; rel=\"successor-version\"")).ok();
            }
            let sent = std::mem::replace(request.uri_mut(), uri);
            // Signatures cover the path as it was sent: around a router that is nested, axum knows the outer one already.
            request.extensions_mut().get_or_insert_with(|| OriginalUri(sent));
        }
        PathFuture::new(self.inner.call(request), successor)
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// 21 November 2026: the day the names of older systems were deprecated, as RFC 9745 §2.1 wants it.
pub(crate) const DEPRECATED_SINCE: HeaderValue = HeaderValue::from_static("@1795219200");

fn mark<B>(response: &mut http::Response<B>, successor: HeaderValue) {
    response.headers_mut().insert("deprecation", DEPRECATED_SINCE);
    response.headers_mut().append(header::LINK, successor);
}

mod future {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use http::HeaderValue;
    use pin_project_lite::pin_project;

    pin_project! {
        /// The future of [`PathService`](super::PathService).
        pub struct PathFuture<F> {
            #[pin]
            inner: F,
            successor: Option<HeaderValue>,
        }
    }

    impl<F> PathFuture<F> {
        pub(super) fn new(inner: F, successor: Option<HeaderValue>) -> Self {
            Self { inner, successor }
        }
    }

    impl<F, B, E> Future for PathFuture<F>
    where
        F: Future<Output = Result<http::Response<B>, E>>,
    {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            let this = self.project();
            let mut result = ready!(this.inner.poll(cx));
            if let (Ok(response), Some(successor)) = (&mut result, this.successor.take()) {
                super::mark(response, successor);
            }
            Poll::Ready(result)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PathTable {
        let aliases = [
            Alias { path: "/rbac/roles/{id}", canonical: "/roles/{id}" },
            Alias { path: "/v1/audit/logs", canonical: "/audit-events" },
        ];
        PathTable::new(&["/roles/{id}", "/audit-events", "/docs"], &["/api", "/api/v1"], &aliases).unwrap()
    }

    #[test]
    fn every_route_answers_under_every_prefix() {
        for path in ["/api/roles/7", "/api/v1/roles/7"] {
            assert_eq!(table().canonical(path), Some(("/roles/7".to_owned(), false)), "{path}");
        }
        assert_eq!(table().canonical("/roles/7"), None);
    }

    #[test]
    fn aliases_keep_their_parameters_and_are_marked() {
        for path in ["/rbac/roles/7", "/api/rbac/roles/7", "/api/v1/rbac/roles/7"] {
            assert_eq!(table().canonical(path), Some(("/roles/7".to_owned(), true)), "{path}");
        }
        for path in ["/v1/audit/logs", "/api/v1/audit/logs"] {
            assert_eq!(table().canonical(path), Some(("/audit-events".to_owned(), true)), "{path}");
        }
    }

    #[test]
    fn a_route_whose_name_holds_a_prefix_wins_over_an_alias_without() {
        let aliases = [Alias { path: "/orgs/{id}", canonical: "/v1/orgs/{id}" }];
        let table = PathTable::new(&["/v1/orgs/{id}"], &["/api", "/api/v1"], &aliases).unwrap();
        assert_eq!(table.canonical("/v1/orgs/7"), None);
        for path in ["/api/v1/orgs/7", "/api/v1/v1/orgs/7"] {
            assert_eq!(table.canonical(path), Some(("/v1/orgs/7".to_owned(), false)), "{path}");
        }
        for path in ["/orgs/7", "/api/orgs/7"] {
            assert_eq!(table.canonical(path), Some(("/v1/orgs/7".to_owned(), true)), "{path}");
        }
    }

    #[tokio::test]
    async fn the_path_as_it_was_sent_travels_beside_the_one_that_is_routed() {
        let inner = tower::service_fn(async |request: Request| {
            let sent = request.extensions().get::<OriginalUri>().map(|sent| sent.0.to_string());
            let seen = format!("{} {}", request.uri(), sent.unwrap_or_default());
            Ok::<_, std::convert::Infallible>(http::Response::new(seen))
        });
        for (path, seen) in [
            ("/api/v1/roles/7?a=b", "/roles/7?a=b /api/v1/roles/7?a=b"),
            ("/v1/audit/logs", "/audit-events /v1/audit/logs"),
            ("/roles/7", "/roles/7 "),
        ] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            let answer = tower::ServiceExt::oneshot(table().layer(inner), request).await.unwrap();
            assert_eq!(answer.into_body(), seen);
        }
    }

    #[tokio::test]
    async fn whoever_rewrote_the_path_before_knows_how_it_was_sent() {
        let inner = tower::service_fn(async |request: Request| {
            let sent = request.extensions().get::<OriginalUri>().map(|sent| sent.0.to_string());
            Ok::<_, std::convert::Infallible>(http::Response::new(sent))
        });
        let mut request = Request::get("/api/v1/roles/7").body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(OriginalUri(Uri::from_static("/outer/api/v1/roles/7")));
        let answer = tower::ServiceExt::oneshot(table().layer(inner), request).await.unwrap();
        assert_eq!(answer.into_body().as_deref(), Some("/outer/api/v1/roles/7"));
    }

    // C22
    #[test]
    fn look_alikes_of_a_route_are_not_rewritten() {
        for path in [
            "/api/v1",
            "/apix/roles/7",
            "/api/v1/roles/7/",
            "/api//roles/7",
            "/api/v1/api/roles/7",
            "/API/roles/7",
        ] {
            assert_eq!(table().canonical(path), None, "{path}");
        }
    }

    #[test]
    fn an_alias_that_shadows_a_route_is_refused() {
        let alias = Alias { path: "/docs", canonical: "/roles/{id}" };
        assert!(PathTable::new(&["/docs"], &[], &[alias]).is_err());
    }
}
