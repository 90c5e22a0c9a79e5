use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::KeyError;

const KEY_BYTES: usize = 32;
/// A key in text has at most 64 characters; the rest is room for comments.
const FILE_BYTES_MAX: u64 = 4_096;
/// The first line of a file this crate made. It is how a later start still knows that nobody chose the key.
const GENERATED_MARK: &str = "# generated at first start; remove this line to adopt the key";

/// The key that seals all other keys: 32 bytes, held outside the database.
///
/// It comes from the environment, from a file that only its owner can read, or is made at the first start for
/// development. A made key is marked as such in its file, and [`is_generated`](Self::is_generated) stays true over
/// restarts: production should refuse it, because a second machine, or a container that lost its disk, would make
/// another one. Adopting it is a deliberate act: remove the first line of the file, and keep a copy elsewhere.
pub struct KeyEncryptionKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    generated: bool,
}

impl KeyEncryptionKey {
    /// Makes a new key that is kept nowhere: what it seals is lost with the process. For tests.
    ///
    /// # Errors
    /// [`KeyError::RandomnessUnavailable`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { bytes: Zeroizing::new(crate::key::random()?), generated: true })
    }

    /// Reads a key from the text of a setting: 32 bytes as base64 (either alphabet, padded or not) or hexadecimal.
    /// White space around it is ignored.
    ///
    /// # Errors
    /// [`KeyError::KekInvalid`] for anything else, and for a key of one repeated byte.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let decoded = match text.len() {
            64 => hex::decode(text).ok(),
            43 => BASE64_URL_SAFE_NO_PAD.decode(text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(text)).ok(),
            44 => BASE64_URL_SAFE.decode(text).or_else(|_| BASE64_STANDARD.decode(text)).ok(),
            _ => None,
        };
        let mut decoded = Zeroizing::new(decoded.ok_or(KeyError::KekInvalid)?);
        let bytes: [u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| KeyError::KekInvalid)?;
        decoded.zeroize();
        let bytes = Zeroizing::new(bytes);
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(KeyError::KekInvalid);
        }
        Ok(Self { bytes, generated: false })
    }

    /// Reads the key in the file at `path`: a line as [`from_text`](Self::from_text) reads it; lines that begin with
    /// `#` are comments.
    ///
    /// # Errors
    /// [`KeyError::KekFilePermissions`] when group or others have any access to the file (on Unix),
    /// [`KeyError::KekFile`] when it cannot be read, [`KeyError::KekInvalid`] when it holds something else.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(KeyError::KekFile)?;
        // Asked of the open file, not of the path, so that it is about the bytes read below.
        refuse_access_by_others(&file)?;
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(KeyError::KekFile)?;
        let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(KeyError::KekInvalid);
        };
        let mut key = Self::from_text(line)?;
        key.generated = text.lines().any(|line| line == GENERATED_MARK);
        Ok(key)
    }

    /// Reads the key in the file at `path`, and makes both at the first start (mode 0600, complete or not at all). Of
    /// several processes that do so at once, one makes the key and all read it.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file); [`KeyError::KekFile`] also when the folder does not exist or is not
    /// writable.
    pub fn from_file_or_generate(path: &Path) -> Result<Self, KeyError> {
        match Self::from_file(path) {
            Err(KeyError::KekFile(error)) if error.kind() == io::ErrorKind::NotFound => {
                Self::generate()?.create_file(path)?;
                Self::from_file(path)
            }
            result => result,
        }
    }

    /// Whether the key was made by this crate and nobody has adopted it.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.generated
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Puts the key at `path` unless there is a file already.
    fn create_file(&self, path: &Path) -> Result<(), KeyError> {
        let draft = Draft(draft_path(path)?);
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(self.bytes.as_slice()));
        let text = Zeroizing::new(format!("{GENERATED_MARK}\n{}\n", *encoded));
        let mut file = create_private(&draft.0).map_err(KeyError::KekFile)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(KeyError::KekFile)?;
        // A link appears at once and with its whole content, and unlike a rename it never replaces another's key.
        match fs::hard_link(&draft.0, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(KeyError::KekFile(error));
            }
            _ => {}
        }
        sync_folder(path)
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey {{ bytes: [redacted], generated: {} }}", self.generated)
    }
}

/// A file beside the final one, gone when this is dropped.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a draft of the key-encryption key's file remains");
        }
    }
}

fn draft_path(path: &Path) -> Result<PathBuf, KeyError> {
    let suffix: [u8; 8] = crate::key::random()?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.draft", hex::encode(suffix)));
    Ok(path.with_file_name(name))
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "other systems have no modes to check"))]
fn refuse_access_by_others(file: &File) -> Result<(), KeyError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(KeyError::KekFile)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::KekFilePermissions);
        }
    }
    Ok(())
}

/// Makes the new name itself survive a power cut.
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix opens folders as files"))]
fn sync_folder(path: &Path) -> Result<(), KeyError> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(KeyError::KekFile)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_and_every_base64_are_read() {
        let bytes: [u8; 32] = std::array::from_fn(|i| 0xff - u8::try_from(i).unwrap());
        for text in [
            hex::encode(bytes),
            hex::encode_upper(bytes),
            BASE64_STANDARD.encode(bytes),
            BASE64_STANDARD_NO_PAD.encode(bytes),
            BASE64_URL_SAFE.encode(bytes),
            format!(" {}\n", BASE64_URL_SAFE_NO_PAD.encode(bytes)),
        ] {
            let key = KeyEncryptionKey::from_text(&text).unwrap();
            assert_eq!(key.bytes(), &bytes, "{text}");
            assert!(!key.is_generated());
        }
    }

    #[test]
    fn weak_or_other_texts_are_no_key() {
        let (zeros, ones) = (hex::encode([0; 32]), BASE64_STANDARD.encode([1; 32]));
        let (short, long) = (hex::encode([7; 31]), hex::encode([7; 33]));
        for text in ["", "changeme", &zeros, &ones, &short, &long, &"z".repeat(64), &"=".repeat(44)] {
            assert!(matches!(KeyEncryptionKey::from_text(text), Err(KeyError::KekInvalid)), "{text}");
        }
    }
}
