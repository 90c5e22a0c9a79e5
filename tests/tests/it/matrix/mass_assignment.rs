use std::collections::BTreeSet;

use stylobate_tests::{
    Engine,
    matrix::{Asker, Asks, BOOTSTRAP_SECRET, Finding, Operation, World, assert_none},
};

stylobate_tests::both_engines!(no_route_takes_what_only_the_platform_decides);

/// What callers would like to decide about themselves and others.
const WANTED: [&str; 9] = [
    "role",
    "roles",
    "tenant_id",
    "is_admin",
    "is_superuser",
    "organization_id",
    "mfa_enabled",
    "permissions",
    "is_platform",
];

/// Bodies whose fields are not all in the document: what is taken besides, and why.
pub(super) const TAKEN: [(&str, &str, &str, &str); 2] = [
    ("PATCH", "/auth/me", "version", "a condition of every merge patch"),
    ("PUT", "/auth/me", "version", "a condition of every merge patch"),
];

/// C21: what a route does not take it refuses; it never does as if it had not been said. Tried with everything that the route
/// tells and does not take, too.
async fn no_route_takes_what_only_the_platform_decides(engine: Engine) {
    let world = World::start(engine, 21).await;
    let before = world.fingerprint().await;
    let mut findings = Vec::new();
    let mut tried = 0;
    for operation in world.operations.iter().filter(|one| one.takes_json() && !one.is_alias()) {
        let wanted: BTreeSet<&str> =
            WANTED.into_iter().chain(operation.told.iter().map(String::as_str)).collect();
        let is_taken = |name: &str| {
            operation.fields.contains(name)
                || TAKEN.iter().any(|(method, path, taken, _)| operation.is(method, path) && *taken == name)
        };
        for name in wanted.into_iter().filter(|name| !is_taken(name)) {
            tried += 1;
            findings.extend(take(&world, operation, name).await);
        }
    }
    assert!(tried > 300, "only {tried} fields");
    findings.extend(world.changed_since(&before).await);
    assert_none(&findings);
}

/// Asks with one field more, and says when it is not refused for that field.
async fn take(world: &World, operation: &Operation, name: &str) -> Option<Finding> {
    let asker = match &operation.asks {
        // A link, a password or a secret is what lets these be asked.
        Asks::Nothing => Asker { name: "anybody", client: world.app().anonymous() },
        _ => world.who_may(operation),
    };
    let mut request = world.home_request(operation, &[]);
    let body = request.body.as_mut().and_then(|body| body.as_object_mut()).expect("an object");
    body.insert(name.to_owned(), true.into());
    let answer = request.send_with(&asker.client, &[("x-bootstrap-secret", BOOTSTRAP_SECRET)]).await;
    let names_it = || {
        let problem = answer.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        // Another name of a field that the body has is given twice.
        errors.iter().any(|error| {
            error["code"] == "duplicate" || error["field"].as_str().is_some_and(|field| field.ends_with(name))
        })
    };
    let is_refused = answer.status == 422 && names_it();
    (!is_refused).then(|| Finding {
        operation: operation.to_string(),
        asker: asker.name,
        place: format!("the field {name}"),
        what: "is not refused".to_owned(),
        answers: vec![answer],
    })
}
