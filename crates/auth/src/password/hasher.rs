use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Algorithm, Argon2, Version};
use ring::rand::{SecureRandom, SystemRandom};

use super::crew::{Crew, Limits};
use super::memory::Memory;
use super::{HashParams, Password, PasswordError, PasswordHash};

/// How much a [`PasswordHasher`] may use.
#[derive(Debug, Clone)]
pub struct HasherOptions {
    params: HashParams,
    permits: NonZeroU32,
    waiting_max: usize,
    wait_max: Duration,
    stored_memory_kib_max: u32,
    idle_after: Duration,
}

impl Default for HasherOptions {
    fn default() -> Self {
        let cores =
            std::thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
        let permits = cores.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        Self {
            params: HashParams::default(),
            permits,
            waiting_max: 256,
            wait_max: Duration::from_secs(1),
            stored_memory_kib_max: 64 * 1024,
            idle_after: Duration::from_secs(30),
        }
    }
}

impl HasherOptions {
    /// The cost of new hashes. Default: [`HashParams::default`].
    #[must_use]
    pub fn params(mut self, params: HashParams) -> Self {
        self.params = params;
        self
    }

    /// How many hashes run at once, and with the memory cost what they may hold. Default: the cores this process may use.
    #[must_use]
    pub fn permits(mut self, permits: NonZeroU32) -> Self {
        self.permits = permits;
        self
    }

    /// How many callers may wait. Default 256: more than a few cores serve within the default deadline, few enough to cost nothing.
    /// 0 refuses whoever cannot start at once.
    #[must_use]
    pub fn waiting_max(mut self, waiting_max: usize) -> Self {
        self.waiting_max = waiting_max;
        self
    }

    /// How long a caller may wait to start. Default 1 s: people retry what takes longer, which makes the queue longer still.
    #[must_use]
    pub fn wait_max(mut self, wait_max: Duration) -> Self {
        self.wait_max = wait_max;
        self
    }

    /// The memory that a stored hash may ask for, in KiB; raised to the cost of new hashes where that is higher. Default 64 MiB,
    /// the second choice of RFC 9106 §4. Memory times passes is bounded as well, to four passes over this memory. A row that asks
    /// for more is refused, not run: whoever can write to the table must not be able to stop the process.
    #[must_use]
    pub fn stored_memory_kib_max(mut self, stored_memory_kib_max: u32) -> Self {
        self.stored_memory_kib_max = stored_memory_kib_max;
        self
    }

    /// How long memory is kept after the last hash. Default 30 s.
    #[must_use]
    pub fn idle_after(mut self, idle_after: Duration) -> Self {
        self.idle_after = idle_after;
        self
    }
}

/// Whether a password belongs to a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a password that was not looked at has not been verified"]
pub enum Verdict {
    /// It does.
    Match {
        /// The hash was made with other parameters than new ones are: hash the password again and store the result.
        needs_rehash: bool,
    },
    /// It does not.
    Mismatch,
}

impl Verdict {
    /// Whether the password belongs to the hash.
    #[must_use]
    pub fn is_match(self) -> bool {
        matches!(self, Self::Match { .. })
    }
}

/// What a [`PasswordHasher`] is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherStats {
    /// Permits in all.
    pub permits: u32,
    /// Permits in use. A stored hash that needs a multiple of the usual memory uses as many.
    pub permits_in_use: u32,
    /// Callers whose hash has not started.
    pub waiting: usize,
    /// Callers refused since the start.
    pub refused: u64,
    /// Hashes computed since the start.
    pub computed: u64,
    /// Bytes of Argon2 memory, in use or kept for the next hash.
    pub held_bytes: usize,
}

/// Hashes and verifies passwords, on threads of its own and within bounds.
///
/// Clones share permits, queue and memory: make one for the process. Its futures need a tokio runtime with time enabled, any one.
/// Dropping a future whose hash has not started frees its place; a hash that has started ends, and holds its permit until then.
#[derive(Clone)]
pub struct PasswordHasher {
    inner: Arc<Inner>,
}

struct Inner {
    params: HashParams,
    stored_memory_kib_max: u32,
    stored_work_max: u64,
    crew: Crew<Request, Result<Output, PasswordError>>,
}

/// One run of Argon2id.
struct Request {
    password: Password,
    params: argon2::Params,
    salt: Salt,
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self::new(HasherOptions::default())
    }
}

impl PasswordHasher {
    /// A hasher within `options`.
    #[must_use]
    pub fn new(options: HasherOptions) -> Self {
        let HasherOptions { params, permits, waiting_max, wait_max, stored_memory_kib_max, idle_after } =
            options;
        let stored_memory_kib_max = stored_memory_kib_max.max(params.memory_kib());
        let stored_work_max =
            (u64::from(stored_memory_kib_max) * 4).max(work(params.memory_kib(), params.passes()));
        let kept_blocks = params.memory_kib() as usize;
        let crew = Crew::new(Limits { permits, waiting_max, wait_max, idle_after, kept_blocks }, argon2id);
        Self { inner: Arc::new(Inner { params, stored_memory_kib_max, stored_work_max, crew }) }
    }

    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full or the wait too long; otherwise what the system refuses.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, PasswordError> {
        let mut salt = [0; HashParams::SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Randomness)?;
        let salt = Salt::new(&salt).map_err(|_| PasswordError::MalformedHash)?;
        let params = self.inner.params;
        let request = Request { password, params: params.argon2()?, salt };
        let output = self.inner.crew.run(1, request).await??;
        Ok(PasswordHash::from_parts(params, salt, output))
    }

    /// Compares a password with a stored hash.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full or the wait too long; [`PasswordError::HashTooCostly`] for a stored hash that
    /// asks for more than the options allow.
    pub async fn verify(&self, password: Password, stored: &PasswordHash) -> Result<Verdict, PasswordError> {
        let permits = self.inner.permits_for(stored)?;
        let request = Request { password, params: stored.argon2()?, salt: stored.salt() };
        let output = self.inner.crew.run(permits, request).await??;
        if stored.has_output(&output) {
            Ok(Verdict::Match { needs_rehash: stored.needs_rehash(&self.inner.params) })
        } else {
            Ok(Verdict::Mismatch)
        }
    }

    /// Does the work of [`Self::verify`] for an account that does not exist or has no password, with the parameters of new hashes,
    /// so that neither time nor load tells it apart. Always a [`Verdict::Mismatch`].
    ///
    /// # Errors
    /// As [`Self::verify`] under the same load; answer them the same way.
    pub async fn verify_dummy(&self, password: Password) -> Result<Verdict, PasswordError> {
        let salt = Salt::new(&[0; HashParams::SALT_BYTES]).map_err(|_| PasswordError::MalformedHash)?;
        let request = Request { password, params: self.inner.params.argon2()?, salt };
        self.inner.crew.run(1, request).await??;
        Ok(Verdict::Mismatch)
    }

    /// The cost of new hashes.
    #[must_use]
    pub fn params(&self) -> HashParams {
        self.inner.params
    }

    /// What it is doing now, for metrics.
    #[must_use]
    pub fn stats(&self) -> HasherStats {
        let crew = &self.inner.crew;
        let now = crew.activity();
        HasherStats {
            permits: crew.limits().permits.get(),
            permits_in_use: now.permits_in_use,
            waiting: now.waiting,
            refused: now.refused,
            computed: now.finished,
            held_bytes: now.held_bytes,
        }
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("params", &self.params())
            .field("stats", &self.stats())
            .finish()
    }
}

impl Inner {
    /// How many permits the memory of a stored hash is worth.
    fn permits_for(&self, stored: &PasswordHash) -> Result<u32, PasswordError> {
        let (memory_kib, passes) = (stored.memory_kib(), stored.passes());
        if memory_kib > self.stored_memory_kib_max || work(memory_kib, passes) > self.stored_work_max {
            return Err(PasswordError::HashTooCostly { memory_kib, passes });
        }
        Ok(memory_kib.div_ceil(self.params.memory_kib()))
    }
}

/// What a hash costs in time: KiB written.
fn work(memory_kib: u32, passes: u32) -> u64 {
    u64::from(memory_kib) * u64::from(passes)
}

/// RFC 9106 §3, version 0x13. The length of the output stands in the parameters.
fn argon2id(request: Request, memory: &mut Memory<'_>) -> Result<Output, PasswordError> {
    let Request { password, params, salt } = request;
    let blocks = memory.blocks(params.block_count())?;
    let bytes = params.output_len().unwrap_or(HashParams::OUTPUT_BYTES);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..bytes).ok_or(PasswordError::MalformedHash)?;
    argon2
        .hash_password_into_with_memory(password.expose_secret().as_bytes(), &salt, output, blocks)
        .map_err(|_| PasswordError::MalformedHash)?;
    Output::new(output).map_err(|_| PasswordError::MalformedHash)
}
