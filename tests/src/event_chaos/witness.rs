use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use lapin::{
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::task::JoinHandle;

use crate::{broker_host::connect, strike::now_ms};

/// One message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Its message id.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    /// Whether the broker says that it may have come before.
    pub(super) is_redelivered: bool,
    pub(super) at_ms: i64,
}

/// Reads a queue for as long as it is looked at, whatever becomes of the broker, and notes every message before it takes it.
pub(super) struct Witness {
    seen: Arc<Mutex<Vec<Arrival>>>,
    reader: JoinHandle<()>,
}

impl Witness {
    pub(super) fn start(broker: &str, queue: &'static str) -> Self {
        let seen: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let (broker, notes) = (broker.to_owned(), Arc::clone(&seen));
        let reader = tokio::spawn(async move {
            loop {
                // However it ends: the broker is away, or has closed the connection.
                let _ = read(&broker, queue, &notes).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { seen, reader }
    }

    /// How many messages have come, copies included.
    pub(super) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Looks away, and tells.
    pub(super) fn end(self) -> Vec<Arrival> {
        self.reader.abort();
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn read(broker: &str, queue: &str, seen: &Mutex<Vec<Arrival>>) -> Result<(), lapin::Error> {
    let connection = connect(broker).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(64, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut messages =
        channel.basic_consume(queue.into(), "witness".into(), options, FieldTable::default()).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let id = message.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        let arrival =
            Arrival { id, body: message.data, is_redelivered: message.redelivered, at_ms: now_ms() };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        message.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
