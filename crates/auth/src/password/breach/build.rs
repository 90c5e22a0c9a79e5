use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256, digest};

use super::{
    BUCKETS, BreachIndex, BreachIndexError, ENTRIES_AT, ENTRY_BYTES, HEAD_BYTES, MAGIC, TABLE_AT, VERSION,
    first_64_bits, split,
};

/// Hashes that are sorted in memory at once: 64 MiB of them. Of a billion this makes 120 runs to merge.
const RUN_MAX: usize = 8 * 1024 * 1024;
/// The longest line that is looked at: a hash, a count and room to spare.
const LINE_BYTES_MAX: u64 = 256;

/// What [`BreachIndex::build`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreachIndexBuilt {
    /// Lines read.
    pub lines: u64,
    /// Entries written: lines with a sufficient count, each hash once.
    pub entries: u64,
}

impl BreachIndex {
    /// Makes the index `target` from a list with a line `HASH:COUNT` each, where `HASH` is a SHA-1 in hexadecimal digits. The count may
    /// be missing, which means 1; hashes with less than `count_min` are left out. Any order will do.
    ///
    /// It needs 64 MiB of memory, and for each eight million lines of the list 256 KiB and an open file while it merges what it has
    /// sorted, so that two billion lines still fit into 64 MiB and 256 files; and beside the target as much space again as it will have, and a third
    /// more. The target appears when it is complete; an earlier one is replaced.
    ///
    /// # Errors
    /// [`BreachIndexError::BadLine`], [`BreachIndexError::Io`]. Nothing is left behind then, and an earlier target stays.
    pub fn build(
        list: impl BufRead,
        target: &Path,
        count_min: u64,
    ) -> Result<BreachIndexBuilt, BreachIndexError> {
        build(list, target, count_min, RUN_MAX)
    }
}

fn build(
    list: impl BufRead,
    target: &Path,
    count_min: u64,
    run_max: usize,
) -> Result<BreachIndexBuilt, BreachIndexError> {
    let (runs_path, part_path) = (with_suffix(target, ".runs"), with_suffix(target, ".part"));
    let made = (|| {
        let mut runs =
            Runs { path: &runs_path, file: None, lengths: Vec::new(), run: Vec::new(), max: run_max };
        let lines = runs.read(list, count_min)?;
        let entries = runs.write(&part_path)?;
        fs::rename(&part_path, target)?;
        Ok(BreachIndexBuilt { lines, entries })
    })();
    // Either is missing when all went well.
    let _ = fs::remove_file(&runs_path);
    let _ = fs::remove_file(&part_path);
    made
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Sorted runs of hashes, one after the other in a file, and the last one in memory.
struct Runs<'a> {
    path: &'a Path,
    file: Option<BufWriter<File>>,
    /// How many hashes each run in the file has.
    lengths: Vec<u64>,
    run: Vec<u64>,
    max: usize,
}

impl Runs<'_> {
    fn read(&mut self, mut list: impl BufRead, count_min: u64) -> Result<u64, BreachIndexError> {
        let (mut line, mut lines) = (Vec::new(), 0);
        loop {
            line.clear();
            if list.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(lines);
            }
            lines += 1;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let (hash, count) = parse(text).ok_or(BreachIndexError::BadLine { line: lines })?;
            if count >= count_min {
                self.run.push(hash);
            }
            if self.run.len() >= self.max {
                self.spill()?;
            }
        }
    }

    fn spill(&mut self) -> Result<(), BreachIndexError> {
        self.run.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(File::create(self.path)?)),
        };
        for hash in &self.run {
            file.write_all(&hash.to_le_bytes())?;
        }
        self.lengths.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// Merges the runs into an index.
    fn write(mut self, path: &Path) -> Result<u64, BreachIndexError> {
        self.run.sort_unstable();
        if self.file.is_some() {
            // What is in memory makes room for the buffers of the others.
            self.spill()?;
            self.run = Vec::new();
        }
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        let mut readers: Vec<Box<dyn Iterator<Item = Result<u64, BreachIndexError>>>> = Vec::new();
        let mut at = 0;
        for length in &self.lengths {
            let mut file = File::open(self.path)?;
            file.seek(SeekFrom::Start(at * 8))?;
            at += length;
            let mut reader = BufReader::with_capacity(256 * 1024, file.take(length * 8));
            let next = move || {
                let mut hash = [0; 8];
                reader.read_exact(&mut hash).map(|()| u64::from_le_bytes(hash)).map_err(BreachIndexError::Io)
            };
            // It is asked as often as there are hashes.
            let count = usize::try_from(*length).unwrap_or(usize::MAX);
            readers.push(Box::new(std::iter::repeat_with(next).take(count)));
        }
        readers.push(Box::new(std::mem::take(&mut self.run).into_iter().map(Ok)));
        let mut index = IndexWriter::create(path)?;
        let mut heads = BinaryHeap::new();
        for (which, reader) in readers.iter_mut().enumerate() {
            if let Some(hash) = reader.next() {
                heads.push(Reverse((hash?, which)));
            }
        }
        while let Some(Reverse((hash, which))) = heads.pop() {
            index.push(hash)?;
            if let Some(next) = readers.get_mut(which).and_then(Iterator::next) {
                heads.push(Reverse((next?, which)));
            }
        }
        index.finish()
    }
}

/// The first 64 bits of a line's hash, and its count.
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let (hash, count) = match line.iter().position(|byte| *byte == b':') {
        Some(colon) => (line.get(..colon)?, line.get(colon + 1..)?),
        None => (line, b"1".as_slice()),
    };
    let mut sha1 = [0; 20];
    hex::decode_to_slice(hash, &mut sha1).ok()?;
    Some((first_64_bits(&sha1), std::str::from_utf8(count).ok()?.trim().parse().ok()?))
}

/// Writes hashes that come in order.
struct IndexWriter {
    file: BufWriter<File>,
    digest: Context,
    /// Of each bucket.
    counts: Box<[u64]>,
    last: Option<u64>,
    entries: u64,
}

impl IndexWriter {
    fn create(path: &Path) -> Result<Self, BreachIndexError> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.seek(SeekFrom::Start(ENTRIES_AT))?;
        let counts = vec![0; BUCKETS].into_boxed_slice();
        Ok(Self { file, digest: Context::new(&SHA256), counts, last: None, entries: 0 })
    }

    fn push(&mut self, hash: u64) -> Result<(), BreachIndexError> {
        if self.last == Some(hash) {
            return Ok(());
        }
        self.last = Some(hash);
        let (bucket, rest) = split(hash);
        let [_, _, entry @ ..] = rest.to_be_bytes();
        self.digest.update(&entry);
        self.file.write_all(&entry)?;
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.entries += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, BreachIndexError> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
        head.extend_from_slice(&self.entries.to_le_bytes());
        head.extend_from_slice(self.digest.finish().as_ref());
        debug_assert_eq!(head.len(), TABLE_AT, "the documented format");
        let mut before = 0_u64;
        for count in &self.counts {
            head.extend_from_slice(&before.to_le_bytes());
            before += count;
        }
        head.extend_from_slice(&before.to_le_bytes());
        let head_digest = digest(&SHA256, &head);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&head)?;
        self.file.write_all(head_digest.as_ref())?;
        self.file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(self.entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Password;
    use super::*;

    /// The lines of these texts, as the published list has them.
    fn list(passwords: impl IntoIterator<Item = String>) -> Vec<String> {
        let line = |password: String| {
            let sha1 = digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
            format!("{}:{}\r\n", hex::encode_upper(sha1), password.len())
        };
        passwords.into_iter().map(line).collect()
    }

    fn knows(index: &BreachIndex, password: &str) -> bool {
        index.contains(&Password::new(password).unwrap()).unwrap()
    }

    proptest! {
        /// Any line is a hash and a count or refused; none panics.
        #[test]
        fn fuzz_breach_list_any_line(bytes in prop::collection::vec(any::<u8>(), 0..80), hash in "[0-9a-fA-F]{38,42}", rest in "(:[0-9]{0,22})?.{0,3}") {
            let _ = parse(&bytes);
            let line = format!("{hash}{rest}");
            if let Some((prefix, _)) = parse(line.as_bytes()) {
                prop_assert_eq!(format!("{prefix:016x}"), line[..16].to_lowercase());
            }
        }
    }

    #[test]
    fn everything_on_the_list_is_found_and_nothing_else_sorted_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("breaches.idx");
        let mut lines = list((0..20_000).map(|number| format!("password{number}")));
        for is_sorted in [false, true] {
            if is_sorted {
                lines.sort_unstable();
            }
            // Runs smaller than the list: they are merged, and duplicates fall together across them.
            let text = lines.concat() + &lines[..100].concat();
            let built = build(text.as_bytes(), &target, 1, 1_500).unwrap();
            assert_eq!(built, BreachIndexBuilt { lines: 20_100, entries: 20_000 });
            let index = BreachIndex::open(&target).unwrap();
            index.verify().unwrap();
            assert_eq!(index.entries(), 20_000);
            assert!((0..20_000).all(|number| knows(&index, &format!("password{number}"))));
            assert!(!(20_000..40_000).any(|number| knows(&index, &format!("password{number}"))));
            assert!(!knows(&index, ""));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn many_in_one_bucket_are_found() {
        // All share the first two bytes, and crowd at one end of the rest: the worst case of a guess by proportion.
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("breaches.idx");
        let mut index = IndexWriter::create(&target).unwrap();
        let hashes = (0..5_000).map(|number| 0xabcd_0000_0000_0000 + number * 7);
        hashes.clone().chain([0xabcd_ffff_ffff_ffff]).for_each(|hash| index.push(hash).unwrap());
        index.finish().unwrap();
        let index = BreachIndex::open(&target).unwrap();
        let is_there = |rest| index.inner.is_between(0, index.entries(), rest).unwrap();
        assert!(hashes.clone().all(|hash| is_there(split(hash).1)));
        assert!(!hashes.clone().any(|hash| is_there(split(hash).1 + 1)));
        assert!(is_there(0xffff_ffff_ffff) && !is_there(0xffff_ffff_fffe));
    }

    #[test]
    fn rare_ones_can_be_left_out_and_the_count_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("breaches.idx");
        let text = list(["four".to_owned(), "eight888".to_owned()]).concat() + "\n" + &"0".repeat(40) + "\n";
        let built = BreachIndex::build(text.as_bytes(), &target, 5).unwrap();
        assert_eq!(built, BreachIndexBuilt { lines: 4, entries: 1 });
        let index = BreachIndex::open(&target).unwrap();
        assert!(knows(&index, "eight888") && !knows(&index, "four"));
        assert_eq!(
            BreachIndex::build(&b""[..], &target, 1).unwrap(),
            BreachIndexBuilt { lines: 0, entries: 0 }
        );
        assert!(!knows(&BreachIndex::open(&target).unwrap(), "eight888"));
    }

    #[test]
    fn a_bad_line_is_named_and_the_earlier_index_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("breaches.idx");
        let good = list(["secret".to_owned()]).concat();
        BreachIndex::build(good.as_bytes(), &target, 1).unwrap();
        let long = "0".repeat(10_000);
        for bad in [
            "password:1",
            "00:1",
            &format!("{}:many", "0".repeat(40)),
            &format!("{}:-1", "0".repeat(40)),
            &long,
        ] {
            let error = BreachIndex::build(format!("{good}{bad}\n").as_bytes(), &target, 1).unwrap_err();
            assert!(matches!(error, BreachIndexError::BadLine { line: 2 }), "{error:?}");
        }
        assert!(knows(&BreachIndex::open(&target).unwrap(), "secret"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("breaches.idx");
        BreachIndex::build(list(["a".to_owned(), "b".to_owned()]).concat().as_bytes(), &target, 1).unwrap();
        let sound = fs::read(&target).unwrap();
        let code = |bytes: &[u8]| {
            fs::write(&target, bytes).unwrap();
            BreachIndex::open(&target).map_or_else(|error| error.code(), |_| "ok")
        };
        assert_eq!(code(&sound), "ok");
        assert_eq!(code(b""), "breach_index_unknown");
        assert_eq!(code(b"a text"), "breach_index_unknown");
        assert_eq!(code(&sound[..sound.len() - 1]), "breach_index_damaged");
        assert_eq!(code(&sound[..1_000]), "breach_index_damaged");
        assert_eq!(code(&[sound.as_slice(), b"x"].concat()), "breach_index_damaged");
        for at in [16, 30, TABLE_AT + 9, HEAD_BYTES + 1] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert_eq!(code(&bytes), "breach_index_damaged", "byte {at}");
        }
        let mut newer = sound.clone();
        newer[8] = 2;
        assert_eq!(code(&newer), "breach_index_unknown");
        let mut changed = sound;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(code(&changed), "ok", "entries are not read at the start");
        let index = BreachIndex::open(&target).unwrap();
        assert_eq!(index.verify().unwrap_err().code(), "breach_index_damaged");
    }
}
