//! Roles, permissions, groups and what is about them.

use serde_json::json;

use super::{Maker, made};

impl Maker<'_> {
    pub(super) async fn access(&mut self, kind: &str, word: &str) -> Option<String> {
        let admin = &self.of.administrator.client;
        let id = match kind {
            "resource" => self.get("role").await,
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
            _ => return None,
        };
        Some(id)
    }
}
