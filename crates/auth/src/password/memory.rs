use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::Block;

use super::PasswordError;

/// The Argon2 memory of one thread, kept from hash to hash: zeroing and page faults of fresh memory are half the cost of a hash.
///
/// The blocks are not wiped in between: the next hash overwrites them, and what they hold is worth no more to whoever reads the
/// process than the stored hash.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    blocks: Vec<Block>,
    kept: usize,
    held_bytes: &'a AtomicUsize,
}

impl<'a> Memory<'a> {
    /// Blocks to reserve at least: just over 32 MiB, of which only what is used becomes resident. glibc raises its mmap threshold
    /// to the size of a freed mapping, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); smaller pieces would end up on its heaps, where
    /// freeing them gives nothing back to the system.
    const RESERVED_BLOCKS_MIN: usize = 32 * 1024 + 64;

    /// No memory yet; of what is asked for, up to `kept` blocks (KiB) are kept. `held_bytes` is kept up to date.
    pub(super) fn new(kept: usize, held_bytes: &'a AtomicUsize) -> Self {
        Self { blocks: Vec::new(), kept, held_bytes }
    }

    /// At least `count` blocks, of any content.
    pub(super) fn blocks(&mut self, count: usize) -> Result<&mut [Block], PasswordError> {
        if self.blocks.len() < count {
            self.free();
            let count = count.max(self.kept);
            self.blocks
                .try_reserve_exact(count.max(Self::RESERVED_BLOCKS_MIN))
                .map_err(|_| PasswordError::Exhausted)?;
            self.blocks.resize(count, Block::new());
            self.held_bytes.fetch_add(count * Block::SIZE, Ordering::Relaxed);
        }
        Ok(&mut self.blocks)
    }

    /// Gives back what a larger hash than usual needed.
    pub(super) fn shrink(&mut self) {
        if self.blocks.len() > self.kept {
            self.free();
        }
    }

    fn free(&mut self) {
        let freed = std::mem::take(&mut self.blocks);
        self.held_bytes.fetch_sub(freed.len() * Block::SIZE, Ordering::Relaxed);
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        self.free();
    }
}

const _: () = assert!(Block::SIZE == 1024, "a KiB is a block");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_for_the_next_hash_unless_it_was_larger_than_usual() {
        let held = AtomicUsize::new(0);
        let mut memory = Memory::new(64, &held);
        let first = memory.blocks(64).unwrap().as_ptr();
        memory.shrink();
        assert_eq!(memory.blocks(8).unwrap().as_ptr(), first, "the same piece, also for a smaller hash");
        assert_eq!(held.load(Ordering::Relaxed), 64 * 1024);
        assert_eq!(memory.blocks(65).unwrap().len(), 65);
        assert_eq!(held.load(Ordering::Relaxed), 65 * 1024, "never both");
        memory.shrink();
        assert_eq!(held.load(Ordering::Relaxed), 0);
        memory.blocks(1).unwrap();
        drop(memory);
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_allocation_that_fails_is_an_error() {
        let held = AtomicUsize::new(0);
        let mut memory = Memory::new(64, &held);
        assert_eq!(memory.blocks(usize::MAX / 4096).unwrap_err(), PasswordError::Exhausted);
        assert!(memory.blocks(64).is_ok());
    }
}
