use std::{collections::BTreeSet, time::Duration};

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{message::millis, publisher::exchanges};
use crate::{Catalogue, EventsError, Types, catalogue::checked_name};

/// How the broker keeps the queues of a consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// On several nodes, by majority: survives the loss of a node. From RabbitMQ 3.10 on. A message that was delivered 50 times
    /// without an answer, because it kills its consumers, becomes a dead letter.
    #[default]
    Quorum,
    /// On one node.
    Classic,
}

/// How often a message of a quorum queue may come back without an answer.
const UNANSWERED_MAX: i32 = 50;

/// The queues of a consumer, and what leads to them.
///
/// A message that failed is published to a delay queue, of which there is one for each delay, since a queue lets only the first of
/// its messages expire. From there it expires back into the main queue.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) queue: ShortString,
    /// Shortest first.
    delays: Vec<(Duration, ShortString)>,
    /// Where dead letters go.
    pub(super) dead: ShortString,
    /// Exchange and pattern.
    bindings: BTreeSet<(&'static str, String)>,
    kind: QueueKind,
}

impl Topology {
    pub(super) fn new(
        queue: &str,
        kind: QueueKind,
        delays: &[Duration],
        types: &Types,
        catalogue: &Catalogue,
    ) -> Result<Self, EventsError> {
        checked_name("queue", queue, 200)?;
        if queue.starts_with("amq.") {
            let problem = "begins with `amq.`, which belongs to brokers".to_owned();
            return Err(EventsError::Invalid { field: "queue", problem });
        }
        let exchanges = exchanges(catalogue)?;
        let mut bindings = BTreeSet::new();
        match types {
            Types::All => bindings.extend(exchanges.into_values().map(|exchange| (exchange, "#".to_owned()))),
            Types::Named(names) => {
                for name in names {
                    let exchange = exchanges.get(name).ok_or_else(|| EventsError::Invalid {
                        field: "types",
                        problem: format!("has `{name}`, for which the catalogue names no exchange"),
                    })?;
                    bindings.insert((*exchange, name.clone()));
                }
            }
        }
        let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(86_400));
        let delays: BTreeSet<Duration> =
            delays.iter().map(|delay| (*delay).clamp(shortest, longest)).collect();
        if delays.is_empty() || delays.len() > 16 {
            let problem = "are 1 to 16".to_owned();
            return Err(EventsError::Invalid { field: "delays", problem });
        }
        // The delay is part of the name: a queue cannot change its own.
        let delays =
            delays.into_iter().map(|delay| (delay, format!("{queue}.retry.{}ms", millis(delay)).into()));
        Ok(Self {
            queue: queue.into(),
            delays: delays.collect(),
            dead: format!("{queue}.dead").into(),
            bindings,
            kind,
        })
    }

    /// The delay queue for what has failed `attempts` times and asked for a wait.
    pub(super) fn delay(&self, attempts: u32, wait: Option<Duration>) -> Option<&ShortString> {
        let by_attempt = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let by_wait = wait.map_or(0, |wait| self.delays.iter().filter(|(delay, _)| *delay < wait).count());
        let step = by_attempt.max(by_wait).min(self.delays.len().saturating_sub(1));
        self.delays.get(step).map(|(_, queue)| queue)
    }

    /// Declares all of it, whoever is there first: the publisher or a consumer.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        let none = FieldTable::default;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for exchange in self.bindings.iter().map(|(exchange, _)| *exchange).collect::<BTreeSet<_>>() {
            channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none()).await?;
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.dead.clone(), durable, self.arguments(None)).await?;
        for (delay, queue) in &self.delays {
            let mut arguments = self.arguments(Some(&self.queue));
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis(*delay)));
            channel.queue_declare(queue.clone(), durable, arguments).await?;
        }
        let mut arguments = self.arguments(Some(&self.dead));
        if self.kind == QueueKind::Quorum {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(UNANSWERED_MAX));
        }
        channel.queue_declare(self.queue.clone(), durable, arguments).await?;
        for (exchange, pattern) in &self.bindings {
            let (exchange, pattern) = ((*exchange).into(), pattern.as_str().into());
            channel
                .queue_bind(self.queue.clone(), exchange, pattern, QueueBindOptions::default(), none())
                .await?;
        }
        Ok(())
    }

    /// The arguments of a queue whose messages go to the queue `after` when they are rejected or expire.
    fn arguments(&self, after: Option<&ShortString>) -> FieldTable {
        let mut arguments = FieldTable::default();
        let mut insert = |name: &str, value: &str| {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        insert(
            "x-queue-type",
            match self.kind {
                QueueKind::Quorum => "quorum",
                QueueKind::Classic => "classic",
            },
        );
        if let Some(after) = after {
            insert("x-dead-letter-exchange", "");
            insert("x-dead-letter-routing-key", after.as_str());
            if self.kind == QueueKind::Quorum {
                // They leave only when the other queue has them, for which the broker wants to be allowed to refuse new ones.
                insert("x-dead-letter-strategy", "at-least-once");
                insert("x-overflow", "reject-publish");
            }
        }
        arguments
    }
}
