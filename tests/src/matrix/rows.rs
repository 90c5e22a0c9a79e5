//! One row of every kind of an organisation, made as its administrator makes them; behind the program's back what no route makes.

mod access;
mod accounts;
mod behind;
mod messages;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde_json::Value;
use uuid::Uuid;

use super::{IdPlace, Operation, Organisation, Position, world::Site};
use crate::{Client, eventually, text};

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

/// What the path begins with, the name and the kind of places, and the key of the row that they are of.
type OfPlace = (&'static str, Option<&'static str>, &'static str, &'static str);

/// Places that are of another row than their kind says.
pub(super) static OF_PLACES: [OfPlace; 10] = [
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
pub(super) const NEEDED: [(&str, &str); 10] = [
    ("/people/{id}/roles/{role_id}", "person_role"),
    ("/roles/{id}/permissions/{permission_id}", "role_permission"),
    ("/roles/{id}/parents/{parent_id}", "role_parent"),
    ("/service-accounts/{id}/roles/{role_id}", "service_role"),
    ("/groups/{id}/members/{person_id}", "group_member"),
    ("/groups/{id}/roles/{role_id}", "group_role"),
    ("/user-credentials/{id}", "credential"),
    ("/people/{id}/unlock", "credential"),
    ("/people/{id}/sessions", "session"),
    ("/v1/rbac/what-if", "person_role"),
];

/// The key of the row that a place is of.
#[must_use]
pub fn row_of<'a>(operation: &Operation, place: &'a IdPlace) -> &'a str {
    of_place(operation, place).map_or(place.kind.as_str(), |(.., key)| key)
}

/// What [`OF_PLACES`] says of a place.
pub(super) fn of_place(operation: &Operation, place: &IdPlace) -> Option<&'static OfPlace> {
    OF_PLACES.iter().find(|(path, name, kind, _)| {
        operation.canonical.starts_with(path)
            && *kind == place.kind
            && name.is_none_or(|name| name == place.name)
            // A body says what is to be, and a query what is looked for.
            && (name.is_some() || place.position != Position::Body)
    })
}

/// The names of mails that are a row already.
pub(super) type Mails = Mutex<BTreeSet<String>>;

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
        let kind = key.split('#').next().unwrap_or(key);
        let word = self.site.unique(&self.of.word);
        if let Some(id) = self.access(kind, &word).await {
            return id;
        }
        if let Some(id) = self.accounts(kind, &word).await {
            return id;
        }
        if let Some(id) = self.messages(kind, &word).await {
            return id;
        }
        let made = self.work(kind, &word).await;
        made.unwrap_or_else(|| panic!("nobody knows how to make {kind}: add it to the matrix"))
    }
}

fn id_of(made: &Value) -> String {
    text(made, "id").to_owned()
}

async fn made(client: &Client, path: &str, body: Value) -> String {
    id_of(&client.post(path, body).await.expect(201))
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
