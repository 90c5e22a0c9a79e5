use std::sync::Arc;
use std::time::Duration;

use argon2::Block;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::PasswordError;

/// Blocks of Argon2 memory, lent to one hash at a time and kept for the next: zeroing and page faults of fresh memory are a fifth
/// of the cost of a hash. What nobody used for `idle_after` is freed.
///
/// The blocks are not wiped in between: the next hash overwrites them, and what they hold is worth no more to whoever reads the
/// process than the stored hash.
#[derive(Debug)]
pub(super) struct BlockPool {
    /// Blocks (KiB) of a pooled piece; larger requests get memory of their own.
    size: usize,
    idle_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: Vec<Vec<Block>>,
    used_at: Instant,
    /// Whether a [`watch`] is running: there is one exactly while `free` is not empty.
    is_watched: bool,
}

impl BlockPool {
    /// Blocks to reserve at least: just over 32 MiB, of which only what is used becomes resident. glibc raises its mmap threshold
    /// to the size of a freed mapping, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); smaller pieces would end up on its heaps, where
    /// freeing them gives nothing back to the system.
    const RESERVED_BLOCKS_MIN: usize = 32 * 1024 + 64;

    pub(super) fn new(size: usize, idle_after: Duration) -> Arc<Self> {
        let state = State { free: Vec::new(), used_at: Instant::now(), is_watched: false };
        Arc::new(Self { size, idle_after, state: Mutex::new(state) })
    }

    /// Lends at least `blocks` blocks.
    pub(super) fn lend(self: &Arc<Self>, blocks: usize) -> Result<Lent, PasswordError> {
        let pooled = if blocks <= self.size { self.state.lock().free.pop() } else { None };
        let blocks = match pooled {
            Some(pooled) => pooled,
            None => allocate(blocks.max(self.size))?,
        };
        Ok(Lent { blocks, pool: Arc::clone(self) })
    }

    /// Bytes kept for the next hash.
    pub(super) fn kept_bytes(&self) -> usize {
        self.state.lock().free.iter().map(|blocks| blocks.len() * Block::SIZE).sum()
    }

    fn give_back(self: &Arc<Self>, blocks: Vec<Block>) {
        // Hashes run on threads of a runtime. Without one there is nobody to free the memory later, so it is freed now.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut state = self.state.lock();
        state.free.push(blocks);
        state.used_at = Instant::now();
        let was_watched = std::mem::replace(&mut state.is_watched, true);
        // Spawning on a runtime that shuts down drops the future right here, and its drop takes the lock.
        drop(state);
        if !was_watched {
            runtime.spawn(watch(Watch { pool: Arc::clone(self), is_over: false }));
        }
    }

    /// Frees everything if it has been idle for long enough, else says when to look again.
    fn free_if_idle(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let idle_at = state.used_at + self.idle_after;
        if Instant::now() < idle_at {
            return Some(idle_at);
        }
        state.is_watched = false;
        let freed = std::mem::take(&mut state.free);
        drop(state);
        drop(freed);
        None
    }
}

fn allocate(blocks: usize) -> Result<Vec<Block>, PasswordError> {
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(blocks.max(BlockPool::RESERVED_BLOCKS_MIN))
        .map_err(|_| PasswordError::OutOfMemory)?;
    memory.resize(blocks, Block::new());
    Ok(memory)
}

/// Blocks on loan.
#[derive(Debug)]
pub(super) struct Lent {
    blocks: Vec<Block>,
    pool: Arc<BlockPool>,
}

impl AsMut<[Block]> for Lent {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.blocks
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.blocks.len() == self.pool.size {
            self.pool.give_back(std::mem::take(&mut self.blocks));
        }
    }
}

/// Waits until the pool has been idle for long enough. As a task it dies with its runtime and never holds it up.
async fn watch(mut watch: Watch) {
    while let Some(idle_at) = watch.pool.free_if_idle() {
        sleep_until(idle_at).await;
    }
    watch.is_over = true;
}

struct Watch {
    pool: Arc<BlockPool>,
    is_over: bool,
}

impl Drop for Watch {
    /// A watch that its runtime cut short frees the memory, and lets the next runtime start another.
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.pool.state.lock();
            state.is_watched = false;
            let freed = std::mem::take(&mut state.free);
            drop(state);
            drop(freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn memory_is_reused_and_freed_when_idle() {
        let pool = BlockPool::new(64, IDLE);
        let first = pool.lend(64).unwrap();
        let address = first.blocks.as_ptr();
        drop(first);
        assert_eq!(pool.kept_bytes(), 64 * 1024);
        tokio::time::sleep(IDLE / 2).await;
        let second = pool.lend(8).unwrap();
        assert_eq!(second.blocks.as_ptr(), address, "the same piece, also for a smaller hash");
        drop(second);
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert_eq!(pool.kept_bytes(), 64 * 1024, "30 s after the last use, not the first");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pool.kept_bytes(), 0);
        drop(pool.lend(64).unwrap());
        tokio::time::sleep(IDLE * 2).await;
        assert_eq!(pool.kept_bytes(), 0, "also the second time");
        assert_eq!(Arc::strong_count(&pool), 1, "nobody watches an empty pool");
    }

    #[tokio::test(start_paused = true)]
    async fn a_larger_piece_is_not_kept() {
        let pool = BlockPool::new(64, IDLE);
        drop(pool.lend(65).unwrap());
        assert_eq!(pool.kept_bytes(), 0);
    }

    #[tokio::test]
    async fn an_allocation_that_fails_is_an_error() {
        let pool = BlockPool::new(64, IDLE);
        assert_eq!(pool.lend(usize::MAX / 4096).unwrap_err(), PasswordError::OutOfMemory);
    }

    #[test]
    fn a_runtime_that_ends_takes_the_memory_along() {
        let pool = BlockPool::new(64, IDLE);
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async { drop(pool.lend(64).unwrap()) });
            assert_eq!(pool.kept_bytes(), 64 * 1024);
            drop(runtime);
            assert_eq!((pool.kept_bytes(), Arc::strong_count(&pool)), (0, 1));
        }
        drop(pool.lend(64).unwrap());
        assert_eq!(pool.kept_bytes(), 0, "nothing is kept outside a runtime");
    }
}
