//! Events that commit with the change they tell of, reach RabbitMQ, and are heard once. See README.md.

#![expect(clippy::print_stdout, reason = "a program that shows what happens")]

mod shop;
mod warehouse;

use std::{env, error::Error, sync::Arc, time::Duration};

use stylobate_core::SystemClock;
use stylobate_db::{Db, DbOptions, migrate};
use stylobate_events::{
    Broker, Consumer, ConsumerOptions, Events, Kept, Outbox, Publisher, PublisherOptions, Relay,
    RelayOptions, Sink,
};

use warehouse::Warehouse;

/// What is ordered at each start.
const ARTICLES: [&str; 6] = ["lamp", "anvil", "chair", "unicorn", "table", "lamp"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let warnings = tracing_subscriber::filter::LevelFilter::WARN;
    tracing_subscriber::fmt().with_max_level(warnings).with_writer(std::io::stderr).init();
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://shop.db".to_owned());
    let broker = env::var("AMQP_URL").or_else(|_| env::var("STYLOBATE_TEST_AMQP_URL"));
    let broker = Broker::new(broker.as_deref().unwrap_or("amqp://localhost").parse()?);

    // The outbox takes part in every transaction of the database: what is emitted is written with the change.
    let (clock, catalogue) = (Arc::new(SystemClock), shop::catalogue()?);
    let outbox = Arc::new(Outbox::new(catalogue.clone(), clock.clone()));
    let db = Db::builder(&url, DbOptions::default()).without_audit().participant(outbox.clone());
    let db = db.connect().await?;
    migrate(&db, &[&stylobate_events::MIGRATIONS, &shop::MIGRATIONS]).await?;

    // The relay takes what was written to the broker.
    let events = Events::new(db.clone(), outbox, clock.clone());
    let publisher = Arc::new(Publisher::new(broker.clone(), &catalogue, PublisherOptions::default())?);
    let sink: Arc<dyn Sink> = publisher.clone();
    // Short, so that nobody who kills the program has to wait long.
    let options = RelayOptions { lease: Duration::from_secs(1), ..RelayOptions::default() };
    let relay = Relay::new(events.clone(), sink, options);
    relay.register().await?;

    // The consumer would be another service. What fails waits for as short a time.
    let warehouse = Arc::new(Warehouse::default());
    let options = ConsumerOptions { delays: vec![Duration::from_secs(1)], ..ConsumerOptions::default() };
    let consumer = Consumer::new(broker, db.clone(), clock, catalogue, warehouse, options)?;

    println!("the shop is open; Ctrl-C closes it");
    tokio::join!(
        relay.run(asked_to_stop()),
        consumer.run(asked_to_stop()),
        events.keep_up(Kept::default(), asked_to_stop()),
        async {
            tokio::select! {
                traded = trade(&db) => if let Err(error) = traded {
                    println!("no more orders: {error}");
                },
                () = asked_to_stop() => {}
            }
        },
    );
    publisher.close().await;
    println!("closed");
    Ok(())
}

/// Takes some orders, and says when all that can be sent has been.
async fn trade(db: &Db) -> Result<(), stylobate_db::Error> {
    for article in ARTICLES {
        let number = shop::place(db, article).await?;
        println!("order {number} was placed: {article}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        let shop::Counts { orders, impossible, parcels } = shop::counts(db).await?;
        if parcels == orders - impossible {
            println!("{orders} orders, {parcels} parcels, {impossible} dead letters");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn asked_to_stop() {
    // Without a signal handler there is no other way to stop than to kill, which is fine as well.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
