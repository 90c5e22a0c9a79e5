use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lapin::{
    message::Delivery,
    options::BasicAckOptions,
    types::{AMQPValue, ShortString},
};
use stylobate_db::{Scope, Tx};
use tokio::sync::watch;

use super::Consumer;
use crate::{
    Envelope, Refused, Types,
    guard::guarded,
    rabbitmq::{
        inbox,
        link::Pause,
        message::{ATTEMPTS, ERROR, Message, REASON, attempts, excerpt},
        outbound::Said,
    },
    subscriber::is_outage,
};

/// What is to be done with a delivery.
enum Verdict {
    /// It is done, was done before, or is none of ours.
    Acknowledge,
    /// It comes again later.
    Delay { attempts: u32, queue: ShortString, error: String },
    /// It is given up.
    Bury { reason: &'static str, attempts: u32, error: String },
    /// Nothing: it comes again by itself.
    Leave,
}

impl Consumer {
    /// Handles what was delivered and answers the broker. The answer comes last: should anything before it be cut off, the delivery
    /// comes again.
    pub(super) async fn answer(&self, delivery: Delivery, stopped: watch::Receiver<bool>) {
        let topology = &self.inner.topology;
        let verdict = self.judge(&delivery, stopped.clone()).await;
        let count = |attempts: u32| (ATTEMPTS, AMQPValue::LongUInt(attempts));
        let message = match verdict {
            Verdict::Leave => return,
            Verdict::Acknowledge => None,
            Verdict::Delay { attempts, queue, error } => {
                let headers = [count(attempts), (ERROR, excerpt(&error))];
                Some(Message::again(&delivery, &queue, headers))
            }
            Verdict::Bury { reason, attempts, error } => {
                let why = (REASON, AMQPValue::LongString(reason.into()));
                let headers = [count(attempts), why, (ERROR, excerpt(&error))];
                Some(Message::again(&delivery, &topology.dead, headers))
            }
        };
        if let Some(message) = message
            && !self.publish(&delivery, message, stopped).await
        {
            return;
        }
        if let Err(error) = delivery.acker.ack(BasicAckOptions::default()).await {
            // It comes again, and the inbox knows it.
            tracing::debug!(%error, "an event could not be acknowledged");
        }
    }

    async fn judge(&self, delivery: &Delivery, stopped: watch::Receiver<bool>) -> Verdict {
        let inner = &self.inner;
        let failed = attempts(delivery);
        let event = match Envelope::from_json(&delivery.data) {
            Ok(event) => Arc::new(event),
            Err(error) => {
                tracing::warn!(code = error.code(), "what was delivered is no event");
                return Verdict::Bury { reason: "unreadable", attempts: failed, error: error.to_string() };
            }
        };
        if let Types::Named(names) = &inner.types
            && !names.contains(&event.kind)
        {
            return Verdict::Acknowledge;
        }
        let knows_kind = inner.catalogue.iter().any(|one| one.name == event.kind);
        // A subscriber to all types hears those that came after its catalogue as well.
        if knows_kind && inner.catalogue.find(&event.kind, event.version).is_none() {
            tracing::warn!(id = %event.id, kind = event.kind, version = event.version, "an event of a version not known");
            let error = format!("the catalogue has no version {} of `{}`", event.version, event.kind);
            return Verdict::Bury { reason: "unknown_version", attempts: failed, error };
        }
        let Some(outcome) = self.handle(delivery, &event, stopped).await else { return Verdict::Leave };
        let Err(refused) = outcome else { return Verdict::Acknowledge };
        let (attempts, error) = (failed.saturating_add(1), refused.to_string());
        tracing::warn!(id = %event.id, kind = event.kind, attempts, error, "an event was refused");
        if refused.is_final() {
            return Verdict::Bury { reason: "refused", attempts, error };
        }
        match inner.topology.delay(attempts, refused.wait()) {
            Some(queue) if attempts < inner.options.attempts_max => {
                Verdict::Delay { attempts, queue: queue.clone(), error }
            }
            _ => Verdict::Bury { reason: "gave_up", attempts, error },
        }
    }

    /// Has the event handled once, in one transaction with its row in the inbox. None when that cannot be found out any more: the
    /// database is away, and the connection or the time is over.
    async fn handle(
        &self,
        delivery: &Delivery,
        event: &Arc<Envelope>,
        mut stopped: watch::Receiver<bool>,
    ) -> Option<Result<(), Refused>> {
        let scope = event.tenant_id.map_or(Scope::Platform("hear an event"), Scope::Tenant);
        let mut pause = Pause::default();
        loop {
            let (inner, event) = (Arc::clone(&self.inner), Arc::clone(event));
            let now = inner.clock.now();
            let has_begun = Arc::new(AtomicBool::new(false));
            let begun = Arc::clone(&has_begun);
            let work = async move |tx: &mut Tx| -> Result<(), Refused> {
                begun.store(true, Ordering::Relaxed);
                if inbox::take(tx, inner.subscriber.name(), event.id, now).await? {
                    inner.subscriber.handle(tx, &event).await?;
                }
                Ok(())
            };
            // What a panic or the end of the time leaves behind is an open transaction, which is rolled back.
            let work = guarded(async { Ok(self.inner.db.transact(scope, work).await) });
            let outcome = match tokio::time::timeout(self.inner.options.timeout, work).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(Refused::later("the handler panicked")),
                Err(_) => Err(Refused::later("the handler took too long")),
            };
            match outcome {
                Err(refused)
                    if !has_begun.load(Ordering::Relaxed) || is_outage(&self.inner.db, &refused).await =>
                {
                    tracing::warn!(error = %refused, "an event waits for the database");
                    if !self.wait(delivery, &mut pause, &mut stopped).await {
                        return None;
                    }
                }
                outcome => return Some(outcome),
            }
        }
    }

    /// Publishes to a queue of ours; says whether the broker has it for certain.
    async fn publish(
        &self,
        delivery: &Delivery,
        message: Message,
        mut stopped: watch::Receiver<bool>,
    ) -> bool {
        let mut pause = Pause::default();
        let message = [message];
        loop {
            let (said, trouble) = self.inner.outbound.publish(&message).await;
            if matches!(said.as_slice(), [Said::Kept]) {
                return true;
            }
            // Somebody has deleted the queue.
            if said.contains(&Said::Unroutable) {
                self.inner.outbound.declare_anew().await;
            }
            let trouble =
                trouble.map_or("it has no such queue, or no room".to_owned(), |trouble| trouble.to_string());
            tracing::warn!(
                queue = message[0].routing_key.as_str(),
                trouble,
                "the broker does not take back an event"
            );
            if !self.wait(delivery, &mut pause, &mut stopped).await {
                return false;
            }
        }
    }

    /// Waits before something is tried again; says whether that makes sense.
    async fn wait(
        &self,
        delivery: &Delivery,
        pause: &mut Pause,
        stopped: &mut watch::Receiver<bool>,
    ) -> bool {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => false,
            () = tokio::time::sleep(pause.next()) => delivery.acker.usable(),
        }
    }
}
