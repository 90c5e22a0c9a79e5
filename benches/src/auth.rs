//! What checking credentials costs, each beside the least that anybody would do.

mod api_keys;
mod introspection;
mod primitive;
mod signatures;
mod tokens;

use crate::{Result, report::Report};

pub(crate) async fn run(report: &mut Report) -> Result {
    tokens::run(report)?;
    signatures::run(report)?;
    api_keys::run(report).await?;
    introspection::run(report).await
}
