//! The offline index of breached passwords.
//!
//! The list that "Have I Been Pwned" publishes has a line `HASH:COUNT` for each of about a billion passwords, where `HASH` is the
//! SHA-1 of the password. [`BreachIndex::build`] makes 6 bytes of each line; [`BreachIndex::open`] reads 512 KiB of the result and
//! asks the rest as needed. The format, version 1, all numbers little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | `STYBREAC` |
//! | 8 | 4 | 1, the version |
//! | 12 | 4 | 6, the bytes of an entry |
//! | 16 | 8 | how many entries there are |
//! | 24 | 32 | SHA-256 of all entries |
//! | 56 | 524,296 | 65,537 numbers of 8 bytes: how many entries come before those of each first two bytes of a hash, and the total |
//! | 524,352 | 32 | SHA-256 of everything before |
//! | 524,384 | 6 each | the entries: bytes 3 to 8 of each hash as a big-endian number, ascending within the same first two bytes |
//!
//! So 64 bits of each hash are compared: among a billion entries, one good password in 18 billion is refused by chance.

mod build;
#[cfg(feature = "breach-range")]
mod range;

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::Password;

pub use build::BreachIndexBuilt;
#[cfg(feature = "breach-range")]
pub use range::{BreachRange, BreachRangeUnavailable};

const MAGIC: &[u8; 8] = b"STYBREAC";
const VERSION: u32 = 1;
const ENTRY_BYTES: usize = 6;
/// One for each value of the first two bytes of a hash.
const BUCKETS: usize = 1 << 16;
const TABLE_AT: usize = 56;
const HEAD_BYTES: usize = TABLE_AT + (BUCKETS + 1) * 8;
const DIGEST_BYTES: usize = 32;
const ENTRIES_AT: u64 = (HEAD_BYTES + DIGEST_BYTES) as u64;
/// Entries that are read at once, about 4 KiB: a page of the system's cache.
const READ_MAX: u64 = 680;

/// Passwords that are known from breaches, in a file.
///
/// A look-up takes microseconds once the system has the file in its cache, a few reads from the disk before. Clones share the file.
#[derive(Clone)]
pub struct BreachIndex {
    inner: Arc<Inner>,
}

struct Inner {
    file: Mutex<File>,
    /// How many entries come before each bucket, and the total.
    starts: Box<[u64]>,
    entries_digest: [u8; DIGEST_BYTES],
}

/// Why an index cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BreachIndexError {
    /// A file cannot be read or written.
    #[error("the file cannot be used")]
    Io(#[from] std::io::Error),
    /// The file is no index, or one of another version.
    #[error("the file is not a breach index of version 1")]
    NotAnIndex,
    /// The file is shorter than it says, or its content has changed.
    #[error("the breach index is damaged")]
    Damaged,
    /// A line of the list is not `HASH:COUNT`.
    #[error("line {line} is not a SHA-1 and a count")]
    BadLine {
        /// Which line, from 1.
        line: u64,
    },
}

impl BreachIndexError {
    /// A stable code programs may match on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "breach_index_io",
            Self::NotAnIndex => "breach_index_unknown",
            Self::Damaged => "breach_index_damaged",
            Self::BadLine { .. } => "breach_list_malformed",
        }
    }
}

impl BreachIndex {
    /// Opens an index. Its head is checked against its digest and the file against its length; the entries only by
    /// [`verify`](Self::verify), because reading all of them takes a while.
    ///
    /// # Errors
    /// [`BreachIndexError::NotAnIndex`], [`BreachIndexError::Damaged`], [`BreachIndexError::Io`].
    pub fn open(path: &Path) -> Result<Self, BreachIndexError> {
        let mut file = File::open(path)?;
        let mut head = Vec::with_capacity(HEAD_BYTES + DIGEST_BYTES);
        file.by_ref().take(ENTRIES_AT).read_to_end(&mut head)?;
        if !head.starts_with(MAGIC) || u32_at(&head, 8) != Some(VERSION) {
            return Err(BreachIndexError::NotAnIndex);
        }
        let (head, head_digest) = head.split_at_checked(HEAD_BYTES).ok_or(BreachIndexError::Damaged)?;
        let is_whole = digest(&SHA256, head).as_ref() == head_digest;
        let table = head.get(TABLE_AT..).unwrap_or_default();
        let starts: Box<[u64]> = table.chunks_exact(8).filter_map(|bytes| u64_at(bytes, 0)).collect();
        let total = u64_at(head, 16).filter(|total| starts.last() == Some(total));
        let length = total.and_then(|total| total.checked_mul(ENTRY_BYTES as u64)?.checked_add(ENTRIES_AT));
        let is_sound = u32_at(head, 12) == Some(ENTRY_BYTES as u32) && starts.is_sorted();
        if !is_whole || !is_sound || length != Some(file.metadata()?.len()) {
            return Err(BreachIndexError::Damaged);
        }
        let entries_digest = head.get(24..TABLE_AT).and_then(|bytes| bytes.try_into().ok());
        let entries_digest = entries_digest.ok_or(BreachIndexError::Damaged)?;
        Ok(Self { inner: Arc::new(Inner { file: Mutex::new(file), starts, entries_digest }) })
    }

    /// How many passwords it knows.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.inner.starts.last().copied().unwrap_or_default()
    }

    /// Whether a password is known from a breach.
    ///
    /// # Errors
    /// [`BreachIndexError::Io`] when the file cannot be read.
    pub fn contains(&self, password: &Password) -> Result<bool, BreachIndexError> {
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose_secret().as_bytes());
        let wanted = first_64_bits(sha1.as_ref());
        let (bucket, rest) = split(wanted);
        let range = self.inner.starts.get(bucket..).unwrap_or_default();
        let [start, end, ..] = range else { return Ok(false) };
        self.inner.is_between(*start, *end, rest)
    }

    /// Reads all entries and holds them against their digest.
    ///
    /// # Errors
    /// [`BreachIndexError::Damaged`] when they have changed, [`BreachIndexError::Io`].
    pub fn verify(&self) -> Result<(), BreachIndexError> {
        let mut file = self.inner.file.lock();
        file.seek(SeekFrom::Start(ENTRIES_AT))?;
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            context.update(buffer.get(..read).unwrap_or_default());
        }
        let found: Digest = context.finish();
        if found.as_ref() == self.inner.entries_digest { Ok(()) } else { Err(BreachIndexError::Damaged) }
    }
}

impl Inner {
    /// Whether `wanted` is among the entries from `start` to before `end`. Hashes are spread evenly, so a guess by proportion finds
    /// the right page nearly always at once; halving bounds the rest.
    fn is_between(&self, mut start: u64, mut end: u64, wanted: u64) -> Result<bool, BreachIndexError> {
        let mut guess = {
            let share = (u128::from(end - start) * u128::from(wanted)) >> 48;
            start + u64::try_from(share).unwrap_or_default()
        };
        let mut page = Vec::new();
        while start < end {
            let from =
                guess.saturating_sub(READ_MAX / 2).clamp(start, end.saturating_sub(READ_MAX).max(start));
            let to = (from + READ_MAX).min(end);
            self.read(from, to, &mut page)?;
            let entries = || page.as_chunks::<ENTRY_BYTES>().0.iter().map(number);
            match (entries().next(), entries().next_back()) {
                (Some(first), _) if wanted < first => end = from,
                (_, Some(last)) if wanted > last => start = to,
                _ => return Ok(entries().any(|entry| entry == wanted)),
            }
            guess = start + (end - start) / 2;
        }
        Ok(false)
    }

    fn read(&self, from: u64, to: u64, page: &mut Vec<u8>) -> Result<(), BreachIndexError> {
        let bytes = usize::try_from(to - from).map_err(|_| BreachIndexError::Damaged)? * ENTRY_BYTES;
        page.resize(bytes, 0);
        let mut file = self.file.lock();
        file.seek(SeekFrom::Start(ENTRIES_AT + from * ENTRY_BYTES as u64))?;
        Ok(file.read_exact(page)?)
    }
}

impl fmt::Debug for BreachIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreachIndex").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

fn first_64_bits(sha1: &[u8]) -> u64 {
    sha1.first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default()
}

/// The bucket of a hash, and what is stored of it there.
fn split(prefix: u64) -> (usize, u64) {
    // 16 bits always fit.
    ((prefix >> 48) as usize, prefix & 0xffff_ffff_ffff)
}

fn number(entry: &[u8; ENTRY_BYTES]) -> u64 {
    let [a, b, c, d, e, f] = *entry;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}
