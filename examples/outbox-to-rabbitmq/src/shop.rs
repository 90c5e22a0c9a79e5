//! Takes orders: the change and the event that tells of it are one transaction.

use serde_json::json;
use stylobate_core::{DomainEvent, RequestContext};
use stylobate_db::{Db, Error, Scope, Tx};
use stylobate_events::{Catalogue, EventType, EventsError, Exchange};

stylobate_db::migration_set! {
    /// Orders and parcels.
    pub MIGRATIONS = "shop";
    "20261122000001_shop",
}

/// What happened, as the warehouse is told.
pub(crate) const ORDER_PLACED: &str = "order.placed";

/// The events of the shop.
pub(crate) fn catalogue() -> Result<Catalogue, EventsError> {
    Catalogue::new([EventType {
        name: ORDER_PLACED,
        version: 1,
        exchange: Some(Exchange::named("shop.events")),
        description: "Somebody ordered an article.",
        schema: json!({
            "type": "object",
            "required": ["number", "article"],
            "properties": { "number": { "type": "integer" }, "article": { "type": "string" } },
        }),
    }])
}

/// Takes an order and returns its number. Should the program die before the commit there is neither order nor event; should it die
/// after, there are both.
pub(crate) async fn place(db: &Db, article: &'static str) -> Result<i64, Error> {
    let place = async move |tx: &mut Tx| {
        let insert = "INSERT INTO shop_orders (article) VALUES ($1) RETURNING number";
        let number: i64 = tx.q(insert).bind(article).scalar().await?;
        let context = RequestContext::system("shop");
        let data = json!({ "number": number, "article": article });
        tx.emit(DomainEvent::new(&context, ORDER_PLACED, format!("order:{number}"), data));
        Ok(number)
    };
    db.transact(Scope::Platform("an example"), place).await
}

/// How the shop is doing.
pub(crate) struct Counts {
    pub(crate) orders: i64,
    /// Orders of what nobody has.
    pub(crate) impossible: i64,
    pub(crate) parcels: i64,
}

/// Counts orders and parcels.
pub(crate) async fn counts(db: &Db) -> Result<Counts, Error> {
    let mut conn = db.read().await?;
    Ok(Counts {
        orders: conn.q("SELECT count(*) FROM shop_orders").scalar().await?,
        impossible: conn.q("SELECT count(*) FROM shop_orders WHERE article = 'unicorn'").scalar().await?,
        parcels: conn.q("SELECT count(*) FROM shop_parcels").scalar().await?,
    })
}
