use serde_json::{Value, json};
use stylobate_tests::{
    Client, Engine, PASSWORD,
    matrix::{Asker, Asks, Trial, World, assert_none},
};

stylobate_tests::both_engines!(what_somebody_may_at_home_is_nothing_elsewhere);

/// A12: of somebody who belongs to two organisations, the one that the session is for decides what they are.
async fn what_somebody_may_at_home_is_nothing_elsewhere(engine: Engine) {
    let world = World::start(engine, 12).await;
    let ada = &world.home.administrator;
    let path = format!("/v1/orgs/{}/members", world.foreign.id);
    // Nobody but the platform adds somebody who is there already.
    let body = json!({ "person_id": ada.id });
    ada.client.post(&path, body.clone()).await.problem(404, "not_found");
    world.foreign.administrator.client.post(&path, body.clone()).await.problem(404, "not_found");
    world.app().place.own_passwords().await;
    world.root().post(&path, body).await.expect(201);

    // At home she is what she was, and what she sees elsewhere when she is there she does not see here.
    let here = login(&world, &world.home.word).await;
    let asker = Asker { name: "administrator of home, member elsewhere", client: here.clone() };
    let mut findings = Vec::new();
    for operation in world.operations.iter().filter(|one| one.only_reads() && !one.is_alias()) {
        for trial in Trial::all(&world, operation, &mut world.random()) {
            findings.extend(world.compare(&asker, operation, &trial).await);
        }
    }
    assert_none(&findings);

    // She goes there by a session of its own.
    let orgs = here.get("/auth/switch-org").await.expect(200);
    let codes: Vec<&Value> = orgs["items"].as_array().unwrap().iter().map(|org| &org["code"]).collect();
    assert_eq!(codes.len(), 2, "{orgs}");
    let stranger = json!({ "organization_id": world.home.row("role") });
    here.post("/auth/switch-org", stranger).await.problem(404, "not_found");
    let tokens = here.post("/auth/switch-org", json!({ "organization_id": world.foreign.id })).await;
    let there = here.with_tokens(&tokens.expect(200));
    here.get("/auth/me").await.problem(401, "unauthenticated");
    assert_eq!(there.get("/auth/whoami").await.expect(200)["tenant"], json!(world.foreign.id));

    // There she may no more than a member may, about the rows of either organisation.
    let mut refused = 0;
    for operation in world.operations.iter().filter(|one| !one.is_alias()) {
        // What every member may.
        if !matches!(&operation.asks, Asks::Permission(key) if key != "docs.read") {
            continue;
        }
        world
            .request(operation, &world.foreign.rows, &[])
            .send(&there)
            .await
            .problem(403, "permission_denied");
        let about_home = world.home_request(operation, &[]).send(&there).await;
        assert!([403, 404].contains(&about_home.status), "{about_home}");
        refused += 2;
    }
    assert!(refused > 200, "only {refused} refusals");

    // And back: nothing of there came along.
    let back = login(&world, &world.home.word).await;
    back.get("/roles").await.expect(200);
    back.get(&format!("/roles/{}", world.foreign.row("role"))).await.problem(404, "not_found");
    let roles = json!(back.all("/roles").await).to_string();
    assert!(!roles.contains(&world.foreign.word), "{roles}");
}

async fn login(world: &World, code: &str) -> Client {
    let body = json!({
        "username": world.home.administrator.username, "password": PASSWORD, "org_code": code,
    });
    let anonymous = world.app().anonymous();
    anonymous.with_tokens(&anonymous.post("/auth/login", body).await.expect(200))
}
