use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use stylobate_core::BoxFuture;
use tokio::{fs, io::AsyncWriteExt as _};

use super::{FailureClass, MailTransport, Receipt, SendError};
use crate::Mail;

/// Writes each mail into a folder, as `<id>.eml` that its owner alone may read: for development, and for tests that read mails.
/// A mail that is sent again takes the place of the first; [`remove_older`](Self::remove_older) removes old ones.
#[derive(Debug, Clone)]
pub struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    /// Writes into `folder`, which is made when it is not there.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where mails lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes mails that were written longer ago than `age`, and returns how many.
    ///
    /// # Errors
    /// The folder's own; a folder that is not there holds none.
    pub async fn remove_older(&self, age: Duration) -> io::Result<u64> {
        let mut entries = match fs::read_dir(&self.folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            let written = entry.metadata().await?.modified()?;
            // What is from the future is not old.
            if written.elapsed().is_ok_and(|since| since > age) {
                fs::remove_file(&path).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Whole or not at all: readers see no half of a mail.
    async fn write(&self, mail: &Mail) -> io::Result<()> {
        fs::create_dir_all(&self.folder).await?;
        let name: String = mail.id().split('@').next().unwrap_or_default().to_owned();
        // Two tasks may send one mail at once.
        let unfinished = self.folder.join(format!(".{name}.{:016x}", unique()));
        let written = async {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            options.mode(0o600);
            let mut file = options.open(&unfinished).await?;
            file.write_all(mail.as_bytes()).await?;
            file.flush().await?;
            drop(file);
            fs::rename(&unfinished, self.folder.join(format!("{name}.eml"))).await
        }
        .await;
        if written.is_err() {
            let _ = fs::remove_file(&unfinished).await;
        }
        written
    }
}

/// A number that this process gives out once.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    (u64::from(std::process::id()) << 32) | NEXT.fetch_add(1, Ordering::Relaxed)
}

fn failed(error: &io::Error) -> SendError {
    tracing::error!(error = error as &dyn std::error::Error, "a mail could not be written into the folder");
    SendError {
        class: FailureClass::Outage,
        code: "mail_folder_failed",
        status: None,
        words: "the folder for mails cannot be written to",
    }
}

impl MailTransport for FileTransport {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async {
            self.write(mail).await.map_err(|error| failed(&error))?;
            Ok(Receipt::default())
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async {
            let probe = self.folder.join(format!(".check.{:016x}", unique()));
            let checked = async {
                fs::create_dir_all(&self.folder).await?;
                fs::write(&probe, "").await?;
                fs::remove_file(&probe).await
            };
            checked.await.map_err(|error| failed(&error))
        })
    }
}
