//! Hears of orders from RabbitMQ and sends parcels, one for each.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use stylobate_core::BoxFuture;
use stylobate_db::Tx;
use stylobate_events::{Envelope, Refused, Subscriber, Types};

use crate::shop::ORDER_PLACED;

/// Sends what is ordered. In a real system it is another service with a database of its own; the code would be the same.
#[derive(Default)]
pub(crate) struct Warehouse {
    fork_lift_has_come: AtomicBool,
}

impl Subscriber for Warehouse {
    fn name(&self) -> &'static str {
        "warehouse"
    }

    fn types(&self) -> Types {
        Types::named([ORDER_PLACED])
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            let number = event.data.get("number").and_then(Value::as_i64);
            let number = number.ok_or_else(|| Refused::never("an order without a number"))?;
            let article = event.data.get("article").and_then(Value::as_str).unwrap_or_default();
            if article == "unicorn" {
                println!("order {number} cannot be sent: there are no unicorns");
                return Err(Refused::never("there are no unicorns"));
            }
            if article == "anvil" && !self.fork_lift_has_come.swap(true, Ordering::Relaxed) {
                println!("order {number} waits: the fork lift is busy");
                return Err(Refused::later("the fork lift is busy"));
            }
            tx.q("INSERT INTO shop_parcels (order_number) VALUES ($1)").bind(number).run().await?;
            let line = format!("order {number} was sent: {article}");
            tx.on_commit(move || println!("{line}"));
            Ok(())
        })
    }
}
