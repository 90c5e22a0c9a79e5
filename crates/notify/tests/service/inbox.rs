//! What people find in the product.

use serde_json::json;
use stylobate_core::{Clock as _, Message, PageLimit, PersonId, SystemClock, TenantId};
use stylobate_notify::{
    Category, MIGRATIONS, NewNotification, Notification, NotificationId, NotificationQuery, Severity,
};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, as_person, platform};

async fn list(world: &World, tenant: Option<TenantId>, unread_only: bool) -> Vec<Notification> {
    let query = NotificationQuery { unread_only, ..NotificationQuery::default() };
    world.notifier.notifications(world.ada, tenant, &query).await.unwrap().items
}

async fn people_read_what_is_theirs(db: TestDb) {
    let world = World::new(db).await;
    let elsewhere = TenantId::new(SystemClock.now());
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    let to_bob = Message::to_person("welcome", bob).in_tenant(world.tenant).with(json!({ "plan": "x" }));
    for message in [world.welcome(), world.alert("cpu"), world.welcome().in_tenant(elsewhere), to_bob] {
        world.planned(message).await;
    }
    let unread = async |tenant| world.notifier.unread_count(world.ada, tenant).await.unwrap();
    assert_eq!(
        (unread(Some(world.tenant)).await, unread(Some(elsewhere)).await, unread(None).await),
        (2, 1, 3)
    );
    let own = list(&world, Some(world.tenant), false).await;
    assert_eq!(own.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["alert.triggered", "welcome"]);
    assert!(own[0].position > own[1].position && own.iter().all(|one| one.read_at.is_none()));
    world.actions();
    let read = world.notifier.read_notification(&world.context(), own[0].id).await.unwrap();
    assert_eq!(read.read_at, Some(world.now()));
    // Again changes nothing, and is not on record.
    world.pass(chrono::TimeDelta::seconds(5));
    assert_eq!(world.notifier.read_notification(&world.context(), own[0].id).await.unwrap(), read);
    assert_eq!((unread(Some(world.tenant)).await, list(&world, None, true).await.len()), (1, 2));
    // Nobody reads another's, nor what is of another tenant.
    let of_bob = as_person(bob, world.tenant);
    let foreign = as_person(world.ada, elsewhere);
    for (context, id) in
        [(&of_bob, own[1].id), (&foreign, own[1].id), (&world.context(), NotificationId::new(world.now()))]
    {
        assert_eq!(world.notifier.read_notification(context, id).await.unwrap_err().code(), "not_found");
    }
    let nobody = world.notifier.read_notification(&platform(), own[1].id).await.unwrap_err();
    assert_eq!(nobody.code(), "notify_owner_required");
    assert_eq!(world.notifier.read_all_notifications(&world.context()).await.unwrap(), 1);
    assert_eq!(world.notifier.read_all_notifications(&world.context()).await.unwrap(), 0);
    assert_eq!((unread(Some(world.tenant)).await, unread(None).await), (0, 1));
    assert_eq!(world.notifier.unread_count(bob, Some(world.tenant)).await.unwrap(), 1);
    assert_eq!(world.actions(), ["notification.read", "notification.read_all"]);
}
both_engines!(people_read_what_is_theirs, &[&MIGRATIONS]);

async fn lists_are_read_page_by_page(db: TestDb) {
    let world = World::new(db).await;
    for n in 0..5 {
        world.planned(world.alert(&format!("rule {n}"))).await;
    }
    let mut titles = Vec::new();
    let mut cursor = None;
    loop {
        let query = NotificationQuery { limit: PageLimit::new(2).unwrap(), cursor, unread_only: true };
        let page = world.notifier.notifications(world.ada, Some(world.tenant), &query).await.unwrap();
        titles.extend(page.items.into_iter().map(|one| one.title));
        // What comes in between is on no later page.
        world.planned(world.welcome()).await;
        match page.next_cursor {
            Some(next) => cursor = Some(next.encode()),
            None => break,
        }
    }
    assert_eq!(titles, ["Alert: rule 4", "Alert: rule 3", "Alert: rule 2", "Alert: rule 1", "Alert: rule 0"]);
    let query = NotificationQuery { cursor: Some("nonsense".to_owned()), ..NotificationQuery::default() };
    let refused = world.notifier.notifications(world.ada, None, &query).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_cursor");
}
both_engines!(lists_are_read_page_by_page, &[&MIGRATIONS]);

fn new(recipient: PersonId) -> NewNotification {
    NewNotification {
        recipient,
        category: Category::System,
        severity: Severity::Success,
        title: "Your report".to_owned(),
        body: "It is ready.\nHave a look.".to_owned(),
        link: Some("/reports/7?tab=1".to_owned()),
        entity_type: Some("report".to_owned()),
        entity_id: Some("7".to_owned()),
    }
}

async fn somebody_writes_to_somebody(db: TestDb) {
    let world = World::new(db).await;
    let bob = world.person(World::contact("Bob", "bob@example.org"));
    let by_bob = as_person(bob, world.tenant);
    let made = world.notifier.create_notification(&by_bob, new(world.ada)).await.unwrap();
    assert_eq!(list(&world, Some(world.tenant), false).await, std::slice::from_ref(&made));
    assert_eq!((made.sender_id, made.tenant_id, made.position), (Some(bob), Some(world.tenant), 1));
    let refused = async |new| match world.notifier.create_notification(&by_bob, new).await.unwrap_err() {
        stylobate_notify::NotifierError::Invalid { field, .. } => field,
        other => panic!("{other}"),
    };
    let nobody = PersonId::new(SystemClock.now());
    assert_eq!(refused(new(nobody)).await, "recipient_id");
    assert_eq!(refused(NewNotification { title: "a\nb".into(), ..new(world.ada) }).await, "title");
    assert_eq!(refused(NewNotification { title: "x".repeat(201), ..new(world.ada) }).await, "title");
    assert_eq!(refused(NewNotification { body: "x".repeat(4_001), ..new(world.ada) }).await, "body");
    assert_eq!(refused(NewNotification { body: "a\u{0}".into(), ..new(world.ada) }).await, "body");
    for link in ["https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)", ""] {
        assert_eq!(refused(NewNotification { link: Some(link.into()), ..new(world.ada) }).await, "link");
    }
    assert_eq!(
        refused(NewNotification { entity_id: Some("\r".into()), ..new(world.ada) }).await,
        "entity_id"
    );
    assert_eq!((list(&world, None, false).await.len(), world.actions()), (1, vec!["notification.create"]));
}
both_engines!(somebody_writes_to_somebody, &[&MIGRATIONS]);
