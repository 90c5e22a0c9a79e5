//! Organisations, their people, and what these sign in with.

use serde_json::{Value, json};

use super::{Maker, made};
use crate::{Client, PASSWORD, text};

impl Maker<'_> {
    pub(super) async fn accounts(&mut self, kind: &str, word: &str) -> Option<String> {
        let of = self.of;
        let admin = &of.administrator.client;
        let id = match kind {
            "org" => of.id.clone(),
            "administrator" | "actor" => of.administrator.id.clone(),
            "admin_role" => of.admin_role.clone(),
            "subject" | "cursor" => self.get("person").await,
            "person" => {
                let body = json!({
                    "first_name": word, "last_name": of.word, "username": word, "email": of.address(word),
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
            "invitation" => made(admin, "/auth/invitations", json!({ "email": of.address(word) })).await,
            _ => return None,
        };
        Some(id)
    }
}

fn public_key() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

async fn session_of(client: &Client) -> String {
    let who = client.get("/auth/whoami").await.expect(200);
    who["session"].as_str().expect("a session").to_owned()
}
