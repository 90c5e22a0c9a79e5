use serde_json::json;
use stylobate_audit::{MIGRATIONS, Sink};
use stylobate_core::{
    Actor, AuditEvent, AuditSink as _, Clock as _, Outcome, RequestContext, RequestId, TenantId,
};
use stylobate_db::{Db, DbOptions, Error, Scope};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

async fn a_committed_change_leaves_its_records_in_order(test_db: TestDb) {
    let mut fixture = Fixture::new(&test_db).await;
    let request_id = RequestId::new(fixture.clock.now());
    fixture.alice.request_id = Some(request_id);
    fixture.alice.address = Some("2001:db8::7".parse().unwrap());
    fixture.alice.user_agent = Some("curl/8".into());
    let update = AuditEvent::new(&fixture.alice, "role.update", "role")
        .on("r1")
        .change(
            Some(json!({ "name": "a", "note": "same", "api_key": "canary-1" })),
            Some(json!({ "name": "b", "note": "same", "api_key": "canary-2" })),
        )
        .with("login", json!({ "refresh_token": "canary-3", "reason": "test" }));
    let mut events = vec![update];
    events.extend((0..20).map(|n| AuditEvent::new(&fixture.alice, "role.grant", "role").on(n)));
    fixture.record_as(&fixture.alice, events).await;

    let records = fixture.all(&fixture.alice).await;
    assert_eq!(records.len(), 21);
    let grants: Vec<_> = records[1..].iter().map(|record| record.entity_id.clone().unwrap()).collect();
    assert_eq!(grants, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let update = &records[0];
    assert_eq!((update.action.as_str(), update.entity_type.as_str()), ("role.update", "role"));
    assert_eq!(update.entity_id.as_deref(), Some("r1"));
    let actor = Actor::from(&fixture.alice.principal);
    assert_eq!((update.actor_type, &update.actor_id), (actor.kind, &actor.id));
    assert!(update.is_success && update.outcome == Outcome::Success);
    assert_eq!(update.occurred_at, fixture.clock.now());
    assert_eq!(update.request_id, Some(request_id));
    assert_eq!(update.ip_address, fixture.alice.address);
    assert_eq!(update.user_agent.as_deref(), Some("curl/8"));
    assert_eq!(
        update.changes,
        Some(json!({
            "name": { "before": "a", "after": "b" },
            "api_key": { "before": "***", "after": "***" },
        }))
    );
    assert_eq!(update.metadata, Some(json!({ "login": { "refresh_token": "***", "reason": "test" } })));
    assert_eq!(fixture.log.find(&fixture.alice, update.id).await.unwrap().as_ref(), Some(update));
}
both_engines!(a_committed_change_leaves_its_records_in_order, &[&MIGRATIONS]);

// A23: the record is there if and only if the change is.
async fn a_rolled_back_change_leaves_no_record(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let event = AuditEvent::new(&fixture.alice, "role.create", "role");

    let mut tx = fixture.db.begin(Scope::Tenant(fixture.tenant)).await.unwrap();
    tx.audit(event.clone());
    tx.rollback().await.unwrap();
    let mut tx = fixture.db.begin(Scope::Tenant(fixture.tenant)).await.unwrap();
    tx.audit(event.clone());
    drop(tx);
    let mut tx = fixture.db.begin(Scope::Tenant(fixture.tenant)).await.unwrap();
    fixture.writer.write(&mut tx, std::slice::from_ref(&event)).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(fixture.all(&fixture.alice).await, []);

    // Only what a failed savepoint did is gone.
    let mut tx = fixture.db.begin(Scope::Tenant(fixture.tenant)).await.unwrap();
    tx.audit(event.clone());
    let undone: Result<(), Error> = tx
        .nested(async |tx| {
            tx.audit(event.clone());
            Err(Error::NotFound)
        })
        .await;
    assert!(undone.is_err());
    tx.commit().await.unwrap();
    assert_eq!(fixture.all(&fixture.alice).await.len(), 1);
}
both_engines!(a_rolled_back_change_leaves_no_record, &[&MIGRATIONS]);

// A23: a record that cannot be stored takes its change with it.
async fn a_record_that_cannot_be_stored_refuses_the_change(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mut event = AuditEvent::new(&fixture.alice, "role.create", "role");
    fixture.record_as(&fixture.alice, vec![event.clone()]).await;
    // The id is taken, so the insert fails on either engine.
    event.id = Some(fixture.all(&fixture.alice).await[0].id);
    let own = AuditEvent::new(&fixture.alice, "role.delete", "role");
    fixture.record(Scope::Tenant(fixture.tenant), vec![own, event]).await.unwrap_err();
    assert_eq!(fixture.all(&fixture.alice).await.len(), 1);
}
both_engines!(a_record_that_cannot_be_stored_refuses_the_change, &[&MIGRATIONS]);

// A23
async fn a_buffered_record_that_nobody_takes_fails_the_commit(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let db = Db::builder(test_db.url(), DbOptions::default()).connect().await.unwrap();
    let event = AuditEvent::new(&fixture.alice, "role.create", "role");
    let refused = db
        .transact(Scope::Tenant(fixture.tenant), async |tx| {
            tx.audit(event.clone());
            Ok::<_, Error>(())
        })
        .await;
    assert!(matches!(refused, Err(Error::Unclaimed("audit"))), "{refused:?}");
    assert_eq!(fixture.all(&fixture.alice).await, []);
}
both_engines!(a_buffered_record_that_nobody_takes_fails_the_commit, &[&MIGRATIONS]);

// A12
async fn a_record_cannot_be_filed_under_a_foreign_tenant(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mallory = fixture.mallory();
    let forged = AuditEvent::new(&mallory, "role.create", "role").in_tenant(Some(fixture.tenant));
    let refused = fixture.record(Scope::Tenant(mallory.principal.tenant.unwrap()), vec![forged]).await;
    assert!(matches!(refused, Err(Error::Participant(_))), "{refused:?}");
    assert_eq!(fixture.all(&fixture.alice).await, []);
}
both_engines!(a_record_cannot_be_filed_under_a_foreign_tenant, &[&MIGRATIONS]);

async fn an_event_without_a_tenant_is_filed_under_its_transaction(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let event = AuditEvent::new(&RequestContext::system("seed-rbac"), "role.create", "role");
    fixture.record(Scope::Tenant(fixture.tenant), vec![event.clone()]).await.unwrap();
    // On the platform it stays without one, and no tenant sees it.
    fixture.record(Scope::Platform("test"), vec![event]).await.unwrap();
    let records = fixture.all(&fixture.alice).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].actor_id.as_deref(), Some("seed-rbac"));
    let mut tx = test_db.begin_read(Scope::Platform("test")).await.unwrap();
    let platform: i64 =
        tx.q("SELECT count(*) FROM audit_events WHERE tenant_id IS NULL").scalar().await.unwrap();
    assert_eq!(platform, 1);
}
both_engines!(an_event_without_a_tenant_is_filed_under_its_transaction, &[&MIGRATIONS]);

async fn more_events_than_one_statement_holds_are_all_written(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let events = (0..1_203).map(|n| AuditEvent::new(&fixture.alice, "role.grant", "role").on(n)).collect();
    fixture.record_as(&fixture.alice, events).await;
    let mut tx = test_db.begin_read(Scope::Tenant(fixture.tenant)).await.unwrap();
    let count: i64 = tx
        .q("SELECT count(*) FROM audit_events WHERE tenant_id = $1")
        .bind(fixture.tenant.as_uuid())
        .scalar()
        .await
        .unwrap();
    assert_eq!(count, 1_203);
}
both_engines!(more_events_than_one_statement_holds_are_all_written, &[&MIGRATIONS]);

async fn the_sink_stores_denials_by_itself(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    // The sink needs no participant on its handle.
    let sink = Sink::new(test_db.clone(), fixture.writer.clone());
    let denial = AuditEvent::new(&fixture.alice, "auth.login", "session").outcome(Outcome::Denied);
    sink.record(denial.clone()).await.unwrap();
    sink.record(denial.in_tenant(None)).await.unwrap();
    let records = fixture.all(&fixture.alice).await;
    assert_eq!(records.len(), 1, "the platform's own record is not the tenant's");
    assert!(!records[0].is_success && records[0].outcome == Outcome::Denied);
}
both_engines!(the_sink_stores_denials_by_itself, &[&MIGRATIONS]);

async fn text_that_postgres_cannot_store_does_not_refuse_the_change(test_db: TestDb) {
    let mut fixture = Fixture::new(&test_db).await;
    fixture.alice.user_agent = Some("a\0b\r\n\u{1b}[31m".into());
    let event = AuditEvent::new(&fixture.alice, "role.create", "role")
        .on("\0")
        .change(None::<()>, Some(json!({ "name\0": "\0\u{1}" })))
        .with("x", "\0");
    fixture.record_as(&fixture.alice, vec![event]).await;
    let record = &fixture.all(&fixture.alice).await[0];
    assert_eq!(record.user_agent.as_deref(), Some("a\u{fffd}b\r\n\u{1b}[31m"));
    assert_eq!(record.changes, Some(json!({ "name\u{fffd}": { "before": null, "after": "\u{fffd}\u{1}" } })));
}
both_engines!(text_that_postgres_cannot_store_does_not_refuse_the_change, &[&MIGRATIONS]);

// A12: the second wall, met by a statement that forgets the tenant.
#[tokio::test]
async fn row_level_security_hides_foreign_rows_from_a_careless_statement() {
    let test_db = TestDb::postgres(&[&MIGRATIONS]).await;
    let fixture = Fixture::new(&test_db).await;
    let mallory = fixture.mallory();
    let event = |context| vec![AuditEvent::new(context, "role.create", "role")];
    fixture.record_as(&fixture.alice, event(&fixture.alice)).await;
    fixture.record_as(&mallory, event(&mallory)).await;
    fixture.record(Scope::Platform("test"), event(&RequestContext::system("test"))).await.unwrap();

    let count = async |scope| {
        let mut tx = test_db.begin_read(scope).await.unwrap();
        tx.q("SELECT count(*) FROM audit_events").scalar::<i64>().await.unwrap()
    };
    assert_eq!(count(Scope::Tenant(fixture.tenant)).await, 1);
    assert_eq!(count(Scope::Tenant(TenantId::new(fixture.clock.now()))).await, 0);
    assert_eq!(count(Scope::Platform("test")).await, 3);
    let unscoped: i64 =
        test_db.read().await.unwrap().q("SELECT count(*) FROM audit_events").scalar().await.unwrap();
    assert_eq!(unscoped, 0, "a connection that names no scope sees nothing");

    // Writing for another tenant past the writer is refused as well.
    let mut tx = test_db.begin(Scope::Tenant(fixture.tenant)).await.unwrap();
    let forged = tx
        .q("INSERT INTO audit_events (id, tenant_id, occurred_at, actor_kind, action, target_kind, outcome) \
            VALUES ($1, $2, $3, 'system', 'x', 'x', 'success')")
        .bind(mallory.principal.tenant.unwrap().as_uuid())
        .bind(mallory.principal.tenant.unwrap().as_uuid())
        .bind(fixture.clock.now())
        .run()
        .await;
    assert!(matches!(forged, Err(Error::Forbidden)), "{forged:?}");
}
