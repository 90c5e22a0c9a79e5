use std::{env, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use stylobate_db::{Db, DbOptions, Participant};

use super::{relaying::Relaying, writer::Writing};

/// The database, and what is to be done.
pub(super) const DATABASE: &str = "STYLOBATE_CHAOS_DATABASE";
pub(super) const TASK: &str = "STYLOBATE_CHAOS_TASK";

/// What a process is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    Write(Writing),
    Relay(Relaying),
}

/// Does what the environment says, until it is done or the process is killed.
///
/// # Panics
/// When the environment cannot be used.
pub async fn work() {
    let named = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let url = named(DATABASE);
    match serde_json::from_str(&named(TASK)).expect("a task") {
        Task::Write(writing) => writing.work(&url).await,
        Task::Relay(relaying) => Box::pin(relaying.work(&url)).await,
    }
}

pub(super) async fn connected(url: &str, participants: &[Arc<dyn Participant>]) -> Db {
    let options = DbOptions { connections_max: 8, ..DbOptions::default() };
    loop {
        let mut builder = Db::builder(url, options.clone()).without_audit();
        for participant in participants {
            builder = builder.participant(Arc::clone(participant));
        }
        match builder.connect().await {
            Ok(db) => return db,
            // On SQLite somebody may be frozen who writes.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
