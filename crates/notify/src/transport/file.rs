use std::{
    ffi::OsStr,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use stylobate_core::BoxFuture;
use tokio::fs;

use super::{FailureClass, MailTransport, Receipt, SendError};
use crate::Mail;

/// Longer than anybody writes one mail.
const WRITING_MAX: Duration = Duration::from_secs(60 * 60);

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

    /// Removes mails that were written longer ago than `age`, and returns how many. What a process left unfinished goes too, after an
    /// hour at the earliest. Several may do so at once.
    ///
    /// # Errors
    /// The folder's own; a folder that is not there holds none.
    pub async fn remove_older(&self, age: Duration) -> io::Result<u64> {
        let Some(mut entries) = unless_gone(fs::read_dir(&self.folder).await)? else { return Ok(0) };
        let mut removed = 0;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let is_unfinished = match path.extension() {
                Some(extension) if extension == "eml" => false,
                Some(_) if is_unfinished(&entry.file_name()) => true,
                _ => continue,
            };
            let Some(metadata) = unless_gone(entry.metadata().await)? else { continue };
            let age = if is_unfinished { age.max(WRITING_MAX) } else { age };
            // What is from the future is not old.
            if metadata.modified()?.elapsed().is_ok_and(|since| since > age)
                && unless_gone(fs::remove_file(&path).await)?.is_some()
                && !is_unfinished
            {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Whole or not at all: readers see no half of a mail.
    async fn write(&self, mail: &Mail) -> io::Result<()> {
        let name: String = mail.id().split('@').next().unwrap_or_default().to_owned();
        let (folder, bytes) = (self.folder.clone(), mail.as_bytes().to_vec());
        // At once: each step by itself would go to another thread and back.
        let written = tokio::task::spawn_blocking(move || write_whole(&folder, &name, &bytes));
        written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Two tasks may send one mail at once.
    let unfinished = folder.join(unfinished(name));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&unfinished)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&unfinished, folder.join(format!("{name}.eml"))));
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

/// What a file is called until it is whole: `.<name>.` and 16 hexadecimal digits.
fn unfinished(name: &str) -> String {
    format!(".{name}.{:016x}", unique())
}

fn is_unfinished(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix('.')?.rsplit_once('.'));
    number
        .is_some_and(|(_, number)| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `None` when somebody else has removed it.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
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
            let probe = self.folder.join(unfinished("check"));
            let checked = async {
                fs::create_dir_all(&self.folder).await?;
                fs::write(&probe, "").await?;
                fs::remove_file(&probe).await
            };
            checked.await.map_err(|error| failed(&error))
        })
    }
}
