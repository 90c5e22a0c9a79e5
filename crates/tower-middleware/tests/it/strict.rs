use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use stylobate_core::{PersonId, RoleId};
use stylobate_tower_middleware::{ListQuery, PathId, PathIds, StrictJson, StrictQuery};

use crate::support::{id, platform, problem, request, send, text};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    name: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    active: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Name,
}

fn app() -> Router {
    platform([
        ("/roles", post(async |StrictJson(role): StrictJson<NewRole>| StrictJson(role))),
        ("/optional", post(async |role: Option<StrictJson<NewRole>>| role.is_some().to_string())),
        ("/query", get(async |StrictQuery(filter): StrictQuery<Filter>| format!("{:?}", filter.active))),
        (
            "/list",
            get(async |list: ListQuery<Filter, Order>| {
                let Order::Name = list.page.order_by;
                format!("{} {:?}", list.page.limit.get(), list.filter.active)
            }),
        ),
        ("/people/{id}", get(async |PathId(person): PathId<PersonId>| person.to_string())),
        (
            "/roles/{id}/members/{person_id}",
            get(async |PathIds(role, person): PathIds<RoleId, PersonId>| format!("{role} {person}")),
        ),
    ])
}

async fn fetch(path: &str) -> axum::response::Response {
    send(app(), request("GET", path).body(Body::empty()).unwrap()).await
}

async fn post_json(path: &str, body: &'static str) -> axum::response::Response {
    let request = request("POST", path).header("content-type", "application/json");
    send(app(), request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_sound_body_comes_back() {
    let response = post_json("/roles", r#"{"name":"a"}"#).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(text(response).await, r#"{"name":"a","description":null}"#);
}

#[tokio::test]
async fn each_kind_of_bad_body_has_its_status_and_code() {
    for (body, status, code) in [
        (r#"{"name":"a","is_admin":true}"#, 422, "validation"),
        (r#"{"name":1}"#, 422, "validation"),
        (r"{}", 422, "validation"),
        (r#"{"name":"a","name":"b"}"#, 422, "validation"),
        (r#"{"name":"a"#, 400, "malformed_json"),
        ("", 400, "malformed_json"),
        ("<xml/>", 400, "malformed_json"),
    ] {
        let body = problem(post_json("/roles", body).await).await;
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(status), Some(code)));
        assert_eq!(body["errors"].is_array(), status == 422);
    }
}

#[tokio::test]
async fn an_optional_body_may_be_absent_but_not_wrong() {
    let bare = send(app(), request("POST", "/optional").body(Body::empty()).unwrap()).await;
    assert_eq!(text(bare).await, "false");
    assert_eq!(text(post_json("/optional", r#"{"name":"a"}"#).await).await, "true");
    assert_eq!(post_json("/optional", "").await.status(), 400);
    let untyped = request("POST", "/optional").body(Body::from("{}")).unwrap();
    assert_eq!(send(app(), untyped).await.status(), 415);
}

#[tokio::test]
async fn ids_that_are_none_are_named_before_any_row_is_looked_for() {
    let person: PersonId = id(5);
    assert_eq!(text(fetch(&format!("/people/{person}")).await).await, person.to_string());
    for bad in ["7", "x", "00000000-0000-0000-0000-00000000000g", "%00", "%ff", "{}"] {
        let body = problem(fetch(&format!("/people/{bad}")).await).await;
        assert_eq!((body["status"].as_u64(), &body["code"]), (Some(422), &"validation".into()), "{bad}");
    }
    let body = problem(fetch(&format!("/roles/{person}/members/x")).await).await;
    assert_eq!(body["errors"][0]["field"], "person_id");
    assert_eq!(
        text(fetch(&format!("/roles/{person}/members/{person}")).await).await,
        format!("{person} {person}")
    );
}

#[tokio::test]
async fn queries_are_as_strict_as_bodies() {
    assert_eq!(text(fetch("/query?active=true").await).await, "Some(true)");
    assert_eq!(text(fetch("/list?active=false&limit=7&order_by=name").await).await, "7 Some(false)");
    for (path, status, code, field) in [
        ("/query?activ=true", 422, "validation", "activ"),
        ("/query?active=1", 422, "validation", "active"),
        ("/query?active=true&active=false", 400, "duplicate_parameter", "active"),
        ("/list?limit=0", 422, "validation", "limit"),
        ("/list?order_by=secret", 422, "validation", "order_by"),
        ("/list?limit=1&limit=2", 400, "duplicate_parameter", "limit"),
        ("/list?offset=2", 422, "validation", "offset"),
    ] {
        let body = problem(fetch(path).await).await;
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(status), Some(code)), "{path}");
        assert_eq!(body["errors"][0]["field"], field, "{path}");
    }
}
