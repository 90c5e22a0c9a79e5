use std::num::NonZeroU32;

use chrono::TimeDelta;
use stylobate_db::{Scope, Tx};
use stylobate_events::{MIGRATIONS, Outcome, Refused, Types};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{PLATFORM, Recorder, World, as_tenant, event, number, tenant, until};

async fn old_events_go_when_nobody_is_owed_them(db: TestDb) {
    let world = World::new(db).await;
    world.emit_many(&["a"], 1_500).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.events.subscribe("away", &Types::named(["note.read"])).await.unwrap();
    world.emit_many(&["b", "c"], 3).await;
    // One is given up, one fails and waits, the others arrive.
    let all = Recorder::answering("all", |delivery| {
        match (delivery.event.subject.as_str(), number(&delivery.event)) {
            ("b", 2) => Outcome::Refused(Refused::never("never")),
            ("c", 2) => Outcome::Refused(Refused::later("later").after(std::time::Duration::from_secs(60))),
            _ => Outcome::Delivered,
        }
    });
    let relay = world.relay(&all);
    until("nothing is settled", async || {
        let counts = world.counts("all").await;
        (counts.owed, counts.held, counts.dead) == (0, 2, 1)
    })
    .await;
    assert_eq!(world.events.prune(TimeDelta::days(1)).await.unwrap(), 0);
    assert_eq!(world.events.prune(TimeDelta::seconds(-60)).await.unwrap(), 1_503);
    assert_eq!(world.count("events").await, 3);
    assert_eq!(world.events.prune(TimeDelta::MAX).await.unwrap(), 0);
    // What was given up goes when it is old, and its event after it.
    for young in [TimeDelta::days(1), TimeDelta::MAX] {
        assert_eq!(world.events.prune_dead_letters(young).await.unwrap(), 0);
    }
    assert_eq!(world.counts("all").await.dead, 1);
    assert_eq!(world.events.prune_dead_letters(TimeDelta::seconds(-60)).await.unwrap(), 1);
    assert_eq!(world.counts("all").await.dead, 0);
    assert_eq!(world.events.prune(TimeDelta::seconds(-60)).await.unwrap(), 1);
    assert_eq!(world.count("events").await, 2);
    relay.stop().await;
    // Numbers go on though the events before are gone.
    world.emit("a", 7).await;
    let query = stylobate_events::EventQuery { subject: Some("a".to_owned()), ..Default::default() };
    let page = world.events.list(&crate::world::system(), &query).await.unwrap();
    assert_eq!(page.items.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1_501]);
}
both_engines!(old_events_go_when_nobody_is_owed_them, &[&MIGRATIONS]);

async fn a_delivery_whose_event_is_gone_is_forgotten(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    world.emit_many(&["a"], 3).await;
    let owner = world.test_db.open_as_owner().await;
    let damage = async |tx: &mut Tx| tx.q("DELETE FROM events WHERE sequence < 3").run().await;
    assert_eq!(owner.transact(PLATFORM, damage).await.unwrap(), 2);
    let all = Recorder::new("all");
    let relay = world.relay(&all);
    world.drained("all").await;
    assert_eq!(all.numbers("a"), [3]);
    relay.stop().await;
}
both_engines!(a_delivery_whose_event_is_gone_is_forgotten, &[&MIGRATIONS]);

async fn what_a_tenant_that_is_gone_has_told_goes_when_everybody_has_heard_it(db: TestDb) {
    let world = World::new(db).await;
    world.events.subscribe("all", &Types::All).await.unwrap();
    let (gone, stays) = (tenant(), tenant());
    for one in [gone, stays] {
        for n in 1..=4 {
            let told = event(&as_tenant(one), "a", n);
            world.try_emit(Scope::Tenant(one), vec![told]).await.unwrap();
        }
    }
    let remove = |limit| {
        let (events, limit) = (world.events.clone(), NonZeroU32::new(limit).unwrap());
        let remove = async move |tx: &mut Tx| events.remove_tenant_rows(tx, gone, limit).await;
        world.db.transact(PLATFORM, remove)
    };
    assert_eq!(remove(100).await.unwrap(), 0, "somebody is owed them");
    let all = Recorder::answering("all", |delivery| match number(&delivery.event) {
        2 => Outcome::Refused(Refused::never("never")),
        _ => Outcome::Delivered,
    });
    let relay = world.relay(&all);
    world.drained("all").await;
    relay.stop().await;
    // A dead letter, the events in steps, and what they were ordered by.
    let mut steps = Vec::new();
    loop {
        let step = remove(3).await.unwrap();
        steps.push(step);
        if step == 0 {
            break;
        }
    }
    assert_eq!(steps, [1, 3, 1, 1, 0]);
    for (table, left) in [("events", 4), ("event_aggregates", 1), ("event_dead_letters", 1)] {
        assert_eq!(world.count(table).await, left, "{table}");
    }
    let query = stylobate_events::EventQuery::default();
    assert!(world.events.list(&as_tenant(gone), &query).await.unwrap().items.is_empty());
    assert_eq!(world.events.list(&as_tenant(stays), &query).await.unwrap().items.len(), 4);
}
both_engines!(what_a_tenant_that_is_gone_has_told_goes_when_everybody_has_heard_it, &[&MIGRATIONS]);
