use serde::{Deserialize, Serialize};
use stylobate_jobs::{Attempt, Failed, Job, Saga};

/// Reserves an article, charges for it and ships it; or has done none of that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What is ordered.
    pub(crate) article: String,
    /// Whether the customer's bank agrees.
    pub(crate) pays: bool,
}

/// Where orders go: other services, in a real shop.
#[derive(Debug, Clone)]
pub(crate) struct Shop;

impl Shop {
    async fn reserve(&self, article: &str) -> Result<String, Failed> {
        println!("order of a {article}: reserved");
        Ok(format!("shelf of the {article}"))
    }

    async fn give_back(&self, place: String) -> Result<(), Failed> {
        println!("order: given back to the {place}");
        Ok(())
    }

    async fn charge(&self, order: &Order) -> Result<(), Failed> {
        if !order.pays {
            println!("order of a {}: the bank says no", order.article);
            return Err(Failed::discard("the bank says no"));
        }
        println!("order of a {}: charged", order.article);
        Ok(())
    }

    async fn ship(&self, place: &str) -> Result<(), Failed> {
        println!("order: shipped from the {place}");
        Ok(())
    }
}

impl Job for Order {
    const NAME: &'static str = "example.order";
    type State = Shop;
    type Output = ();
    type Error = Failed;

    async fn run(self, attempt: Attempt, shop: Shop) -> Result<(), Failed> {
        let mut saga = Saga::of(&attempt)?;
        let place =
            saga.undoable("reserve", shop.reserve(&self.article), |place| shop.give_back(place)).await?;
        saga.step("charge", shop.charge(&self)).await?;
        saga.step("ship", shop.ship(&place)).await
    }
}
