//! One row of every kind of an organisation, made as its administrator makes them; behind the program's back what no route makes.

use std::{collections::BTreeMap, fs, sync::Mutex};

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{IdPlace, Operation, Organisation, Position, world::Site};
use crate::{Client, Engine, PASSWORD, eventually, text};

/// Ids by what they are of.
pub type Rows = BTreeMap<String, String>;

/// All that an organisation has. Behind `#2` is another row of the same kind.
pub(super) const KEYS: [&str; 45] = [
    "org",
    "person",
    "role",
    "permission",
    "group",
    "override",
    "acl_entry",
    "role_permission",
    "person_role",
    "subject",
    "api_key",
    "service_account",
    "service_key",
    "session",
    "credential",
    "invitation",
    "audit_event",
    "actor",
    "request",
    "job",
    "schedule",
    "event",
    "webhook",
    "webhook_delivery",
    "notification",
    "notification_channel",
    "notification_delivery",
    "notification_suppression",
    "mail",
    "resource",
    "cursor",
    // What a place is of that its kind alone does not tell; see `OF_PLACES`.
    "administrator",
    "admin_role",
    "own_api_key",
    "own_session",
    "own_channel",
    "own_channel_delivery",
    "platform_suppression",
    // What some lists show, and some routes take away.
    "role#2",
    "permission#2",
    "service_api_key",
    "service_role",
    "group_member",
    "group_role",
    // No row: where webhooks lead.
    "receiver",
];

/// Places that are of another row than their kind says: by what the path begins with, the name and the kind.
const OF_PLACES: [(&str, Option<&str>, &str, &str); 10] = [
    ("/auth/api-keys/", None, "api_key", "own_api_key"),
    ("/auth/sessions/", None, "session", "own_session"),
    ("/notification-channels/me/", None, "notification_channel", "own_channel"),
    ("/notification-channels/me/", None, "notification_delivery", "own_channel_delivery"),
    ("/notification-suppressions/platform/", None, "notification_suppression", "platform_suppression"),
    ("/notifications", Some("sender_id"), "person", "administrator"),
    ("/roles/", Some("parent_id"), "role", "role#2"),
    ("/v1/rbac/what-if", Some("changes[].parent_id"), "role", "role#2"),
    ("/rbac/role-permissions/", Some("permission_id"), "permission", "permission#2"),
    ("/v1/orgs/{id}/admins", Some("role_id"), "role", "admin_role"),
];

/// What an operation needs to be there before it works, besides the rows that it names.
pub(super) const NEEDED: [(&str, &str); 12] = [
    ("/people/{id}/roles/{role_id}", "person_role"),
    ("/roles/{id}/permissions/{permission_id}", "role_permission"),
    ("/roles/{id}/parents/{parent_id}", "role_parent"),
    ("/service-accounts/{id}/roles/{role_id}", "service_role"),
    ("/groups/{id}/members/{person_id}", "group_member"),
    ("/groups/{id}/members/{member_id}", "group_member"),
    ("/groups/{id}/roles/{role_id}", "group_role"),
    ("/user-credentials/{id}", "credential"),
    ("/people/{id}/unlock", "credential"),
    ("/people/{id}/sessions", "session"),
    ("/notification-deliveries", "notification_delivery"),
    ("/v1/rbac/what-if", "person_role"),
];

/// The key of the row that a place is of.
#[must_use]
pub fn row_of<'a>(operation: &Operation, place: &'a IdPlace) -> &'a str {
    let is_it = |(path, name, kind, _): &&(&str, Option<&str>, &str, &'static str)| {
        operation.canonical.starts_with(path)
            && *kind == place.kind
            && name.is_none_or(|name| name == place.name)
            // A body says what is to be, and a query what is looked for.
            && (name.is_some() || place.position != Position::Body)
    };
    OF_PLACES.iter().find(is_it).map_or(place.kind.as_str(), |(.., key)| key)
}

/// Makes rows of an organisation when they are asked for, each about the others of the same set. Where a list is of what belongs to
/// one row, there are two of it: a second page begins behind the first.
pub(super) struct Maker<'a> {
    site: &'a Site,
    of: &'a Organisation,
    rows: Rows,
}

impl<'a> Maker<'a> {
    pub(super) fn new(site: &'a Site, of: &'a Organisation) -> Self {
        Self { site, of, rows: Rows::new() }
    }

    pub(super) fn rows(self) -> Rows {
        self.rows
    }

    /// The row of `key`, made unless it is there.
    pub(super) fn get<'b>(&'b mut self, key: &'b str) -> LocalBoxFuture<'b, String> {
        async move {
            if let Some(id) = self.rows.get(key) {
                return id.clone();
            }
            let id = self.make(key).await;
            self.rows.insert(key.to_owned(), id.clone());
            id
        }
        .boxed_local()
    }

    async fn make(&mut self, key: &str) -> String {
        let word = self.site.unique(&self.of.word);
        let (of, root) = (self.of, &self.site.root);
        let admin = &of.administrator.client;
        let hook = json!({ "url": self.site.receiver.url("/") });
        let channel = json!({ "channel_type": "webhook", "label": word, "config": hook, "events": ["webhook.disabled"] });
        match key.split('#').next().unwrap_or(key) {
            "org" => of.id.clone(),
            "administrator" | "actor" => of.administrator.id.clone(),
            "admin_role" => of.admin_role.clone(),
            "resource" => self.get("role").await,
            "subject" | "cursor" => self.get("person").await,
            "receiver" => self.site.receiver.url("/"),
            "person" => {
                let body = json!({
                    "first_name": word, "last_name": of.word, "username": word, "email": of.address(&word),
                });
                made(admin, "/people", body).await
            }
            "credential" => {
                let person = self.get("person").await;
                made(admin, "/user-credentials", json!({ "person_id": person, "password": PASSWORD })).await
            }
            "session" => {
                let person = self.get("credential").await;
                let person = admin.get(&format!("/people/{person}")).await.expect(200);
                let client = self.site.app.login(text(&person, "username")).await;
                session_of(&client).await
            }
            "role" => made(admin, "/roles", json!({ "name": word })).await,
            "permission" => {
                let id = made(admin, "/permissions", json!({ "key": format!("matrix.{word}") })).await;
                self.hold(&id).await;
                id
            }
            "role_permission" => {
                let role = self.get("role").await;
                let path = format!("/roles/{role}/permissions");
                let more = json!({ "permission_id": self.get("permission#3").await });
                admin.post(&path, more).await.expect(201);
                let body = json!({ "role_id": role, "permission_id": self.get("permission").await });
                made(admin, "/rbac/role-permissions", body).await
            }
            "person_role" => {
                let person = self.get("person").await;
                let more = json!({ "role_id": self.get("role#3").await });
                admin.post(&format!("/people/{person}/roles"), more).await.expect(201);
                let body = json!({ "person_id": person, "role_id": self.get("role").await });
                made(admin, "/rbac/person-roles", body).await
            }
            "role_parent" => {
                let (role, parent) = (self.get("role").await, self.get("role#2").await);
                let path = format!("/roles/{role}/parents");
                admin.post(&path, json!({ "parent_id": parent })).await.expect(201);
                parent
            }
            "override" => {
                let path = format!("/people/{}/overrides", self.get("person").await);
                let more = json!({ "permission_id": self.get("permission#3").await, "effect": "allow" });
                admin.post(&path, more).await.expect(201);
                let body = json!({ "permission_id": self.get("permission").await, "effect": "allow" });
                made(admin, &path, body).await
            }
            "acl_entry" => {
                let (person, permission) = (self.get("person").await, self.get("permission").await);
                let resource = self.get("resource").await;
                let body = json!({
                    "resource_kind": "document", "resource_id": resource, "user_id": person,
                    "permission_id": permission, "effect": "allow",
                });
                made(admin, "/acl-entries", body).await
            }
            "group" => made(admin, "/groups", json!({ "name": word })).await,
            "group_member" => {
                let (group, person) = (self.get("group").await, self.get("person").await);
                for (group, person) in [
                    (&group, &self.get("person#2").await),
                    (&self.get("group#2").await, &person),
                    (&group, &person),
                ] {
                    let path = format!("/groups/{group}/members");
                    admin.post(&path, json!({ "person_id": person })).await.expect(201);
                }
                person
            }
            "group_role" => {
                let (group, role) = (self.get("group").await, self.get("role").await);
                let path = format!("/groups/{group}/roles");
                for role in [&self.get("role#3").await, &role] {
                    admin.post(&path, json!({ "role_id": role })).await.expect(201);
                }
                role
            }
            "service_account" => made(admin, "/service-accounts", json!({ "name": word })).await,
            "service_key" => {
                let path = format!("/service-accounts/{}/keys", self.get("service_account").await);
                made(admin, &path, json!({ "label": word, "jwk": public_key() })).await
            }
            "service_role" => {
                let path = format!("/service-accounts/{}/roles", self.get("service_account").await);
                let role = self.get("role").await;
                for role in [&self.get("role#3").await, &role] {
                    admin.post(&path, json!({ "role_id": role })).await.expect(201);
                }
                role
            }
            "service_api_key" => {
                let account = self.get("service_account").await;
                made(admin, "/api-keys", json!({ "service_account_id": account, "label": word })).await
            }
            "api_key" => {
                let person = self.get("person").await;
                made(admin, "/api-keys", json!({ "person_id": person, "label": word })).await
            }
            "own_api_key" => made(admin, "/auth/api-keys", json!({ "label": word })).await,
            "own_session" => session_of(&of.administrator_again(&self.site.app).await).await,
            "invitation" => made(admin, "/auth/invitations", json!({ "email": of.address(&word) })).await,
            "audit_event" => text(&newest(admin, "/audit-events", "id").await, "id").to_owned(),
            "request" => text(&newest(admin, "/audit-events", "request_id").await, "request_id").to_owned(),
            "event" => text(&newest(admin, "/v1/events", "id").await, "id").to_owned(),
            "webhook" => {
                let body = json!({ "url": self.site.receiver.url("/"), "description": word, "events": ["webhook.disabled"] });
                made(admin, "/webhooks", body).await
            }
            "webhook_delivery" => {
                let path = format!("/webhooks/{}/test", self.get("webhook").await);
                admin.post(&path, Value::Null).await.expect(202);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "notification" => {
                let body = json!({ "recipient_id": of.administrator.id, "title": word });
                made(admin, "/notifications", body).await
            }
            "notification_channel" => made(admin, "/notification-channels", channel).await,
            "own_channel" => made(admin, "/notification-channels/me", channel).await,
            "notification_delivery" => {
                let path = format!("/notification-channels/{}/test", self.get("notification_channel").await);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "own_channel_delivery" => {
                let path = format!("/notification-channels/me/{}/test", self.get("own_channel").await);
                admin.post(&path, Value::Null).await.expect(202);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "notification_suppression" => {
                made(admin, "/notification-suppressions", suppression(of, &word)).await
            }
            // It is the platform's, whoever asks for it.
            "platform_suppression" => {
                made(root, "/notification-suppressions/platform", suppression(of, &word)).await
            }
            "schedule" => {
                let body = json!({
                    "name": word, "task_name": "auth.sweep", "interval_seconds": 86_400, "enabled": false,
                });
                made(root, "/scheduler/tasks", body).await
            }
            "job" => {
                let schedule = self.get("schedule").await;
                self.job(&schedule).await
            }
            "mail" => {
                // Invitations are mailed.
                self.get("invitation").await;
                self.mail().await
            }
            kind => panic!("nobody knows how to make {kind}: add it to the matrix"),
        }
    }

    /// Nobody gives what they have not, and an organisation has no way to have what it has just made up.
    async fn hold(&self, permission: &str) {
        let place = &self.site.app.place;
        let id = |text: &str| place.id(text.parse().expect("an id"));
        place
            .sql(&format!(
                "INSERT INTO role_permissions (id, tenant_id, role_id, permission_id, effect, created_at)
                     VALUES ({}, {}, {}, {}, 'allow', {});",
                id(&self.site.fresh_id()),
                id(&self.of.id),
                id(&self.of.admin_role),
                id(permission),
                long_ago(place.engine()),
            ))
            .await;
    }

    /// Nothing but schedules asks for a job by itself, and theirs are the platform's. Nobody works on its queue.
    async fn job(&self, schedule: &str) -> String {
        let place = &self.site.app.place;
        let now = long_ago(place.engine());
        let job = self.site.fresh_id();
        let id = |text: &str| place.id(text.parse().expect("an id"));
        let (own, tenant) = (id(&job), id(&self.of.id));
        place
            .sql(&format!(
                "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max,
                     timeout_ms, key_limit, is_unique, beat, cancel_requested, errors, created_at, schedule_id, slot)
                 VALUES ({own}, {tenant}, {tenant}, 'matrix', 'matrix.job', 1, '{{}}', 'available', {now}, 0, 3,
                     60000, 1, FALSE, 0, FALSE, '[]', {now}, {}, {now});
                 INSERT INTO job_count_changes (queue, state, change) VALUES ('matrix', 'available', 1);",
                id(schedule),
            ))
            .await;
        job
    }

    /// The mail of the invitation: without a mail server, mails are written down.
    async fn mail(&self) -> String {
        let folder = self.site.app.place.data().join("outbox");
        let taken = &self.site.mails;
        eventually("a mail of the organisation", async || {
            let names =
                fs::read_dir(&folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let is_its = |name: &String| {
                let mail = fs::read_to_string(folder.join(name)).unwrap_or_default();
                mail.contains(&self.of.word) && taken.lock().expect("no panic holds it").insert(name.clone())
            };
            names.filter(|name| name.ends_with(".eml")).find(is_its)
        })
        .await
        .trim_end_matches(".eml")
        .to_owned()
    }
}

fn long_ago(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "'2026-01-01T00:00:00.000000+00:00'",
        Engine::Postgres => "'2026-01-01T00:00:00Z'",
    }
}

/// The names of mails that are a row already.
pub(super) type Mails = Mutex<std::collections::BTreeSet<String>>;

fn suppression(of: &Organisation, word: &str) -> Value {
    json!({ "medium": "email", "address": of.address(word), "reason": word })
}

fn public_key() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn id_of(made: &Value) -> String {
    text(made, "id").to_owned()
}

async fn made(client: &Client, path: &str, body: Value) -> String {
    id_of(&client.post(path, body).await.expect(201))
}

async fn session_of(client: &Client) -> String {
    let who = client.get("/auth/whoami").await.expect(200);
    who["session"].as_str().expect("a session").to_owned()
}

/// The newest of a list that has `field`: what was just done may be told a little later.
async fn newest(client: &Client, path: &str, field: &str) -> Value {
    eventually(path, async || {
        let page = client.get(&format!("{path}?limit=20")).await.expect(200);
        page["items"].as_array()?.iter().find(|one| one[field].is_string()).cloned()
    })
    .await
}

/// An id that nothing has.
pub(super) fn fresh_id(random: &mut fastrand::Rng) -> String {
    // Of 2026-01-01, as ids that the program makes.
    let time = 1_767_225_600_000_u64 + random.u64(..1_000_000);
    let bytes = (u128::from(time) << 80) | (random.u128(..) >> 48);
    uuid7(bytes).to_string()
}

/// These bits as an id of version 7.
pub(super) fn uuid7(bits: u128) -> Uuid {
    let bits = (bits & !(0xf << 76)) | (0x7 << 76);
    Uuid::from_u128((bits & !(0b11 << 62)) | (0b10 << 62))
}
