use stylobate_tests::{
    Engine,
    matrix::{Asks, Finding, Group, IdPlace, Operation, Seen, Trial, World, assert_none, id_like, row_of},
    tenancy_chaos::TenancyChaos,
};

stylobate_tests::both_engines!(
    foreign_ids_of_access_are_as_missing,
    foreign_ids_of_accounts_are_as_missing,
    foreign_ids_of_messages_are_as_missing,
    foreign_ids_of_the_rest_are_as_missing,
    random_foreign_rows_are_as_missing,
    query_and_body_that_disagree_are_refused
);

/// Anything: what is picked by it is of no order that matters.
const SEED: u64 = 9;

async fn try_group(engine: Engine, group: Group) {
    let world = World::start(engine, SEED).await;
    assert_none(&world.try_group(group).await);
}

// A12
async fn foreign_ids_of_access_are_as_missing(engine: Engine) {
    try_group(engine, Group::Access).await;
}

// A12
async fn foreign_ids_of_accounts_are_as_missing(engine: Engine) {
    try_group(engine, Group::Accounts).await;
}

// A12
async fn foreign_ids_of_messages_are_as_missing(engine: Engine) {
    try_group(engine, Group::Messages).await;
}

// A12
async fn foreign_ids_of_the_rest_are_as_missing(engine: Engine) {
    try_group(engine, Group::TheRest).await;
}

/// A12 at small count; `cargo xtask chaos tenancy` shows it at the full one.
async fn random_foreign_rows_are_as_missing(engine: Engine) {
    let seed = std::env::var("STYLOBATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let report = TenancyChaos { engine, pairs: 300, seed }.run().await;
    assert!(report.tries.is_sound(), "seed {seed} (STYLOBATE_SEED repeats it): {report}");
}

/// C20: what one part of a request names and another does not have is missing, whoever has each of them.
async fn query_and_body_that_disagree_are_refused(engine: Engine) {
    let world = World::start(engine, SEED).await;
    let before = world.fingerprint().await;
    let mut findings = Vec::new();
    for operation in world.operations.iter().filter(|operation| !operation.is_alias()) {
        findings.extend(another_parent(&world, operation).await);
        findings.extend(two_organisations(&world, operation).await);
    }
    findings.extend(world.changed_since(&before).await);
    assert_none(&findings);
}

/// What is named by two ids of a path, the second one of another first.
async fn another_parent(world: &World, operation: &Operation) -> Option<Finding> {
    let ids: Vec<&IdPlace> = operation.path_ids().collect();
    let [one, other] = ids[..] else { return None };
    let at = |place: &IdPlace| operation.path.find(&format!("{{{}}}", place.name));
    let (parent, child) = if at(one) < at(other) { (one, other) } else { (other, one) };
    // The organisation of a path is the credential's, and has no other of its kind.
    if parent.kind == "org" || world.is_of_platform(operation) {
        return None;
    }
    let key = row_of(operation, parent);
    let fresh = (parent.clone(), world.fresh(&[key]).await[key].clone());
    let child =
        Trial::of([child], |child| world.home.row(row_of(operation, child)).to_owned(), &mut world.random());
    let with_parent = |child: Vec<(IdPlace, String)>| [vec![fresh.clone()], child].concat();
    let trial = Trial {
        label: format!("{} of another {}", child.label, parent.kind),
        foreign: with_parent(child.foreign),
        missing: with_parent(child.missing),
    };
    world.compare(&world.home.askers()[0], operation, &trial).await
}

/// Another organisation in the query or in a header than that of the credential, the path or the body.
async fn two_organisations(world: &World, operation: &Operation) -> Vec<Finding> {
    let asks_permission = matches!(operation.asks, Asks::Permission(_));
    let names_one = operation.ids.iter().any(|place| place.kind == "org");
    let is_list = operation.only_reads() && operation.ids.is_empty();
    if !asks_permission || world.is_of_platform(operation) || !(names_one || is_list) {
        return Vec::new();
    }
    let request = world.home_request(operation, &[]);
    let takes_query = operation.filters.iter().any(|name| name == "organization_id");
    let id = &world.foreign.id;
    let ids = [id.clone(), id_like(id, &mut world.random())];
    let mut findings = Vec::new();
    for name in ["x-org-id", "x-tenant-id", "organization_id"] {
        let is_query = name == "organization_id";
        if is_query && (takes_query || !names_one) {
            continue;
        }
        let mut answers = Vec::new();
        for id in &ids {
            let client = &world.home.administrator.client;
            answers.push(match is_query {
                true => request.clone().with_query(name, id).send(client).await,
                false => request.send_with(client, &[(name, id)]).await,
            });
        }
        let seen = |at: usize| Seen::of(&answers[at], [ids[at].as_str()].into_iter());
        let what = match &answers[0] {
            told if told.is_success() => Some("is not refused".to_owned()),
            _ if seen(0) != seen(1) => Some("foreign and missing are told apart".to_owned()),
            told => world.leak(operation, told, [id.as_str()].into_iter()),
        };
        findings.extend(what.map(|what| Finding {
            operation: operation.to_string(),
            asker: "administrator",
            place: format!("another organisation as {name}"),
            what,
            answers,
        }));
    }
    findings
}
