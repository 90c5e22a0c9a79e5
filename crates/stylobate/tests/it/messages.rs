//! Which processes send messages.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use chrono::TimeDelta;
use serde_json::json;
use stylobate::{
    Platform, Settings,
    core::{Message, RequestContext},
    jobs::JobQuery,
    notify::Accepted,
};
use stylobate_testkit::ManualClock;

/// A delivery whose job was called off is left to who works on jobs: others may be set up to send nothing, or to write it down.
#[tokio::test]
async fn overdue_messages_are_left_to_who_works_on_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [("DATA_DIR".to_owned(), folder.path().to_str().unwrap().to_owned())];
    let clock = Arc::new(ManualClock::new());
    let builder = Platform::builder(Settings::from_pairs("", pairs).unwrap());
    let platform = builder.clock(Arc::clone(&clock) as Arc<_>).start().await.unwrap();
    let message = Message::to_email("refresh_reuse_detected", "ada@example.test");
    let values = json!({ "session_id": "1", "address": null, "user_agent": null, "occurred_at": "2026-03-01T12:00:00Z" });
    let accepted = platform.notifier().notify(message.with(values)).await.unwrap();
    let Accepted::New(id) = accepted else { panic!("{accepted:?}") };
    platform.notifier().plan(id).await.unwrap();
    let system = RequestContext::system("tests");
    let query = JobQuery { queue: Some("notify".to_owned()), ..JobQuery::default() };
    for job in platform.jobs().list(&system, &query).await.unwrap().items {
        platform.jobs().cancel(&system, job.id).await.unwrap();
    }
    clock.advance(TimeDelta::hours(1));

    // As long as this lasts, time goes by when the test says so, and not whenever nothing is to be done.
    let (done, lasts) = mpsc::channel::<()>();
    let holding = tokio::task::spawn_blocking(move || lasts.recv());
    tokio::time::pause();
    let outbox = platform.outbox().unwrap();
    let has_mail_within = async |turns: u32| {
        for turn in 0..turns {
            // What was begun comes to its end while time stands still, and every look is due at once.
            let pause = Duration::from_millis(20);
            tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await.unwrap();
            if outbox.read_dir().is_ok_and(|mut mails| mails.next().is_some()) {
                return true;
            }
            if turn % 100 == 1 {
                tokio::time::advance(Duration::from_secs(450)).await;
            }
        }
        false
    };
    platform.keep_up_jobs();
    platform.follow_schedules();
    assert!(!has_mail_within(101).await, "it sends what it does not work on");
    platform.work();
    assert!(has_mail_within(1_000).await, "whoever works sends what was left behind");
    tokio::time::resume();
    drop(done);
    holding.await.unwrap().unwrap_err();
    platform.end().await;
}
