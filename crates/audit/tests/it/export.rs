use chrono::TimeDelta;
use futures_util::TryStreamExt as _;
use stylobate_audit::{Error, ExportLimit, Filter, MIGRATIONS};
use stylobate_core::{AuditEvent, Principal, RequestContext};
use stylobate_testkit::{TestDb, both_engines};

use crate::fixture::Fixture;

async fn export(fixture: &Fixture, filter: Filter, limit: u32) -> Vec<Vec<u8>> {
    let limit = ExportLimit::new(limit).unwrap();
    fixture.log.export(&fixture.alice, filter, limit).await.unwrap().try_collect().await.unwrap()
}

/// The entity ids of an export, in its order.
fn ids(chunks: &[Vec<u8>]) -> Vec<String> {
    let file = chunks.concat();
    let mut reader = csv::Reader::from_reader(file.as_slice());
    assert_eq!(
        reader.headers().unwrap().iter().take(5).collect::<Vec<_>>(),
        ["timestamp", "user", "action", "resource", "detail"]
    );
    reader.records().map(|row| row.unwrap()[8].to_owned()).collect()
}

async fn five_thousand_rows_stream_in_order_and_bounded_steps(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    for batch in 0..10 {
        let events = (0..500)
            .map(|n| AuditEvent::new(&fixture.alice, "role.grant", "role").on(batch * 500 + n))
            .collect();
        fixture.record_as(&fixture.alice, events).await;
        fixture.clock.advance(TimeDelta::milliseconds(2));
    }
    let chunks = export(&fixture, Filter::default(), 1_000_000).await;
    assert_eq!(ids(&chunks), (0..5_000).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    // A header and steps of a thousand rows: what is in memory does not grow with the table.
    assert!(chunks.len() >= 6, "{}", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.iter().filter(|byte| **byte == b'\n').count() <= 1_000));

    let newest =
        export(&fixture, Filter { action: Some("role.grant".into()), ..Filter::default() }, 1_500).await;
    assert_eq!(ids(&newest), (3_500..5_000).rev().map(|n| n.to_string()).collect::<Vec<_>>());
}
both_engines!(five_thousand_rows_stream_in_order_and_bounded_steps, &[&MIGRATIONS]);

// A23: reading the whole trail is on record, before the first row leaves.
async fn an_export_is_recorded_but_not_part_of_itself(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let filter = Filter { entity_type: Some("role".into()), ..Filter::default() };
    drop(fixture.log.export(&fixture.alice, filter, ExportLimit::default()).await.unwrap());
    let records = fixture.all(&fixture.alice).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].action, "audit.export");
    let metadata = records[0].metadata.as_ref().unwrap();
    assert_eq!(
        (&metadata["max_rows"], &metadata["filter"]["entity_type"]),
        (&100_000.into(), &"role".into())
    );

    let chunks = export(&fixture, Filter::default(), 10).await;
    assert_eq!(ids(&chunks), [""], "the earlier export, not this one");
    assert_eq!(fixture.all(&fixture.alice).await.len(), 2);
}
both_engines!(an_export_is_recorded_but_not_part_of_itself, &[&MIGRATIONS]);

// A23, C38
async fn stored_formulas_leave_inert(test_db: TestDb) {
    let mut fixture = Fixture::new(&test_db).await;
    fixture.alice.user_agent = Some("=HYPERLINK(\"http://example.org\")".into());
    let payloads = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "line\nbreak"];
    let events =
        payloads.map(|text| AuditEvent::new(&fixture.alice, "role.create", "role").on(text)).to_vec();
    fixture.record_as(&fixture.alice, events).await;
    let chunks = export(&fixture, Filter::default(), 100).await;
    let mut exported = ids(&chunks);
    exported.reverse();
    assert_eq!(
        exported,
        ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\\t=1", "'\\r=1", "'＝1", "' =1", "line\\nbreak"]
    );
    let text = String::from_utf8(chunks.concat()).unwrap();
    assert_eq!(text.lines().count(), 1 + payloads.len());
    assert_eq!(text.matches("'=HYPERLINK").count(), payloads.len());
}
both_engines!(stored_formulas_leave_inert, &[&MIGRATIONS]);

// A12
async fn an_export_holds_the_own_tenant_only(test_db: TestDb) {
    let fixture = Fixture::new(&test_db).await;
    let mallory = fixture.mallory();
    fixture.record_as(&mallory, vec![AuditEvent::new(&mallory, "role.create", "role").on("foreign")]).await;
    fixture
        .record_as(&fixture.alice, vec![AuditEvent::new(&fixture.alice, "role.create", "role").on("own")])
        .await;
    assert_eq!(ids(&export(&fixture, Filter::default(), 100).await), ["own"]);
    let nobody = RequestContext::new(Principal::anonymous());
    let refused = fixture.log.export(&nobody, Filter::default(), ExportLimit::default()).await;
    assert!(matches!(refused, Err(Error::TenantRequired)));
}
both_engines!(an_export_holds_the_own_tenant_only, &[&MIGRATIONS]);
