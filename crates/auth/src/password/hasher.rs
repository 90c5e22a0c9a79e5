use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::Salt;
use ring::rand::{SecureRandom, SystemRandom};

use super::crew::{Crew, Limits};
use super::job::{self, Answer, Job};
#[cfg(feature = "legacy-hashes")]
use super::legacy::Cost;
use super::origin::Origin;
use super::peppers::Pepper;
use super::stored::Kind;
use super::{
    ContextWords, HashParams, Password, PasswordError, PasswordHash, PasswordPeppers, PasswordPolicy,
    PolicyViolation, StoredHash,
};

/// How much a [`PasswordHasher`] may use.
#[derive(Debug, Clone)]
pub struct HasherOptions {
    params: HashParams,
    permits: NonZeroU32,
    waiting_max: usize,
    wait_max: Duration,
    stored_memory_kib_max: u32,
    idle_after: Duration,
    peppers: PasswordPeppers,
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
            peppers: PasswordPeppers::default(),
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

    /// The secrets that hashes are keyed with. Default: none.
    #[must_use]
    pub fn peppers(mut self, peppers: PasswordPeppers) -> Self {
        self.peppers = peppers;
        self
    }
}

/// Whether a password belongs to a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a password that was not looked at has not been verified"]
pub enum Verdict {
    /// It does.
    Match {
        /// The hash was made otherwise than new ones are, with other parameters, another secret or by another system: hash the
        /// password again and store the result.
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
    /// Hashes computed since the start, and judgements of policies that need one of its threads.
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
    origin: Origin,
}

struct Inner {
    params: HashParams,
    peppers: PasswordPeppers,
    stored_memory_kib_max: u32,
    stored_work_max: u64,
    crew: Crew<Job, Result<Answer, PasswordError>>,
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
        let HasherOptions {
            params,
            permits,
            waiting_max,
            wait_max,
            stored_memory_kib_max,
            idle_after,
            peppers,
        } = options;
        let stored_memory_kib_max = stored_memory_kib_max.max(params.memory_kib());
        let stored_work_max =
            (u64::from(stored_memory_kib_max) * 4).max(work(params.memory_kib(), params.passes()));
        let kept_blocks = params.memory_kib() as usize;
        let crew = Crew::new(Limits { permits, waiting_max, wait_max, idle_after, kept_blocks }, job::work);
        let inner = Inner { params, peppers, stored_memory_kib_max, stored_work_max, crew };
        Self { inner: Arc::new(inner), origin: Origin::default() }
    }

    /// The same hasher, working for `address`: those that wait take turns by address, and where the queue is full, whoever has most
    /// in it makes room. Give it where the address of the caller is known. IPv6 addresses count by their first 64 bits.
    #[must_use]
    pub fn for_address(&self, address: Option<IpAddr>) -> Self {
        Self { inner: Arc::clone(&self.inner), origin: address.into() }
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
        let pepper = self.inner.peppers.newest().cloned();
        let job = Job::Argon2id { password, params: params.argon2()?, salt, pepper: pepper.clone() };
        let output = self.run(1, job).await?.into_output()?;
        Ok(PasswordHash::from_parts(params, pepper.as_ref(), salt, output))
    }

    /// Compares a password with a stored hash.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full or the wait too long; [`PasswordError::HashTooCostly`] for a stored hash that
    /// asks for more than the options allow; [`PasswordError::PepperMissing`] for one that is keyed with a secret they do not name.
    pub async fn verify(&self, password: Password, stored: &PasswordHash) -> Result<Verdict, PasswordError> {
        let permits = self.inner.permits_for(stored.memory_kib(), stored.passes())?;
        let pepper = self.inner.pepper_of(stored)?.cloned();
        let job = Job::Argon2id { password, params: stored.argon2()?, salt: stored.salt(), pepper };
        let output = self.run(permits, job).await?.into_output()?;
        if stored.has_output(&output) {
            Ok(Verdict::Match { needs_rehash: self.inner.is_outdated(stored) })
        } else {
            Ok(Verdict::Mismatch)
        }
    }

    /// Compares a password with what stands in a row: a hash of ours or, with the feature `legacy-hashes`, of a replaced system. A match
    /// with the latter always needs a new hash.
    ///
    /// # Errors
    /// As [`Self::verify`], and [`PasswordError::LegacyHashTooCostly`].
    pub async fn verify_stored(
        &self,
        password: Password,
        stored: &StoredHash,
    ) -> Result<Verdict, PasswordError> {
        match &stored.kind {
            Kind::Argon2id(hash) => self.verify(password, hash).await,
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(hash) => {
                let permits = self.inner.permits_for_legacy(hash.cost()?)?;
                let job = Job::Legacy { password: password.clone(), hash: Arc::clone(hash) };
                let output = self.run(permits, job).await?.into_output()?;
                let is_match = hash.has_output(&password, &output);
                Ok(if is_match { Verdict::Match { needs_rehash: true } } else { Verdict::Mismatch })
            }
        }
    }

    /// Whether [`Self::verify_stored`] would run a stored hash: what it costs is allowed, and the secret it names is there.
    ///
    /// # Errors
    /// What [`Self::verify_stored`] would answer: [`PasswordError::HashTooCostly`], [`PasswordError::LegacyHashTooCostly`],
    /// [`PasswordError::PepperMissing`].
    pub fn check_stored(&self, stored: &StoredHash) -> Result<(), PasswordError> {
        match &stored.kind {
            Kind::Argon2id(hash) => {
                self.inner.pepper_of(hash)?;
                self.inner.permits_for(hash.memory_kib(), hash.passes())?;
            }
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(hash) => {
                self.inner.permits_for_legacy(hash.cost()?)?;
            }
        }
        Ok(())
    }

    /// Does the work of [`Self::verify`] for an account that does not exist or has no password, with the parameters of new hashes,
    /// so that neither time nor load tells it apart from one whose hash has those. Always a [`Verdict::Mismatch`].
    ///
    /// # Errors
    /// As [`Self::verify`] under the same load; answer them the same way.
    pub async fn verify_dummy(&self, password: Password) -> Result<Verdict, PasswordError> {
        let salt = Salt::new(&[0; HashParams::SALT_BYTES]).map_err(|_| PasswordError::MalformedHash)?;
        let pepper = self.inner.peppers.newest().cloned();
        self.run(1, Job::Argon2id { password, params: self.inner.params.argon2()?, salt, pepper }).await?;
        Ok(Verdict::Mismatch)
    }

    /// Does the work of [`Self::verify_stored`] for an account that does not exist or has no password, as if it had a hash like
    /// `like`, whoever's that is: where stored hashes differ in what they cost. Always a [`Verdict::Mismatch`].
    ///
    /// # Errors
    /// As [`Self::verify_stored`] under the same load; answer them the same way.
    pub async fn verify_dummy_like(
        &self,
        password: Password,
        like: &StoredHash,
    ) -> Result<Verdict, PasswordError> {
        // That the password might be right for `like` is nobody's business.
        let _ = self.verify_stored(password, like).await?;
        Ok(Verdict::Mismatch)
    }

    /// Whether a stored hash was made as new ones are.
    #[cfg(feature = "sql")]
    pub(crate) fn is_current(&self, stored: &StoredHash) -> bool {
        match &stored.kind {
            Kind::Argon2id(hash) => !self.inner.is_outdated(hash),
            #[cfg(feature = "legacy-hashes")]
            Kind::Legacy(_) => false,
        }
    }

    /// Judges a password about to be set, as [`PasswordPolicy::check`] does; on a thread of the hasher where the policy has rules
    /// that take long. Returns everything that is wrong with it. A `BreachRange` of the policy is asked when nothing else is.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when the queue is full or the wait too long.
    pub async fn judge(
        &self,
        policy: &PasswordPolicy,
        password: &Password,
        about: &ContextWords,
    ) -> Result<Vec<PolicyViolation>, PasswordError> {
        let violations = self.judge_here(policy, password, about).await?;
        #[cfg(feature = "breach-range")]
        if violations.is_empty() && policy.is_in_range(password).await {
            return Ok(vec![PolicyViolation::Breached]);
        }
        Ok(violations)
    }

    async fn judge_here(
        &self,
        policy: &PasswordPolicy,
        password: &Password,
        about: &ContextWords,
    ) -> Result<Vec<PolicyViolation>, PasswordError> {
        if !policy.takes_long() {
            return Ok(policy.check(password, about).err().unwrap_or_default());
        }
        let (policy, password, about) = (Box::new(policy.clone()), password.clone(), about.clone());
        match self.run(1, Job::Judge { policy, password, about }).await? {
            Answer::Violations(violations) => Ok(violations),
            // Only hashes end in an output.
            Answer::Output(_) => Err(PasswordError::Stopped),
        }
    }

    async fn run(&self, permits: u32, job: Job) -> Result<Answer, PasswordError> {
        self.inner.crew.run(self.origin, permits, job).await?
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
    fn permits_for(&self, memory_kib: u32, passes: u32) -> Result<u32, PasswordError> {
        if memory_kib > self.stored_memory_kib_max || work(memory_kib, passes) > self.stored_work_max {
            return Err(PasswordError::HashTooCostly { memory_kib, passes });
        }
        Ok(memory_kib.div_ceil(self.params.memory_kib()))
    }

    #[cfg(feature = "legacy-hashes")]
    fn permits_for_legacy(&self, cost: Cost) -> Result<u32, PasswordError> {
        match cost {
            Cost::Memory { memory_kib, passes } => self.permits_for(memory_kib, passes),
            Cost::Time => Ok(1),
        }
    }

    /// The secret that a stored hash is keyed with, if it is.
    fn pepper_of(&self, stored: &PasswordHash) -> Result<Option<&Pepper>, PasswordError> {
        let Some(version) = stored.pepper_version() else { return Ok(None) };
        let missing = PasswordError::PepperMissing { version: version.get() };
        self.peppers.find(version).map(Some).ok_or(missing)
    }

    fn is_outdated(&self, stored: &PasswordHash) -> bool {
        stored.needs_rehash(&self.params)
            || stored.pepper_version() != self.peppers.newest().map(Pepper::version)
    }
}

/// What a hash costs in time: KiB written.
fn work(memory_kib: u32, passes: u32) -> u64 {
    u64::from(memory_kib) * u64::from(passes)
}
