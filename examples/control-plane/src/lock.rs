//! One server on one SQLite database: the second would wait for the first at every write.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use secrecy::ExposeSecret as _;
use stylobate::{Settings, StartError};

use crate::commands::Failed;

/// Holds `DATA_DIR` for this process as long as the value lives, when the database is SQLite. The system lets go of it
/// when the process ends, however it ends.
pub(crate) fn hold(settings: &Settings) -> Result<Option<File>, Failed> {
    if !settings.database_url.expose_secret().starts_with("sqlite") {
        return Ok(None);
    }
    let path = settings.data_dir.join("server.lock");
    let io = |source| StartError::Io { what: format!("`{}` cannot be used", path.display()), source };
    settings.make_data_dir()?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failed::SqliteSingleServer),
        Err(error) => Err(io(error.into()).into()),
    }
}
