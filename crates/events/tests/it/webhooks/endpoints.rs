//! Endpoints as tenants make, read, edit and remove them.

use serde_json::json;
use stylobate_core::{Clock as _, PageLimit, SystemClock, TenantId, WebhookEndpointId};
use stylobate_db::Scope;
use stylobate_egress::{AddressPolicy, Client};
use stylobate_events::{
    DeliveryQuery, DisabledReason, ENDPOINTS_MAX, EndpointChange, EndpointQuery, MIGRATIONS, NewEndpoint,
    SignatureStyle, WebhooksError,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, as_tenant, platform};

async fn an_endpoint_is_read_as_it_was_made(db: TestDb) {
    let world = World::new(db).await;
    let new = NewEndpoint {
        url: format!("HTTP://{}/hook/Ä#x", world.receiver.address),
        description: "for the accounts".to_owned(),
        types: ["user.*", "role.created", "user.*"].map(str::to_owned).into(),
        signature: SignatureStyle::Both,
    };
    let (made, secret) = world.create(new).await.unwrap();
    assert_eq!(world.get(made.id).await, made);
    assert_eq!(made.url, format!("http://{}/hook/%C3%84", world.receiver.address));
    assert_eq!(made.types, ["role.created", "user.*"]);
    assert!(made.is_enabled && made.disabled_reason.is_none() && made.failing_since.is_none());
    assert_eq!((made.created_at, made.tenant_id), (world.now(), world.tenant));
    assert!(secret.expose().starts_with("whsec_"));
    let shown = serde_json::to_string(&made).unwrap() + &format!("{made:?} {secret:?} {:?}", world.webhooks);
    assert!(!shown.contains(secret.expose()), "{shown}");
}
both_engines!(an_endpoint_is_read_as_it_was_made, &[&MIGRATIONS]);

fn field(error: WebhooksError) -> &'static str {
    match error {
        WebhooksError::Invalid { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

async fn what_makes_no_sense_is_refused_with_its_field(db: TestDb) {
    let world = World::new(db).await;
    let refused = async |new| field(world.create(new).await.unwrap_err());
    let long = format!("https://a.example/{}", "x".repeat(2_048));
    for url in ["", "nonsense", "ftp://a.example/", "https://user:word@a.example/", "http://10.0.0.1/", &long]
    {
        assert_eq!(refused(NewEndpoint { url: url.to_owned(), ..world.all() }).await, "url", "{url}");
    }
    for description in ["a\nb".to_owned(), "a\0b".to_owned(), "x".repeat(201)] {
        assert_eq!(refused(NewEndpoint { description, ..world.all() }).await, "description");
    }
    for types in [&[][..], &["nothing.like.it"], &["user"], &["us*"]] {
        let types = types.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(refused(NewEndpoint { types, ..world.all() }).await, "types");
    }
    let error = world.webhooks.create(&platform(), world.all()).await.unwrap_err();
    assert_eq!(error.code(), "tenant_required");
    let (made, _) = world.endpoint().await;
    for change in [
        EndpointChange {
            url: Some("https://127.0.0.1.nip.example:0/".to_owned()),
            ..EndpointChange::default()
        },
        EndpointChange { url: Some("https://[::1]/".to_owned()), ..EndpointChange::default() },
    ] {
        let error = world.webhooks.update(&world.context(), made.id, change).await.unwrap_err();
        assert_eq!(field(error), "url");
    }
    assert_eq!(world.get(made.id).await, made);
}
both_engines!(what_makes_no_sense_is_refused_with_its_field, &[&MIGRATIONS]);

// A27: what a URL says already is refused when the endpoint is made.
async fn urls_that_lead_inside_are_refused(db: TestDb) {
    let client = Client::builder(AddressPolicy::public()).build().unwrap();
    let world = World::with(db, client).await;
    for url in [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://localhost/",
        "https://169.254.169.254/latest/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "https://10.1.2.3:8443/",
    ] {
        let error = world.create(NewEndpoint { url: url.to_owned(), ..world.all() }).await.unwrap_err();
        assert_eq!(field(error), "url", "{url}");
    }
    assert!(
        world
            .create(NewEndpoint { url: "https://hooks.example.com/".to_owned(), ..world.all() })
            .await
            .is_ok()
    );
}
both_engines!(urls_that_lead_inside_are_refused, &[&MIGRATIONS]);

async fn a_tenant_has_so_many_endpoints_and_no_more(db: TestDb) {
    let world = World::new(db).await;
    let making: Vec<_> = (0..ENDPOINTS_MAX + 10)
        .map(|_| {
            let (webhooks, context, new) = (world.webhooks.clone(), world.context(), world.all());
            tokio::spawn(async move {
                webhooks.create(&context, new).await.map(|_| ()).map_err(|error| error.code())
            })
        })
        .collect();
    let mut refused = 0;
    for made in making {
        match made.await.unwrap() {
            Ok(()) => {}
            Err(code) => {
                assert_eq!(code, "webhook_limit");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 10);
    // Another tenant has its own.
    let other = as_tenant(TenantId::new(SystemClock.now()));
    let (theirs, _) = world.webhooks.create(&other, world.all()).await.unwrap();
    let mut query = EndpointQuery { limit: PageLimit::new(20).unwrap(), cursor: None };
    let mut seen = Vec::new();
    loop {
        let page = world.webhooks.list(&world.context(), &query).await.unwrap();
        seen.extend(page.items.into_iter().map(|one| one.id));
        let Some(next) = page.next_cursor else { break };
        query.cursor = Some(next.encode());
    }
    seen.dedup();
    assert!(seen.len() == ENDPOINTS_MAX && !seen.contains(&theirs.id), "{}", seen.len());
    query.cursor = Some("nonsense".to_owned());
    assert_eq!(world.webhooks.list(&platform(), &query).await.unwrap_err().code(), "invalid_cursor");
}
both_engines!(a_tenant_has_so_many_endpoints_and_no_more, &[&MIGRATIONS]);

async fn what_is_another_tenants_is_as_if_missing(db: TestDb) {
    let world = World::new(db).await;
    let (made, _) = world.endpoint().await;
    let delivery = world.owe(made.id).await;
    world.audited();
    let (theirs, id) = (as_tenant(TenantId::new(SystemClock.now())), made.id);
    let webhooks = &world.webhooks;
    for refused in [
        webhooks.get(&theirs, id).await.map(|_| ()),
        webhooks.update(&theirs, id, EndpointChange::default()).await.map(|_| ()),
        webhooks.rotate_secret(&theirs, id, None).await.map(|_| ()),
        webhooks.test(&theirs, id).await.map(|_| ()),
        webhooks.deliveries(&theirs, &DeliveryQuery::of(id)).await.map(|_| ()),
        webhooks.delivery(&theirs, delivery).await.map(|_| ()),
        webhooks.redeliver(&theirs, delivery).await.map(|_| ()),
        webhooks.delete(&theirs, id).await,
        webhooks.get(&world.context(), WebhookEndpointId::new(world.now())).await.map(|_| ()),
    ] {
        assert_eq!(refused.unwrap_err().code(), "not_found");
    }
    assert!(webhooks.list(&theirs, &EndpointQuery::default()).await.unwrap().items.is_empty());
    assert!(world.audited().is_empty());
    assert_eq!(world.get(id).await, made);
    // The platform's own people see it, and the second wall stands by itself.
    assert_eq!(webhooks.get(&platform(), id).await.unwrap(), made);
    let scope = Scope::Tenant(theirs.principal.tenant.unwrap());
    let mut tx = world.db.begin_read(scope).await.unwrap();
    let rows: i64 = tx.q("SELECT count(*) FROM webhook_deliveries").scalar().await.unwrap();
    assert_eq!(rows, i64::from(tx.engine() == stylobate_db::Engine::Sqlite));
    tx.rollback().await.unwrap();
}
both_engines!(what_is_another_tenants_is_as_if_missing, &[&MIGRATIONS]);

async fn an_edit_changes_what_it_names(db: TestDb) {
    let world = World::new(db).await;
    let (made, _) = world.endpoint().await;
    let edit = async |change| world.webhooks.update(&world.context(), made.id, change).await.unwrap();
    world.pass(chrono::TimeDelta::seconds(5));
    let same = edit(EndpointChange::default()).await;
    assert_eq!(same, stylobate_events::WebhookEndpoint { updated_at: world.now(), ..made.clone() });
    let change = EndpointChange {
        url: Some("https://hooks.example.com/secret-path".to_owned()),
        description: Some("other".to_owned()),
        types: Some(vec!["user.created".to_owned()]),
        signature: Some(SignatureStyle::Classic),
        is_enabled: Some(false),
    };
    let edited = edit(change).await;
    assert_eq!(world.get(made.id).await, edited);
    assert_eq!(
        (edited.url.as_str(), edited.description.as_str()),
        ("https://hooks.example.com/secret-path", "other")
    );
    assert_eq!((edited.is_enabled, edited.disabled_reason), (false, Some(DisabledReason::ByHand)));
    let enabled = edit(EndpointChange { is_enabled: Some(true), ..EndpointChange::default() }).await;
    assert_eq!((enabled.is_enabled, enabled.disabled_reason), (true, None));
    world.webhooks.delete(&world.context(), made.id).await.unwrap();
    assert_eq!(world.webhooks.get(&world.context(), made.id).await.unwrap_err().code(), "not_found");

    let audited = world.audited();
    let actions: Vec<_> = audited.iter().map(|event| event.action).collect();
    let updates = ["webhook.update"; 3];
    assert_eq!(actions, [&["webhook.create"][..], &updates, &["webhook.delete"]].concat());
    for event in &audited {
        assert_eq!((event.tenant, event.target.kind), (Some(world.tenant), "webhook"));
        assert_eq!(event.target.id, Some(made.id.to_string()));
        // Paths can be secrets of the receiver.
        let said = json!([event.before, event.after, event.metadata]).to_string();
        assert!(!said.contains("secret-path") && !said.contains("whsec_"), "{said}");
    }
    assert_eq!(audited[2].after.as_ref().unwrap()["origin"], "https://hooks.example.com");
}
both_engines!(an_edit_changes_what_it_names, &[&MIGRATIONS]);
