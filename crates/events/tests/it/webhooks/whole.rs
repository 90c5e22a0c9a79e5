//! From the transaction in which something happens to the receiver that hears of it.

use std::sync::Arc;

use serde_json::json;
use stylobate_core::{DomainEvent, SystemClock};
use stylobate_db::{Error, Scope, Tx};
use stylobate_egress::Client;
use stylobate_events::{
    Envelope, Events, MIGRATIONS, Outbox, Relay, RelayOptions, Subscriber as _, Types, Webhooks,
};
use stylobate_testkit::{TestDb, both_engines};
use tokio::sync::watch;

use super::{
    receiver::{Receiver, status},
    world::{World, catalogue, limits, loopback},
};
use crate::world::{Trail, until};

async fn what_commits_is_heard_by_a_receiver_and_what_does_not_is_not(test_db: TestDb) {
    // The clock of these parts goes.
    let world = World::new(test_db).await;
    let outbox = Arc::new(Outbox::new(catalogue(), Arc::new(SystemClock)));
    let trail = Arc::new(Trail::default());
    let db = world.test_db.open(&[Arc::clone(&outbox) as _, Arc::clone(&trail) as _]).await;
    let events = Events::new(db.clone(), outbox, Arc::new(SystemClock));
    let client = Client::builder(loopback()).limits(limits()).build().unwrap();
    let sealer = Arc::clone(&world.sealer);
    let webhooks = Webhooks::new(db.clone(), Arc::new(SystemClock), sealer, client, catalogue());
    assert_eq!((webhooks.name(), webhooks.types()), ("webhooks", Types::All));

    let (stop, stopped) = watch::channel(false);
    let stopping = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let relay = Relay::to_subscriber(events.clone(), Arc::new(webhooks.clone()), RelayOptions::default());
    relay.register().await.unwrap();
    let relaying = tokio::spawn(relay.run(stopping()));
    let (alone, until_stopped) = (webhooks.clone(), stopping());
    let delivering = tokio::spawn(async move { alone.run(until_stopped).await });

    let (context, gone) = (world.context(), Receiver::start().await);
    let (_, secret) = webhooks.create(&context, world.all()).await.unwrap();
    gone.will([status(410)]);
    let new =
        stylobate_events::NewEndpoint { url: gone.url(), types: vec!["user.*".to_owned()], ..world.all() };
    let (endpoint, _) = webhooks.create(&context, new).await.unwrap();

    let tell = |fails: bool| {
        let context = context.clone();
        async move |tx: &mut Tx| {
            tx.emit(DomainEvent::new(&context, "user.created", "person:7", json!({ "name": "Ada" })));
            if fails { Err(Error::Refused) } else { Ok(()) }
        }
    };
    assert!(db.transact(Scope::Tenant(world.tenant), tell(true)).await.is_err());
    db.transact(Scope::Tenant(world.tenant), tell(false)).await.unwrap();

    // The event, and that the other receiver wants no more.
    let got = world.receiver.wait_for(2).await;
    let heard: Vec<_> = got.iter().map(|one| Envelope::from_json(&one.body).unwrap()).collect();
    assert!(got.iter().all(|one| one.verify(std::slice::from_ref(&secret)).is_ok()));
    assert_eq!(
        (heard[0].kind.as_str(), heard[0].sequence, &heard[0].data["name"]),
        ("user.created", 1, &json!("Ada"))
    );
    assert_eq!(got[0].id(), events.get(&context, heard[0].id).await.unwrap().id.to_string());
    assert_eq!(
        (heard[1].kind.as_str(), &heard[1].data["endpoint_id"]),
        ("webhook.disabled", &json!(endpoint.id))
    );
    assert_eq!(gone.got().len(), 1);
    until("nothing is owed any more", async || webhooks.deliver_due().await.unwrap() == 0).await;
    stop.send(true).unwrap();
    relaying.await.unwrap();
    delivering.await.unwrap();
    assert_eq!(world.receiver.got().len(), 2);
}
both_engines!(what_commits_is_heard_by_a_receiver_and_what_does_not_is_not, &[&MIGRATIONS]);
