use serde_json::{Value, json};
use stylobate_tests::{
    Engine,
    matrix::{Operation, Organisation, Seen, Trial, World},
};

stylobate_tests::both_engines!(the_platform_reaches_every_organisation);

/// What the platform reads of any organisation, and as its super administrator alone: whatever else is named is looked for in
/// the organisation of the credential, the platform's like anybody's.
async fn the_platform_reaches_every_organisation(engine: Engine) {
    let world = World::start(engine, 7).await;
    let root = world.root();
    for org in [&world.home, &world.foreign] {
        reads(&world, org).await;
        steers(&world, org).await;
    }
    let listed = root.all("/v1/orgs").await;
    for id in [&world.home.id, &world.foreign.id] {
        assert!(listed.iter().any(|org| org["id"] == json!(id)), "{listed:?}");
    }
    // To everybody else there is one.
    let own = world.home.administrator.client.all("/v1/orgs").await;
    assert!(own.len() == 1 && own[0]["id"] == json!(world.home.id), "{own:?}");

    let mut reached = Vec::new();
    for operation in world.operations.iter().filter(|one| one.only_reads() && !one.is_alias()) {
        reached.extend(reached_by_root(&world, operation).await);
    }
    insta::assert_snapshot!("reached_by_the_platform", reached.join("\n"));
}

async fn reads(world: &World, org: &Organisation) {
    let (root, person) = (world.root(), &org.member.id);
    for path in [
        format!("/v1/orgs/{}", org.id),
        format!("/v1/orgs/{}/settings", org.id),
        format!("/v1/orgs/{}/privacy", org.id),
        format!("/v1/orgs/{}/members", org.id),
        format!("/v1/orgs/{}/users", org.id),
        format!("/v1/orgs/{}/invitations", org.id),
        format!("/v1/orgs/{}/invitations/{}", org.id, org.row("invitation")),
        format!("/admin/orgs/{}/overview", org.id),
        format!("/admin/rbac/snapshot/{}", org.id),
        format!("/v1/users/{person}?organization_id={}", org.id),
        format!("/v1/users/{person}/contact?organization_id={}", org.id),
        format!("/rbac/users/{person}/permissions?organization_id={}", org.id),
    ] {
        root.get(&path).await.expect(200);
    }
}

async fn steers(world: &World, org: &Organisation) {
    let (root, admin) = (world.root(), &org.administrator.client);
    let path = format!("/v1/orgs/{}", org.id);
    let licence = json!({ "license_status": "suspended", "purchase_date": "2026-01-31" });
    // What the organisation is sold is not its own to say.
    admin.patch(&path, licence.clone()).await.problem(403, "platform_owned");
    let changed = root.patch(&path, licence).await.expect(200);
    assert_eq!(changed["license_status"], "suspended", "{changed}");
    assert_eq!(admin.get(&path).await.expect(200), changed);
    let settings = format!("{path}/settings");
    root.put(&settings, json!({ "settings": { "theme": "dark" } })).await.expect(200);
    assert_eq!(admin.get(&settings).await.expect(200)["settings"], json!({ "theme": "dark" }));
    let member = format!("{path}/members/{}", org.member.id);
    root.patch(&member, json!({ "status": "suspended" })).await.expect(200);
    org.member.client.get("/auth/me").await.problem(401, "unauthenticated");
    root.patch(&member, json!({ "status": "active" })).await.expect(200);
    // On record where it was done.
    let trail = json!(admin.all("/audit-events?action=org.update").await).to_string();
    assert!(trail.contains(&org.id), "{trail}");
    root.post(&format!("{path}/activate"), Value::Null).await.expect(200);
}

/// For each place of an operation that reads: whether the platform is shown what the foreign organisation has.
async fn reached_by_root(world: &World, operation: &Operation) -> Vec<String> {
    let mut lines = Vec::new();
    let root = world.root_asks();
    for trial in Trial::all(world, operation, &mut world.random()) {
        let seen = async |values: &[_]| {
            let answer = world.home_request(operation, values).send(&root.client).await;
            (Seen::of(&answer, Trial::sent(values)), answer)
        };
        let ((foreign, told), (missing, _)) = (seen(&trial.foreign).await, seen(&trial.missing).await);
        assert!(told.status < 500, "{told}");
        let how = if foreign == missing { "as missing" } else { "reached" };
        lines.push(format!("{operation}, {}: {how}", trial.label));
    }
    lines
}
