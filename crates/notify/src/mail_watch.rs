use std::{future::Future, sync::Arc, time::Duration};

use stylobate_core::{BoxFuture, Health, HealthCheck, HealthStatus};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{FailureClass, Mail, MailTransport, Receipt, SendError};

/// How long after it was last seen to take mails the server is asked again: at least, and at most that much more, so that processes
/// that were started together do not do it together. An outage of a minute is seen although nobody is written to.
const LOOK_AFTER: Duration = Duration::from_secs(30);
const JITTER: Duration = Duration::from_secs(15);
/// How long it is from one question to the next while it takes none: that it is back is to be known within 10 s.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// What is older says nothing any more: the longest pause, and as long as an answer may take.
const STALE: Duration = Duration::from_secs(90);
/// How long the first to ask for the health waits for an answer; a health check has a second.
const FIRST_WAIT: Duration = Duration::from_millis(700);

/// Hands mails over, and knows whether the server takes them: by what became of the mails, and by asking it now and then.
///
/// It is the transport of a `Notifier` or [`Direct`](crate::Direct), and the [`HealthCheck`] `mail`, which is not critical: what is to be
/// sent waits. [`run`](Self::run) asks the server; without it, mails alone tell.
///
/// 1. Anybody may ask for the health, as often as they like. They are told what was seen, so the server is logged in to no more often for
///    that, and a slow greeting is waited for.
/// 2. The server is asked 30 to 45 s after it was last seen to take mails, and every 5 s while it takes none.
/// 3. The detail is the code of what is wrong, such as `smtp_unreachable`, and nothing that a server says. What was seen 90 s ago or
///    longer is not told: `not known yet`.
pub struct MailWatch {
    transport: Arc<dyn MailTransport>,
    seen: watch::Sender<Option<Seen>>,
    asked: Notify,
}

/// How the server was seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    /// The code of what was wrong: what servers say themselves holds addresses.
    failure: Option<&'static str>,
}

impl MailWatch {
    /// Watches over `transport`, whose server nobody has seen yet.
    #[must_use]
    pub fn new(transport: Arc<dyn MailTransport>) -> Self {
        Self { transport, seen: watch::Sender::new(None), asked: Notify::new() }
    }

    /// Asks the server now and then until `stop`, from when somebody asks for its health: a command that ends at once logs in for
    /// nobody. Call it once, in a task.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let look = async {
            self.asked.notified().await;
            loop {
                let begun = Instant::now();
                let answer = self.transport.check().await;
                self.saw(answer.err().map(|error| error.code));
                self.wait_since(begun).await;
            }
        };
        tokio::select! {
            biased;
            () = stop => {}
            () = look => {}
        }
    }

    /// Waits until it is time to ask again, when that was done at `begun`. What becomes of mails meanwhile puts it off, or does not.
    async fn wait_since(&self, begun: Instant) {
        let mut seen = self.seen.subscribe();
        let pause = LOOK_AFTER + JITTER.mul_f64(fastrand::f64());
        loop {
            let due = match *seen.borrow_and_update() {
                Some(Seen { at, failure: None }) => at + pause,
                _ => begun + LOOK_AGAIN,
            };
            tokio::select! {
                () = sleep_until(due) => return,
                _ = seen.changed() => {}
            }
        }
    }

    fn saw(&self, failure: Option<&'static str>) {
        self.seen.send_replace(Some(Seen { at: Instant::now(), failure }));
    }

    /// What the fate of a mail says about the server. Whom it does not know, and what it wants later, is about that mail.
    fn saw_mail(&self, sent: &Result<Receipt, SendError>) {
        match sent {
            Ok(_) => self.saw(None),
            Err(error) if error.is_of_server() => self.saw(Some(error.code)),
            Err(SendError {
                class: FailureClass::Permanent | FailureClass::BadRecipient,
                status: Some(_),
                ..
            }) => self.saw(None),
            Err(_) => {}
        }
    }
}

impl MailTransport for MailWatch {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async move {
            let sent = self.transport.send(mail).await;
            self.saw_mail(&sent);
            sent
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        self.transport.check()
    }
}

impl HealthCheck for MailWatch {
    fn name(&self) -> &'static str {
        "mail"
    }

    /// What is to be sent waits.
    fn is_critical(&self) -> bool {
        false
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            self.asked.notify_one();
            let mut seen = self.seen.subscribe();
            let fresh = seen.wait_for(|seen| seen.is_some_and(|seen| seen.at.elapsed() < STALE));
            let fresh = timeout(FIRST_WAIT, async { fresh.await.ok().and_then(|seen| *seen) });
            match fresh.await.ok().flatten() {
                Some(Seen { failure: None, .. }) => Health::up(),
                Some(Seen { failure: Some(code), .. }) => Health::down(code),
                None => Health { status: HealthStatus::Degraded, detail: Some("not known yet".to_owned()) },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use chrono::DateTime;
    use tokio::time::advance;
    use uuid::Uuid;

    use super::*;
    use crate::{Composer, Mailbox, Rendered};

    const AWAY: SendError =
        SendError { class: FailureClass::Outage, code: "smtp_unreachable", status: None, words: "canary" };

    /// A server as it is told to be.
    #[derive(Default)]
    struct Scripted {
        asked: AtomicUsize,
        takes: Duration,
        check_fails: Mutex<Option<SendError>>,
        send_fails: Mutex<Option<SendError>>,
    }

    fn result<T: Default>(fails: &Mutex<Option<SendError>>) -> Result<T, SendError> {
        fails.lock().unwrap().clone().map_or_else(|| Ok(T::default()), Err)
    }

    impl MailTransport for Scripted {
        fn send<'a>(&'a self, _: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
            Box::pin(async { result(&self.send_fails) })
        }

        fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::time::sleep(self.takes).await;
                result(&self.check_fails)
            })
        }
    }

    struct World {
        server: Arc<Scripted>,
        watch: Arc<MailWatch>,
    }

    impl World {
        fn new(server: Scripted) -> Self {
            let server = Arc::new(server);
            let watch = Arc::new(MailWatch::new(Arc::clone(&server) as Arc<dyn MailTransport>));
            let running = Arc::clone(&watch);
            tokio::spawn(async move { running.run(pending()).await });
            Self { server, watch }
        }

        async fn health(&self) -> (HealthStatus, Option<String>) {
            let Health { status, detail } = HealthCheck::check(&*self.watch).await;
            (status, detail)
        }

        async fn send(&self) -> bool {
            let rendered = Rendered {
                locale: "en".to_owned(),
                subject: "s".to_owned(),
                text: "t".to_owned(),
                html: None,
            };
            let from = Mailbox::parse("no-reply@example.org").unwrap();
            let mail =
                Composer::new(from.clone()).compose(Uuid::nil(), &from, &rendered, DateTime::UNIX_EPOCH);
            self.watch.send(&mail.unwrap()).await.is_ok()
        }

        fn asked(&self) -> usize {
            self.server.asked.load(Ordering::SeqCst)
        }
    }

    fn up() -> (HealthStatus, Option<String>) {
        (HealthStatus::Up, None)
    }

    fn down() -> (HealthStatus, Option<String>) {
        // Nothing of the words.
        (HealthStatus::Down, Some("smtp_unreachable".to_owned()))
    }

    /// Time goes by, and what is due is done.
    async fn pass(seconds: u64) {
        for _ in 0..seconds * 4 {
            advance(Duration::from_millis(250)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_the_health_does_not_have_the_server_asked() {
        let world = World::new(Scripted::default());
        pass(600).await;
        assert_eq!(world.asked(), 0, "nobody asked");
        for _ in 0..100 {
            assert_eq!(world.health().await, up());
        }
        assert_eq!(world.asked(), 1);
        for _ in 0..29 {
            pass(1).await;
            assert_eq!(world.health().await, up());
        }
        assert_eq!(world.asked(), 1);
        pass(600).await;
        let asked = world.asked();
        assert!((13..=22).contains(&asked), "every 30 to 45 s: {asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_greeting_is_waited_for() {
        let world = World::new(Scripted { takes: Duration::from_secs(8), ..Scripted::default() });
        assert_eq!(world.health().await.0, HealthStatus::Degraded);
        pass(8).await;
        assert_eq!(world.health().await, up());
        // Asking again takes as long, and what was seen before holds meanwhile.
        for _ in 0..120 {
            pass(1).await;
            assert_eq!(world.health().await, up());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_mail_tells_at_once_and_the_server_is_back_within_ten_seconds() {
        let world = World::new(Scripted::default());
        assert_eq!(world.health().await, up());
        pass(10).await;
        *world.server.send_fails.lock().unwrap() = Some(AWAY);
        *world.server.check_fails.lock().unwrap() = Some(AWAY);
        assert!(!world.send().await);
        assert_eq!(world.health().await, down());
        pass(60).await;
        assert_eq!(world.health().await, down());
        let asked = world.asked();
        assert!((10..=15).contains(&asked), "every 5 s: {asked}");
        *world.server.check_fails.lock().unwrap() = None;
        pass(10).await;
        assert_eq!(world.health().await, up());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_found_without_a_mail_and_a_mail_that_is_taken_ends_it() {
        let world = World::new(Scripted::default());
        assert_eq!(world.health().await, up());
        *world.server.check_fails.lock().unwrap() = Some(AWAY);
        pass(46).await;
        assert_eq!(world.health().await, down());
        assert!(world.send().await);
        assert_eq!(world.health().await, up());
    }

    #[tokio::test(start_paused = true)]
    async fn mails_that_are_taken_stand_for_a_question() {
        let world = World::new(Scripted::default());
        assert_eq!(world.health().await, up());
        for _ in 0..60 {
            pass(10).await;
            assert!(world.send().await);
        }
        assert_eq!((world.health().await, world.asked()), (up(), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_about_one_mail_says_nothing_about_the_server() {
        let world = World::new(Scripted::default());
        assert_eq!(world.health().await, up());
        for (class, status) in [
            (FailureClass::BadRecipient, Some(550)),
            (FailureClass::Permanent, Some(554)),
            (FailureClass::Permanent, None),
            (FailureClass::TRANSIENT, Some(451)),
        ] {
            *world.server.send_fails.lock().unwrap() = Some(SendError { class, status, ..AWAY });
            assert!(!world.send().await);
            assert_eq!(world.health().await, up(), "{class:?}");
        }
        // Nobody answered.
        *world.server.send_fails.lock().unwrap() = Some(SendError { class: FailureClass::TRANSIENT, ..AWAY });
        assert!(!world.send().await);
        assert_eq!(world.health().await, down());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_long_ago_is_not_told() {
        let world = World::new(Scripted { takes: Duration::from_secs(10_000), ..Scripted::default() });
        assert!(world.send().await);
        assert_eq!(world.health().await, up());
        pass(90).await;
        assert_eq!(world.health().await.0, HealthStatus::Degraded);
    }
}
