//! The OpenAPI document of a set of routes.

use http::Method;
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, Deprecated, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, PathItem, PathsBuilder, Ref, ResponseBuilder,
    extensions::Extensions,
    path::OperationBuilder,
    schema::{ArrayBuilder, Type},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use stylobate_tower_middleware::Permission;

use super::{Route, ids};
use crate::Alias;

/// What the document says about the API as a whole.
#[derive(Debug, Clone)]
pub struct ApiInfo {
    /// Its name.
    pub title: String,
    /// Its version.
    pub version: String,
}

const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";
const SECRET: &str = "internal_secret";

pub(super) fn document<'a>(
    info: &ApiInfo,
    aliases: &[Alias],
    routes: impl Iterator<Item = &'a Route>,
) -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = components();
    for route in routes {
        let ids = serde_json::to_value(ids::ids(route)).unwrap_or_default();
        let mut extensions = Extensions::from_iter([("x-ids", ids)]);
        let mut operation = OperationBuilder::from(route.operation.clone())
            .operation_id(Some(operation_id(route.method(), route.path())));
        match route.permission() {
            Permission::Public(reason) => {
                operation = operation.description(Some(format!("Public: {reason}.")))
            }
            Permission::Authenticated => {
                operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
            }
            Permission::AnyCredential => {
                operation = operation
                    .security(SecurityRequirement::new(BEARER, Vec::<String>::new()))
                    .security(SecurityRequirement::new(API_KEY, Vec::<String>::new()));
            }
            Permission::Key(key) => {
                operation = operation
                    .security(SecurityRequirement::new(BEARER, Vec::<String>::new()))
                    .security(SecurityRequirement::new(API_KEY, Vec::<String>::new()));
                extensions.merge(Extensions::from_iter([("x-permission", key)]));
                let mut needs = format!("Needs the permission `{key}`");
                if route.takes_internal_secret() {
                    needs += ", or the internal secret";
                    operation = operation.security(SecurityRequirement::new(SECRET, Vec::<String>::new()));
                }
                operation = operation.description(Some(needs + "."));
            }
        }
        let problem = ResponseBuilder::new()
            .description("Refused or failed (RFC 9457)")
            .content("application/problem+json", Content::new(Some(Ref::from_schema_name("Problem"))));
        let operation = operation.extensions(Some(extensions)).response("default", problem.build()).build();
        for alias in aliases.iter().filter(|alias| alias.canonical == route.path()) {
            let id = operation_id(route.method(), alias.path) + "_alias";
            let old = OperationBuilder::from(operation.clone())
                .operation_id(Some(id))
                .deprecated(Some(Deprecated::True));
            paths = paths.path(alias.path, PathItem::new(http_method(route.method()), old.build()));
        }
        paths = paths.path(route.path(), PathItem::new(http_method(route.method()), operation));
        for (name, schema) in &route.schemas {
            components = components.schema(name.clone(), schema.clone());
        }
    }
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title(info.title.clone()).version(info.version.clone()).build())
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

fn components() -> ComponentsBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Integer);
    let field = ObjectBuilder::new()
        .property("field", text())
        .property("code", text())
        .property("message", text())
        .required("field")
        .required("code")
        .required("message");
    let problem = ObjectBuilder::new()
        .property("type", text())
        .property("title", text())
        .property("status", number())
        .property("code", text())
        .property("detail", text())
        .property("request_id", text())
        .property("errors", ArrayBuilder::new().items(field))
        .required("type")
        .required("title")
        .required("status")
        .required("code");
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    ComponentsBuilder::from(Components::new())
        .schema("Problem", problem.build())
        .security_scheme(BEARER, SecurityScheme::Http(bearer))
        .security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key"))))
        .security_scheme(
            SECRET,
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Internal-Secret"))),
        )
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// `get_roles_id_permissions` for `GET /roles/{id}/permissions`.
fn operation_id(method: &Method, path: &str) -> String {
    let mut id = method.as_str().to_ascii_lowercase();
    for part in path.split(['/', '{', '}', '-', '.']).filter(|part| !part.is_empty()) {
        id.push('_');
        id.push_str(part);
    }
    id
}
