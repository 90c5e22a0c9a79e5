//! Where ids stand in requests, and of what they are. Whoever tests the walls between organisations puts ids of another
//! one there.

use serde::Serialize;
use utoipa::openapi::{
    KnownFormat, RefOr, Schema, SchemaFormat,
    path::ParameterIn,
    schema::{AdditionalProperties, ArrayItems, Object},
};

use super::Route;

/// Where an id stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdPosition {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the body; dots lead into objects and `[]` into lists: `items[].role_id`.
    Body,
}

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// An organisation.
    Org,
    /// A person, whose account it is or who belongs to an organisation.
    Person,
    /// A role.
    Role,
    /// A permission of the catalogue or of an organisation.
    Permission,
    /// A group of people.
    Group,
    /// An exception for one person.
    Override,
    /// An exception for one person and one resource.
    AclEntry,
    /// That a role has a permission.
    RolePermission,
    /// That a person has a role.
    PersonRole,
    /// A person, service account or group, as a field beside it says.
    Subject,
    /// An API key.
    ApiKey,
    /// A service account.
    ServiceAccount,
    /// A key that a service account signs with.
    ServiceKey,
    /// A session of a person.
    Session,
    /// A user name and password.
    Credential,
    /// An invitation.
    Invitation,
    /// An entry of the audit trail.
    AuditEvent,
    /// Whoever did what an entry of the audit trail tells.
    Actor,
    /// A request that was answered.
    Request,
    /// A background job.
    Job,
    /// A schedule of background jobs.
    Schedule,
    /// An event.
    Event,
    /// A webhook endpoint.
    Webhook,
    /// An attempt to tell a webhook endpoint of an event.
    WebhookDelivery,
    /// A notification.
    Notification,
    /// A channel that notifications go through.
    NotificationChannel,
    /// An attempt to send a notification.
    NotificationDelivery,
    /// An address that nothing is sent to.
    NotificationSuppression,
    /// A mail of the development outbox.
    Mail,
    /// Something that the caller names and nothing is looked up by.
    Resource,
    /// Where a page of a list begins whose items no path names.
    Cursor,
    /// Something of a service's own.
    #[serde(untagged)]
    Own(&'static str),
}

/// A kind, the segments of paths that its ids follow, and what parameters and fields that hold one are called, without `_id`.
const CONVENTION: &[(IdKind, &[&str], &[&str])] = &[
    (IdKind::Org, &["orgs", "organizations"], &["organization", "org", "tenant"]),
    (IdKind::Person, &["people", "users", "members"], &["person", "user", "owner", "recipient", "sender"]),
    (IdKind::Role, &["roles", "parents"], &["role", "parent"]),
    (IdKind::Permission, &["permissions"], &["permission"]),
    (IdKind::Group, &["groups"], &["group"]),
    (IdKind::Override, &["overrides"], &["override"]),
    (IdKind::AclEntry, &["acl-entries"], &[]),
    (IdKind::RolePermission, &["role-permissions"], &[]),
    (IdKind::PersonRole, &["person-roles"], &[]),
    (IdKind::Subject, &[], &["subject"]),
    (IdKind::ApiKey, &["api-keys"], &["api_key"]),
    (IdKind::ServiceAccount, &["service-accounts"], &["service_account"]),
    (IdKind::ServiceKey, &["keys"], &[]),
    (IdKind::Session, &["sessions"], &["session"]),
    (IdKind::Credential, &["user-credentials"], &["credential"]),
    (IdKind::Invitation, &["invitations"], &["invitation"]),
    (IdKind::AuditEvent, &["audit-events"], &[]),
    (IdKind::Actor, &[], &["actor"]),
    (IdKind::Request, &[], &["request"]),
    (IdKind::Job, &["jobs"], &["job"]),
    (IdKind::Schedule, &["tasks"], &["schedule"]),
    (IdKind::Event, &["events"], &["event"]),
    (IdKind::Webhook, &["webhooks"], &["webhook"]),
    (IdKind::WebhookDelivery, &["deliveries"], &[]),
    (IdKind::Notification, &["notifications"], &["notification"]),
    (IdKind::NotificationChannel, &["notification-channels"], &["channel"]),
    (IdKind::NotificationDelivery, &["notification-deliveries"], &[]),
    (IdKind::NotificationSuppression, &["notification-suppressions"], &[]),
    (IdKind::Mail, &["outbox"], &[]),
    (IdKind::Resource, &[], &["resource", "entity"]),
];

impl IdKind {
    fn of_segment(segment: &str) -> Option<Self> {
        let found = CONVENTION.iter().find(|(_, segments, _)| segments.contains(&segment));
        found.map(|(kind, ..)| *kind)
    }

    /// By the last part of a name, without what says that it is an id.
    fn of_name(name: &str) -> Option<Self> {
        let last = last_part(name);
        let what = last.strip_suffix("_id").or_else(|| last.strip_suffix("_ids"))?;
        let found = CONVENTION.iter().find(|(_, _, names)| names.contains(&what));
        found.map(|(kind, ..)| *kind)
    }

    /// What the nearest segment names that stands before the end of `path`, or before a parameter in it.
    fn of_path(path: &str) -> Option<Self> {
        path.rsplit('/').take_while(|segment| !segment.starts_with('{')).find_map(Self::of_segment)
    }
}

/// An id in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RouteId {
    #[serde(rename = "in")]
    position: IdPosition,
    name: String,
    kind: IdKind,
}

/// Every id that `route` takes.
pub(super) fn ids(route: &Route) -> Vec<RouteId> {
    let stated = route.ids.iter();
    let stated = stated.map(|(position, name, kind)| RouteId {
        position: *position,
        name: (*name).to_owned(),
        kind: *kind,
    });
    let mut all: Vec<RouteId> = stated.collect();
    for (position, name) in positions(route) {
        if let Some(kind) = conventional(route, position, &name)
            && !is_stated(route, position, &name)
        {
            all.push(RouteId { position, name, kind });
        }
    }
    all.sort_by(|left, right| (left.position, &left.name).cmp(&(right.position, &right.name)));
    all
}

/// Ids whose kind nobody knows, and statements about what the route does not take.
pub(super) fn problems(route: &Route) -> Vec<String> {
    let at = format!("{} {}", route.method(), route.path());
    let unknown = positions(route).into_iter().filter(|(position, name)| {
        !is_stated(route, *position, name) && conventional(route, *position, name).is_none()
    });
    let unknown = unknown
        .map(|(position, name)| format!("{at}: nothing says what `{name}` ({position:?}) is an id of"));
    let taken = taken(route);
    let is_taken = |position: IdPosition, name: &str| {
        // The document may show no more than that there is an object.
        let leads_to = |known: &str| {
            name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        taken.iter().any(|(known, field)| *known == position && leads_to(&field.name))
    };
    let stated =
        route.ids.iter().filter(|(position, name, _)| !is_taken(*position, name)).map(|(_, name, _)| name);
    let without = route.no_ids.iter().filter(|name| !taken.iter().any(|(_, field)| field.name == **name));
    let stale = stated.chain(without).map(|name| format!("{at}: does not take `{name}`"));
    unknown.chain(stale).collect()
}

fn is_stated(route: &Route, position: IdPosition, name: &str) -> bool {
    route.no_ids.contains(&name) || route.ids.iter().any(|(at, stated, _)| (*at, *stated) == (position, name))
}

fn conventional(route: &Route, position: IdPosition, name: &str) -> Option<IdKind> {
    match position {
        IdPosition::Query if name == CURSOR => Some(IdKind::of_path(route.path()).unwrap_or(IdKind::Cursor)),
        IdPosition::Query | IdPosition::Body => IdKind::of_name(name),
        IdPosition::Path => IdKind::of_name(name).or_else(|| {
            let (before, _) = route.path().split_once(&format!("/{{{name}}}"))?;
            IdKind::of_path(before)
        }),
    }
}

const CURSOR: &str = "cursor";

/// Where ids stand.
fn positions(route: &Route) -> Vec<(IdPosition, String)> {
    let is_id = |(position, field): &(IdPosition, Field)| match position {
        IdPosition::Path => true,
        IdPosition::Query => field.is_id() || field.name == CURSOR,
        IdPosition::Body => field.is_id(),
    };
    taken(route).into_iter().filter(is_id).map(|(position, field)| (position, field.name)).collect()
}

/// A parameter, or a field of the body.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    is_uuid: bool,
}

impl Field {
    fn is_id(&self) -> bool {
        let last = last_part(&self.name);
        self.is_uuid || last == "id" || last.ends_with("_id") || last.ends_with("_ids")
    }
}

fn last_part(name: &str) -> &str {
    name.trim_end_matches("[]").rsplit('.').next().unwrap_or_default()
}

/// Everything that `route` documents to take.
fn taken(route: &Route) -> Vec<(IdPosition, Field)> {
    let mut all = Vec::new();
    for parameter in route.parameters() {
        let position = match parameter.parameter_in {
            ParameterIn::Path => IdPosition::Path,
            ParameterIn::Query => IdPosition::Query,
            _ => continue,
        };
        let fields = parameter.schema.as_ref().map(|schema| fields(route, schema, &parameter.name));
        all.extend(fields.unwrap_or_default().into_iter().map(|field| (position, field)));
    }
    if let Some(RefOr::T(body)) = &route.operation.request_body {
        for content in body.content.values() {
            let RefOr::T(content) = content else { continue };
            let fields = content.schema.as_ref().map(|schema| fields(route, schema, ""));
            all.extend(fields.unwrap_or_default().into_iter().map(|field| (IdPosition::Body, field)));
        }
    }
    all
}

fn fields(route: &Route, schema: &RefOr<Schema>, name: &str) -> Vec<Field> {
    let mut walk = Walk { route, within: Vec::new(), found: Vec::new() };
    walk.schema(schema, name);
    walk.found
}

struct Walk<'a> {
    route: &'a Route,
    /// The names of the schemas that are being walked: a schema may hold itself.
    within: Vec<&'a str>,
    found: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a RefOr<Schema>, name: &str) {
        match schema {
            RefOr::T(schema) => self.of(schema, name),
            RefOr::Ref(reference) => {
                let called = reference.ref_location.rsplit('/').next().unwrap_or_default();
                let known = self.route.schemas.iter().find(|(known, _)| known == called);
                if let Some((_, schema)) = known
                    && !self.within.contains(&called)
                {
                    self.within.push(called);
                    self.schema(schema, name);
                    self.within.pop();
                }
            }
        }
    }

    fn of(&mut self, schema: &'a Schema, name: &str) {
        match schema {
            Schema::Object(object) => self.object(object, name),
            Schema::Array(array) => {
                if let ArrayItems::RefOrSchema(items) = &array.items {
                    self.schema(items, &format!("{name}[]"));
                }
            }
            Schema::OneOf(one) => self.each(&one.items, name),
            Schema::AllOf(all) => self.each(&all.items, name),
            Schema::AnyOf(any) => self.each(&any.items, name),
            _ => {}
        }
    }

    fn each(&mut self, schemas: &'a [RefOr<Schema>], name: &str) {
        for schema in schemas {
            self.schema(schema, name);
        }
    }

    fn object(&mut self, object: &'a Object, name: &str) {
        let is_uuid = object.format == Some(SchemaFormat::KnownFormat(KnownFormat::Uuid));
        let field = Field { name: name.to_owned(), is_uuid };
        if !name.is_empty() && !self.found.contains(&field) {
            self.found.push(field);
        }
        let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        for (key, property) in &object.properties {
            self.schema(property, &inner(key));
        }
        if let Some(AdditionalProperties::RefOr(value)) = object.additional_properties.as_deref() {
            self.schema(value, &inner("*"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stylobate_tower_middleware::Permission;
    use utoipa::{IntoParams, ToSchema};
    use uuid::Uuid;

    use super::*;

    const OPEN: Permission = Permission::Public("a test");

    fn told(route: &Route) -> serde_json::Value {
        assert_eq!(problems(route), [""; 0], "{}", route.path());
        serde_json::to_value(ids(route)).unwrap()
    }

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "the schema alone is looked at")]
    struct Grant {
        role_id: Option<Uuid>,
        permission_ids: Vec<Uuid>,
        name: String,
    }

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "the schema alone is looked at")]
    struct Body {
        organization_id: Uuid,
        items: Vec<Grant>,
        owner: Option<Grant>,
        #[schema(value_type = Vec<Object>)]
        changes: Vec<Grant>,
        resource_id: String,
    }

    #[derive(IntoParams)]
    #[expect(dead_code, reason = "the schema alone is looked at")]
    struct Filter {
        user_id: Option<Uuid>,
        search: Option<String>,
    }

    #[test]
    fn a_path_says_what_its_ids_are_of() {
        for (path, name, kind) in [
            ("/roles/{id}", "id", "role"),
            ("/v1/users/{id}", "id", "person"),
            ("/v1/orgs/{id}/settings", "id", "org"),
            ("/notification-channels/me/{id}", "id", "notification_channel"),
            ("/rbac/person-roles/{link_id}", "link_id", "person_role"),
            ("/acl-entries/{id}", "id", "acl_entry"),
        ] {
            let route = Route::get(path, OPEN);
            assert_eq!(told(&route), json!([{"in": "path", "name": name, "kind": kind}]), "{path}");
        }
        let both = Route::delete("/service-accounts/{id}/keys/{key_id}", OPEN);
        assert_eq!(
            told(&both),
            json!([
                {"in": "path", "name": "id", "kind": "service_account"},
                {"in": "path", "name": "key_id", "kind": "service_key"},
            ])
        );
    }

    #[test]
    fn names_say_what_fields_and_parameters_are_ids_of() {
        let route = Route::post("/things", OPEN).query::<Filter>().body::<Body>().id(
            IdPosition::Body,
            "changes[].role_id",
            IdKind::Role,
        );
        let body = |name: &str, kind: &str| json!({"in": "body", "name": name, "kind": kind});
        assert_eq!(
            told(&route),
            json!([
                {"in": "query", "name": "user_id", "kind": "person"},
                body("changes[].role_id", "role"),
                body("items[].permission_ids[]", "permission"),
                body("items[].role_id", "role"),
                body("organization_id", "org"),
                body("owner.permission_ids[]", "permission"),
                body("owner.role_id", "role"),
                body("resource_id", "resource"),
            ])
        );
    }

    #[test]
    fn cursors_are_of_what_is_listed() {
        for (path, kind) in
            [("/people", "person"), ("/v1/events/dead-letters", "event"), ("/things", "cursor")]
        {
            let route = Route::get(path, OPEN).returns_page::<Grant>();
            assert_eq!(told(&route), json!([{"in": "query", "name": "cursor", "kind": kind}]), "{path}");
        }
        let whole = Route::get("/people", OPEN).returns_whole_page::<Grant>();
        assert_eq!(told(&whole), json!([]));
    }

    #[test]
    fn ids_of_nobody_knows_what_are_named() {
        let route = Route::get("/things/{id}", OPEN);
        assert_eq!(problems(&route), ["GET /things/{id}: nothing says what `id` (Path) is an id of"]);
        let own = route.id(IdPosition::Path, "id", IdKind::Own("thing"));
        assert_eq!(told(&own), json!([{"in": "path", "name": "id", "kind": "thing"}]));
        let other = Route::get("/queues/{name}", OPEN);
        assert_eq!(problems(&other).len(), 1);
        assert_eq!(told(&other.no_id("name", "The queue's name.")), json!([]));
    }

    #[test]
    fn what_is_said_about_nothing_is_named() {
        let route = Route::post("/roles", OPEN)
            .body::<Body>()
            .id(IdPosition::Body, "change.role_id", IdKind::Role)
            .no_id("kind", "Nothing.");
        assert_eq!(
            problems(&route),
            ["POST /roles: does not take `change.role_id`", "POST /roles: does not take `kind`"]
        );
    }
}
