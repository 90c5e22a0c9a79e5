use stylobate_core::{Clock as _, TenantId};
use stylobate_db::{Error, Scope};
use stylobate_testkit::{ManualClock, TestDb};

use crate::NOTES;

const INSERT: &str = "INSERT INTO notes (id, tenant_id, name, created_at) VALUES ($1, $2, $3, $4)";

// A12
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_forgets_the_tenant_sees_only_its_own_rows() {
    let db = TestDb::postgres(&[&NOTES]).await;
    let now = ManualClock::new().now();
    let tenants = [TenantId::new(now), TenantId::new(now)];
    for tenant in tenants {
        let mut tx = db.begin(Scope::Tenant(tenant)).await.unwrap();
        tx.q(INSERT)
            .bind(tenant.as_uuid())
            .bind(tenant.as_uuid())
            .bind("note")
            .bind(now)
            .run()
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let visible = async |scope| -> i64 {
        let mut tx = db.begin_read(scope).await.unwrap();
        tx.q("SELECT count(*) FROM notes").scalar().await.unwrap()
    };
    assert_eq!(visible(Scope::Tenant(tenants[0])).await, 1);
    assert_eq!(visible(Scope::Tenant(TenantId::new(now))).await, 0);
    assert_eq!(visible(Scope::Platform("test")).await, 2);
    // A connection that never said whose rows it wants.
    let forgot: i64 = db.read().await.unwrap().q("SELECT count(*) FROM notes").scalar().await.unwrap();
    assert_eq!(forgot, 0);
}

// A12
#[tokio::test(flavor = "multi_thread")]
async fn writing_a_row_of_another_tenant_is_refused() {
    let db = TestDb::postgres(&[&NOTES]).await;
    let now = ManualClock::new().now();
    let mut tx = db.begin(Scope::Tenant(TenantId::new(now))).await.unwrap();
    let other = TenantId::new(now);
    let result = tx.q(INSERT).bind(other.as_uuid()).bind(other.as_uuid()).bind("note").bind(now).run().await;
    assert!(matches!(result, Err(Error::Forbidden)), "{result:?}");
}

// A12
#[tokio::test(flavor = "multi_thread")]
async fn policies_learn_whose_rows_from_what_the_transaction_said() {
    let db = TestDb::postgres(&[]).await;
    let ask = "SELECT stylobate_tenant()::text, stylobate_is_platform()";
    let asked = async |scope| -> (Option<String>, bool) {
        db.begin_read(scope).await.unwrap().q(ask).one().await.unwrap()
    };
    let tenant = TenantId::new(ManualClock::new().now());
    let unset: (Option<String>, bool) = db.read().await.unwrap().q(ask).one().await.unwrap();
    assert_eq!(unset, (None, false));
    assert_eq!(asked(Scope::Tenant(tenant)).await, (Some(tenant.as_uuid().to_string()), false));
    assert_eq!(asked(Scope::Platform("test")).await, (None, true));

    // A setting is empty, and no longer unset, once its connection has had one.
    for scope in ["", "tenant"] {
        let mut tx = db.begin_read(Scope::Platform("test")).await.unwrap();
        let set = "SELECT set_config('stylobate.tenant', '', true), set_config('stylobate.scope', $1, true)";
        tx.q(set).bind(scope).run().await.unwrap();
        assert_eq!(tx.q(ask).one::<(Option<String>, bool)>().await.unwrap(), (None, false));
    }
    // What is no id is an error, and not a tenant whose rows nobody has.
    let mut tx = db.begin_read(Scope::Platform("test")).await.unwrap();
    tx.q("SELECT set_config('stylobate.tenant', 'all', true)").run().await.unwrap();
    assert!(tx.q(ask).one::<(Option<String>, bool)>().await.is_err());
}

// A23
#[tokio::test(flavor = "multi_thread")]
async fn the_role_may_not_change_append_only_tables() {
    let db = TestDb::postgres(&[&NOTES]).await;
    for statement in ["UPDATE note_history SET parent = NULL", "DELETE FROM note_history"] {
        let mut tx = db.begin(Scope::Platform("test")).await.unwrap();
        let result = tx.q(statement).run().await;
        assert!(matches!(result, Err(Error::Forbidden)), "{statement}: {result:?}");
    }
}
