use serde_json::json;

use super::{
    Asker, Rows,
    rows::{KEYS, Maker},
    world::Site,
};
use crate::{Client, PASSWORD, Person, TestApp, text};

/// The password of administrators before they have chosen their own.
pub const FIRST_PASSWORD: &str = "a lantern above 9 stairs";

/// An organisation with somebody of everything.
pub struct Organisation {
    /// The id.
    pub id: String,
    /// What every name and address of it begins with or has, and nothing else does.
    pub word: String,
    /// May all that an organisation gives.
    pub administrator: Person,
    /// Has the role `member`.
    pub member: Person,
    /// A service account with the role `admin`.
    pub service: Client,
    /// An API key of the administrator, without a limit of its own.
    pub key: Client,
    /// The id of its role `admin`.
    pub admin_role: String,
    /// One row of every kind.
    pub rows: Rows,
    /// What the administrator may.
    pub permissions: Vec<String>,
}

impl Organisation {
    /// Makes one as the platform does, and in it all else as its administrator does.
    pub(super) async fn make(site: &Site, word: &str) -> Self {
        let root = &site.root;
        let made = root.post("/v1/orgs", json!({ "name": format!("{word} works"), "code": word })).await;
        let id = text(&made.expect(201), "id").to_owned();
        let administrator = Self::administrator_of(site, &id, word).await;
        let admin = &administrator.client;
        let roles = admin.all("/roles").await;
        let role = |name: &str| {
            let found = roles.iter().find(|role| role["name"] == name);
            text(found.unwrap_or_else(|| panic!("{word} has no role {name}: {roles:?}")), "id").to_owned()
        };
        let admin_role = role("admin");
        let member = site.app.person(admin, &format!("{word}-member")).await;
        let path = format!("/people/{}/roles", member.id);
        admin.post(&path, json!({ "role_id": role("member") })).await.expect(201);
        let account = json!({ "name": format!("{word} robot") });
        let account = admin.post("/service-accounts", account).await.expect(201);
        let path = format!("/service-accounts/{}/roles", text(&account, "id"));
        admin.post(&path, json!({ "role_id": admin_role })).await.expect(201);
        let key = async |body| {
            let made = admin.post("/api-keys", body).await.expect(201);
            admin.anonymous().presenting(text(&made, "key"))
        };
        let service = key(json!({ "service_account_id": account["id"], "label": word })).await;
        let key = key(json!({ "label": word })).await;
        let path = format!("/rbac/users/{}/permissions", administrator.id);
        let held = admin.get(&path).await.expect(200)["permissions"].clone();
        let permissions = serde_json::from_value(held).expect("names of permissions");
        let (word, rows) = (word.to_owned(), Rows::new());
        let mut made = Self { id, word, administrator, member, service, key, admin_role, rows, permissions };
        made.rows = made.fresh(site, KEYS).await;
        // Another set, so that lists have more than a page of one, and random picks a choice.
        made.fresh(site, KEYS).await;
        made
    }

    /// The first administrator, who has chosen a password.
    async fn administrator_of(site: &Site, org: &str, word: &str) -> Person {
        let username = format!("{word}-admin");
        let body = json!({
            "first_name": "Grace", "last_name": word, "username": username, "password": FIRST_PASSWORD,
            "contact_information": { "email": format!("{username}@{word}.example") },
        });
        let made = site.root.post(&format!("/v1/orgs/{org}/admins"), body).await.expect(201);
        let id = text(&made, "id").to_owned();
        let anonymous = site.app.anonymous();
        anonymous.try_login(&username, FIRST_PASSWORD).await.problem(428, "must_change_password");
        let change =
            json!({ "username": username, "current_password": FIRST_PASSWORD, "new_password": PASSWORD });
        anonymous.post("/auth/password-change/forced", change).await.expect(204);
        let client = site.app.login(&username).await;
        Person { id, username, client }
    }

    /// Rows of these kinds that nothing else is about.
    pub(super) async fn fresh<'a>(&self, site: &Site, keys: impl IntoIterator<Item = &'a str>) -> Rows {
        let mut maker = Maker::new(site, self);
        for key in keys {
            maker.get(key).await;
        }
        maker.rows()
    }

    /// The row of a kind.
    ///
    /// # Panics
    /// When nobody has said how to make one.
    #[must_use]
    pub fn row(&self, key: &str) -> &str {
        let found = self.rows.get(key);
        found.unwrap_or_else(|| panic!("no row of kind {key}: add it to the rows of the matrix"))
    }

    /// Its people and programs.
    #[must_use]
    pub fn askers(&self) -> [Asker; 4] {
        [
            Asker { name: "administrator", client: self.administrator.client.clone() },
            Asker { name: "member", client: self.member.client.clone() },
            Asker { name: "service", client: self.service.clone() },
            Asker { name: "API key", client: self.key.clone() },
        ]
    }

    /// Whether its administrator may do what asks `permission`.
    #[must_use]
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }

    /// The administrator, signed in once more.
    pub(super) async fn administrator_again(&self, app: &TestApp) -> Client {
        app.login(&self.administrator.username).await
    }

    /// An address of the organisation.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        format!("{name}@{}.example", self.word)
    }
}
