use std::time::Duration;

use lapin::{BasicProperties, types::ShortString};

use super::{
    Broker,
    link::Trouble,
    message::Message,
    outbound::{Ground, Outbound, Said},
};

/// How long the broker may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a broker could not be tried out. Its text is for operators: it names no password.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BrokerTrouble(#[from] Trouble);

impl Broker {
    /// Publishes one durable message over a connection of its own, to see whether the broker can be used; for what happens there is
    /// [`Publisher`](crate::Publisher). The exchange is declared as a durable topic exchange. Returns whether a queue has the
    /// message.
    ///
    /// # Errors
    /// [`BrokerTrouble`] when the broker cannot be reached, does not answer, or refuses the exchange or the message.
    pub async fn try_out(
        &self,
        exchange: &str,
        routing_key: &str,
        body: Vec<u8>,
    ) -> Result<bool, BrokerTrouble> {
        let name = |text: &str| {
            let name = ShortString::try_new(text);
            name.map_err(|_| Trouble::Refused("names have at most 255 bytes".to_owned()))
        };
        let (exchange, routing_key) = (name(exchange)?, name(routing_key)?);
        let outbound = Outbound::new(self.clone(), Ground::Exchanges(vec![exchange.clone()]), PATIENCE);
        let properties = BasicProperties::default().with_delivery_mode(2);
        let (said, trouble) = outbound.publish(&[Message { exchange, routing_key, properties, body }]).await;
        outbound.close().await;
        match said.first() {
            Some(Said::Kept) => Ok(true),
            Some(Said::Unroutable) => Ok(false),
            _ => {
                let none = || Trouble::Refused("the message could not be kept".to_owned());
                Err(trouble.unwrap_or_else(none).into())
            }
        }
    }
}
