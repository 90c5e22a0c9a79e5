use futures_util::StreamExt as _;
use lapin::{
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{Consumer, PATIENCE, State};
use crate::rabbitmq::link::{Link, Pause, Trouble};

impl Consumer {
    /// Hears events over one connection: until it is told to stop, or something is the matter.
    pub(super) async fn session(
        &self,
        stopped: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> Result<(), Trouble> {
        let inner = &self.inner;
        let opening = async {
            let link = Link::open(&inner.broker).await?;
            let setting_up = async {
                let channel = link.connection().create_channel().await?;
                inner.topology.declare(&channel).await?;
                channel.basic_qos(inner.options.prefetch, BasicQosOptions::default()).await?;
                let (queue, tag) = (inner.topology.queue.clone(), inner.subscriber.name().into());
                let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
                let deliveries = channel.basic_consume(queue, tag, options, none).await?;
                Ok((channel, deliveries))
            };
            let set_up = timeout(PATIENCE, setting_up).await.unwrap_or(Err(Trouble::Silent(PATIENCE)));
            set_up.map(|(channel, deliveries)| (link, channel, deliveries))
        };
        let (link, channel, mut deliveries) = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            opened = opening => opened?,
        };
        tracing::info!(queue = inner.topology.queue.as_str(), "events are heard");
        *inner.state.lock() = State::Consuming;
        pause.reset();

        let mut handling = JoinSet::new();
        let asked_to_stop = stopped.clone();
        let concurrency = usize::from(inner.options.concurrency);
        let outcome = loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break Ok(()),
                Some(_) = handling.join_next() => {}
                delivery = deliveries.next(), if handling.len() < concurrency => match delivery {
                    Some(Ok(delivery)) => {
                        let consumer = self.clone();
                        let stopped = asked_to_stop.clone();
                        handling.spawn(async move { consumer.answer(delivery, stopped).await });
                    }
                    Some(Err(error)) => break Err(error.into()),
                    // The broker ends it like this when the queue is deleted.
                    None => break Err(Trouble::Lost("the queue is gone".to_owned())),
                },
            }
        };
        // What the broker has sent ahead goes back when the channel ends.
        let deadline = Instant::now() + inner.options.drain;
        if outcome.is_ok() {
            let cancel = channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default());
            if !matches!(timeout(PATIENCE, cancel).await, Ok(Ok(()))) {
                tracing::debug!("the broker did not hear that no more events are wanted");
            }
        }
        let drained = timeout_at(deadline, async { while handling.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(left = handling.len(), "events took too long and are left to come again");
            handling.shutdown().await;
        }
        drop(deliveries);
        link.close(Some(channel)).await;
        outcome
    }
}
