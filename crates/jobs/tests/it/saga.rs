//! Steps that are undone in reverse, whatever dies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stylobate_jobs::{
    Attempt, Backoff, CHECKPOINT_MAX, Failed, Job, JobRecord, MIGRATIONS, Registry, Saga, State,
    WorkerOptions,
};
use stylobate_testkit::{TestDb, both_engines};

use crate::world::{World, enqueue, options, system};

/// What a call of the outside world comes to; when nothing is said, it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Succeed,
    Fail,
    Refuse,
    /// Never answers.
    Hang,
    /// Answers when the job should stop.
    Obey,
    /// Answers with more than can be stored.
    Flood,
}

/// The outside world: what it was asked to do, in order, and how it answers.
#[derive(Debug, Clone, Default)]
struct Travel {
    asked: Arc<Mutex<Vec<&'static str>>>,
    answers: Arc<Mutex<HashMap<&'static str, Vec<Effect>>>>,
}

impl Travel {
    fn answering(answers: &[(&'static str, &[Effect])]) -> Self {
        let travel = Self::default();
        for (call, effects) in answers {
            travel.answers.lock().unwrap().insert(*call, effects.to_vec());
        }
        travel
    }

    async fn ask(&self, call: &'static str, attempt: &Attempt) -> Result<String, Failed> {
        self.asked.lock().unwrap().push(call);
        let effect = match self.answers.lock().unwrap().get_mut(call) {
            Some(effects) if !effects.is_empty() => effects.remove(0),
            _ => Effect::Succeed,
        };
        match effect {
            Effect::Succeed => Ok(format!("{call} 1")),
            Effect::Fail => Err(Failed::retry("not now")),
            Effect::Refuse => Err(Failed::discard("no")),
            Effect::Hang => std::future::pending().await,
            Effect::Obey => {
                attempt.stopped().await;
                Err(Failed::retry("told to stop"))
            }
            Effect::Flood => Ok(format!("{} 1", "x".repeat(CHECKPOINT_MAX))),
        }
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Trip {
    /// Goes on after a step has failed, as a handler should not.
    careless: bool,
}

const TRIP: Trip = Trip { careless: false };

impl Job for Trip {
    const NAME: &'static str = "tests.trip";
    const ATTEMPTS_MAX: u16 = 5;
    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(20) };
    type State = Travel;
    type Output = (String, String);
    type Error = Failed;

    async fn run(self, attempt: Attempt, travel: Travel) -> Result<(String, String), Failed> {
        let undo = async |call, booked: String, travel: &Travel, attempt: &Attempt| {
            assert!(booked.ends_with(" 1"), "what the step resulted in: {booked}");
            travel.ask(call, attempt).await.map(drop)
        };
        let mut saga = Saga::of(&attempt)?;
        saga.step("price", travel.ask("price", &attempt)).await?;
        let flight = saga
            .undoable("flight", travel.ask("flight", &attempt), |booked| {
                undo("undo flight", booked, &travel, &attempt)
            })
            .await?;
        let hotel = saga
            .undoable("hotel", travel.ask("hotel", &attempt), |booked| {
                undo("undo hotel", booked, &travel, &attempt)
            })
            .await?;
        let charged = saga.step("charge", travel.ask("charge", &attempt)).await;
        if self.careless {
            let _ = saga.step("thanks", travel.ask("thanks", &attempt)).await;
        }
        charged.map(|_| (flight, hotel))
    }
}

const ALL: [&str; 4] = ["price", "flight", "hotel", "charge"];

fn after_all(more: &[&'static str]) -> Vec<&'static str> {
    ALL.iter().chain(more).copied().collect()
}

fn registry(travel: &Travel) -> Registry {
    Registry::new().with::<Trip>(travel.clone())
}

/// Runs a trip to `end`.
async fn run(world: &World, travel: &Travel, trip: Trip, end: State) -> JobRecord {
    let id = enqueue(world, trip).await;
    let worker = world.work_with(registry(travel), options());
    world.wait_for(id, end).await;
    worker.stop().await;
    world.jobs.get(&system(), id).await.unwrap()
}

async fn steps_that_are_done_hand_out_what_they_resulted_in(db: TestDb) {
    let world = World::new(db);
    let travel = Travel::answering(&[("charge", &[Effect::Fail, Effect::Fail])]);
    let record = run(&world, &travel, TRIP, State::Completed).await;
    assert_eq!(travel.asked(), after_all(&["charge", "charge"]));
    assert_eq!(record.result.unwrap(), serde_json::json!(["flight 1", "hotel 1"]));
    let failures: Vec<_> = record.errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(failures, ["charge: not now", "charge: not now"]);
}
both_engines!(steps_that_are_done_hand_out_what_they_resulted_in, &[&MIGRATIONS]);

async fn a_step_that_fails_for_good_undoes_those_before_it_in_reverse(db: TestDb) {
    let world = World::new(db);
    let travel = Travel::answering(&[("charge", &[Effect::Refuse])]);
    let record = run(&world, &travel, TRIP, State::Discarded).await;
    assert_eq!(travel.asked(), after_all(&["undo hotel", "undo flight"]));
    assert_eq!(record.errors[0].message, "charge: no; the steps before it are undone");

    // Asked for once more it begins anew, also what needed no undoing.
    world.jobs.retry(&system(), record.id).await.unwrap();
    let worker = world.work_with(registry(&travel), options());
    world.wait_for(record.id, State::Completed).await;
    worker.stop().await;
    assert_eq!(travel.asked(), ALL);
}
both_engines!(a_step_that_fails_for_good_undoes_those_before_it_in_reverse, &[&MIGRATIONS]);

// A30
async fn what_was_undone_begins_anew_whatever_its_first_attempt_comes_to(db: TestDb) {
    let world = World::new(db);
    let price = [Effect::Succeed, Effect::Fail, Effect::Succeed, Effect::Hang];
    let travel = Travel::answering(&[("price", &price), ("charge", &[Effect::Refuse, Effect::Refuse])]);
    let id = run(&world, &travel, TRIP, State::Discarded).await.id;
    assert_eq!(travel.asked(), after_all(&["undo hotel", "undo flight"]));

    // No step is done when the attempt fails; the next one goes on with that run, and not with the one before.
    world.jobs.retry(&system(), id).await.unwrap();
    let worker = world.work_with(registry(&travel), options());
    world.wait_for(id, State::Discarded).await;
    worker.stop().await;
    let again: Vec<_> = ["price"].into_iter().chain(after_all(&["undo hotel", "undo flight"])).collect();
    assert_eq!(travel.asked(), again);

    // Nor when its worker dies.
    world.jobs.retry(&system(), id).await.unwrap();
    let dying = world.work_with(registry(&travel), options());
    for _ in 0..1_000 {
        if travel.asked.lock().unwrap().last() == Some(&"price") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    dying.kill();
    world.take_away_jobs().await;
    let worker = world.work_with(registry(&travel), options());
    world.wait_for(id, State::Completed).await;
    worker.stop().await;
    assert_eq!(travel.asked(), ["price", "price", "flight", "hotel", "charge"]);
}
both_engines!(what_was_undone_begins_anew_whatever_its_first_attempt_comes_to, &[&MIGRATIONS]);

async fn a_step_that_never_succeeds_leaves_attempts_for_undoing(db: TestDb) {
    let world = World::new(db);
    let (charge, hotel) = ([Effect::Fail; 9], [Effect::Fail; 2]);
    let travel = Travel::answering(&[("charge", &charge), ("undo hotel", &hotel)]);
    let record = run(&world, &travel, TRIP, State::Discarded).await;
    // Three attempts at doing, and undoing begins in the third of five.
    let undone = ["charge", "charge", "undo hotel", "undo hotel", "undo hotel", "undo flight"];
    assert_eq!(travel.asked(), after_all(&undone));
    assert_eq!(record.attempt, 5);
    assert_eq!(record.errors[3].message, "undoing hotel: not now");
}
both_engines!(a_step_that_never_succeeds_leaves_attempts_for_undoing, &[&MIGRATIONS]);

async fn undoing_that_fails_for_good_goes_on_when_the_job_is_asked_for_once_more(db: TestDb) {
    let world = World::new(db);
    let travel = Travel::answering(&[("charge", &[Effect::Refuse]), ("undo hotel", &[Effect::Refuse])]);
    let record = run(&world, &travel, Trip { careless: true }, State::Discarded).await;
    // Nor does a step that comes after the one that failed run, or undo anything else.
    assert_eq!(travel.asked(), after_all(&["undo hotel"]));
    assert_eq!(record.errors[0].message, "undoing hotel: no");
    world.jobs.retry(&system(), record.id).await.unwrap();
    let worker = world.work_with(registry(&travel), options());
    for _ in 0..1_000 {
        if travel.asked.lock().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.wait_for(record.id, State::Discarded).await;
    worker.stop().await;
    assert_eq!(travel.asked(), ["undo hotel", "undo flight"]);
}
both_engines!(undoing_that_fails_for_good_goes_on_when_the_job_is_asked_for_once_more, &[&MIGRATIONS]);

// A30
async fn doing_and_undoing_go_on_after_their_workers_died(db: TestDb) {
    let world = World::new(db);
    let charge = [Effect::Hang, Effect::Refuse];
    let travel = Travel::answering(&[("charge", &charge), ("undo hotel", &[Effect::Hang])]);
    let id = enqueue(&world, TRIP).await;
    // Dies while it charges, then while it undoes.
    for hangs_at in ["charge", "undo hotel"] {
        let dying = world.work_with(registry(&travel), options());
        for _ in 0..1_000 {
            if travel.asked.lock().unwrap().last() == Some(&hangs_at) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        dying.kill();
        world.take_away_jobs().await;
        assert_eq!(world.state(id).await, State::Retryable);
    }
    let worker = world.work_with(registry(&travel), options());
    world.wait_for(id, State::Discarded).await;
    worker.stop().await;
    assert_eq!(travel.asked(), after_all(&["charge", "undo hotel", "undo hotel", "undo flight"]));
}
both_engines!(doing_and_undoing_go_on_after_their_workers_died, &[&MIGRATIONS]);

async fn a_job_that_is_called_off_while_it_runs_undoes_its_steps(db: TestDb) {
    let world = World::new(db);
    let travel = Travel::answering(&[("charge", &[Effect::Obey])]);
    let id = enqueue(&world, TRIP).await;
    let grace = WorkerOptions { cancel_grace: Duration::from_secs(10), ..options() };
    let worker = world.work_with(registry(&travel), grace);
    for _ in 0..1_000 {
        if travel.asked.lock().unwrap().len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.jobs.cancel(&system(), id).await.unwrap();
    world.wait_for(id, State::Cancelled).await;
    worker.stop().await;
    assert_eq!(travel.asked(), after_all(&["undo hotel", "undo flight"]));
}
both_engines!(a_job_that_is_called_off_while_it_runs_undoes_its_steps, &[&MIGRATIONS]);

async fn a_step_whose_result_cannot_be_stored_is_undone(db: TestDb) {
    let world = World::new(db);
    for (step, undone) in [
        ("hotel", &["price", "flight", "hotel", "undo hotel", "undo flight"][..]),
        ("charge", &["price", "flight", "hotel", "charge", "undo hotel", "undo flight"]),
    ] {
        let travel = Travel::answering(&[(step, &[Effect::Flood])]);
        let record = run(&world, &travel, TRIP, State::Discarded).await;
        assert_eq!(travel.asked(), undone);
        let expected = format!("what {step} resulted in: `checkpoint` has ");
        assert!(record.errors[0].message.starts_with(&expected), "{record:?}");
    }
}
both_engines!(a_step_whose_result_cannot_be_stored_is_undone, &[&MIGRATIONS]);
