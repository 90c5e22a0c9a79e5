//! Doing what is due without a queue of jobs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use stylobate_notify::{ATTEMPTS_MAX, Budget, Budgets, MIGRATIONS};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, states, until};

const BEGUN: &str = "SELECT count(*) FROM notify_deliveries WHERE attempts > 0 AND medium = 'email'";

async fn what_fails_by_itself_is_put_off_and_given_up_in_the_end(db: TestDb) {
    let world = World::new(db).await;
    let (opened, is_broken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (counted, broken) = (Arc::clone(&opened), Arc::clone(&is_broken));
    world.sealer.on_open(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        assert!(!broken.load(Ordering::SeqCst), "this test breaks it");
    });
    let due = async || world.notifier.deliver_due().await.unwrap();
    // A message that cannot be planned.
    let id = world.accept(world.welcome()).await;
    assert_eq!((due().await, due().await, opened.load(Ordering::SeqCst)), (0, 0, 1));
    world.pass(TimeDelta::seconds(6));
    assert_eq!((due().await, opened.load(Ordering::SeqCst)), (0, 2));
    is_broken.store(false, Ordering::SeqCst);
    world.pass(TimeDelta::seconds(6));
    assert_eq!(due().await, 2);
    assert_eq!(states(&world.of(id).await), [("email", "sent", None), ("in_app", "sent", None)]);
    // A delivery that cannot be made.
    let id = world.planned(world.welcome()).await[0].id;
    is_broken.store(true, Ordering::SeqCst);
    for attempt in 1..=ATTEMPTS_MAX {
        assert_eq!((due().await, due().await), (0, 0));
        let one = world.delivery(id).await;
        assert_eq!((one.attempts, one.last_error.as_deref()), (attempt, Some("internal")));
        world.pass(TimeDelta::hours(10));
    }
    let one = world.delivery(id).await;
    let reason = one.reason.map(|reason| reason.as_str());
    assert_eq!((one.state.as_str(), reason), ("failed", Some("interrupted")));
    // A message that could not be planned for a day.
    let id = world.accept(world.welcome()).await;
    world.pass(TimeDelta::days(1));
    assert_eq!((due().await, due().await), (0, 0));
    assert_eq!(states(&world.of(id).await), [("email", "failed", Some("interrupted"))]);
    assert_eq!(world.number("SELECT count(*) FROM notify_messages WHERE state <> 'done'").await, 0);
}
both_engines!(what_fails_by_itself_is_put_off_and_given_up_in_the_end, &[&MIGRATIONS]);

async fn what_is_slow_holds_up_its_own_and_nothing_is_begun_after_a_stop(db: TestDb) {
    let budgets = Budgets { email: Budget::daily(100), ..Budgets::default() };
    let world = World::with(db, |builder| builder.budgets(budgets)).await;
    world.hook().await;
    world.post.is_stuck.store(true, Ordering::SeqCst);
    for _ in 0..40 {
        world.planned(world.welcome()).await;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let notifier = world.notifier.clone();
    let running = tokio::spawn(async move { notifier.run(async { drop(stopped.await) }).await });
    until(async || world.number(BEGUN).await == 4).await;
    // It comes behind all the mails, and is planned while they are stuck.
    world.pass(TimeDelta::seconds(1));
    world.notifier.announce(world.event("user.created")).await.unwrap();
    until(async || !world.receiver.got().is_empty()).await;
    assert_eq!(world.number(BEGUN).await, 4);
    // As soon as one is done, the next begins.
    world.post.wake();
    until(async || world.number(BEGUN).await == 5).await;
    stop.send(()).unwrap();
    for _ in 0..4 {
        world.post.wake();
        tokio::task::yield_now().await;
    }
    running.await.unwrap();
    assert_eq!((world.number(BEGUN).await, world.post.mails().len()), (5, 5));
}
both_engines!(what_is_slow_holds_up_its_own_and_nothing_is_begun_after_a_stop, &[&MIGRATIONS]);

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_but_not_for_ever() {
    let world = World::new(TestDb::sqlite(&[&MIGRATIONS]).await).await;
    let id = world.planned(world.welcome()).await[0].id;
    world.post.is_stuck.store(true, Ordering::SeqCst);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let notifier = world.notifier.clone();
    let running = tokio::spawn(async move { notifier.run(async { drop(stopped.await) }).await });
    until(async || world.number(BEGUN).await == 1).await;
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    stop.send(()).unwrap();
    running.await.unwrap();
    // By the clock that the test stopped.
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    tokio::time::resume();
    let one = world.delivery(id).await;
    assert_eq!((one.state.as_str(), one.attempts, one.last_error), ("pending", 1, None));
    // Whoever comes next makes it again, when its lease has run out.
    world.post.is_stuck.store(false, Ordering::SeqCst);
    world.pass(TimeDelta::seconds(270));
    assert_eq!(world.notifier.deliver_due().await.unwrap(), 1);
    assert_eq!((world.delivery(id).await.state.as_str(), world.post.mails().len()), ("sent", 1));
}
