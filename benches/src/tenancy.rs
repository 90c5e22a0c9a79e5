//! What organisations cost: how a start and the memory of the server grow with ten thousand of them, and what the wall between
//! them costs a read.

mod many;
mod reads;

use crate::{Result, report::Report};

pub(crate) async fn run(report: &mut Report) -> Result {
    many::run(report).await?;
    reads::run(report)
}
