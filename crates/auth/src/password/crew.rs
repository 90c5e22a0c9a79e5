use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::PasswordError;
use super::memory::Memory;
use super::origin::Origin;
use super::queue::Queue;

/// A few threads of their own that work off a bounded queue of jobs, each thread with memory it keeps from job to job.
///
/// Threads of their own rather than the runtime's blocking ones: the thread that ends one job begins the next without a wake-up
/// in between and on the same core, which is worth a tenth of the throughput when all cores hash; and a runtime that shuts down waits
/// for nothing.
///
/// Those who wait take turns: one job of each origin, each origin's in order of arrival, as soon as the permits are free; a job that
/// needs several is not overtaken. Whoever finds the queue full displaces the youngest job of the origin that has most in it, or is
/// refused when that would not be fairer: one origin can fill the queue only as long as nobody else asks. A caller that goes away,
/// or whose deadline passes, before its job has started takes the job out of the queue. A started job always ends, and holds its
/// permits until then. A thread without work ends after `idle_after`, and its memory with it.
pub(super) struct Crew<J: Send + 'static, T: Send + 'static> {
    shared: Arc<Shared<J, T>>,
}

/// What a crew may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Jobs of one permit that run at once; also the number of threads.
    pub(super) permits: NonZeroU32,
    /// Jobs that wait.
    pub(super) waiting_max: usize,
    /// How long a job waits to start.
    pub(super) wait_max: Duration,
    /// How long a thread without work lives.
    pub(super) idle_after: Duration,
    /// Blocks (KiB) of memory that a thread keeps.
    pub(super) kept_blocks: usize,
}

/// What a crew is doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    pub(super) permits_in_use: u32,
    pub(super) waiting: usize,
    pub(super) refused: u64,
    pub(super) finished: u64,
    pub(super) held_bytes: usize,
}

type Work<J, T> = dyn Fn(J, &mut Memory<'_>) -> T + Send + Sync;

struct Shared<J, T> {
    limits: Limits,
    work: Box<Work<J, T>>,
    state: Mutex<State<J, T>>,
    /// Signalled when there is a job for a thread that waits.
    work_ready: Condvar,
    refused: AtomicU64,
    finished: AtomicU64,
    held_bytes: AtomicUsize,
}

struct State<J, T> {
    queue: Queue<Ticket<J, T>>,
    threads: u32,
    /// Threads that run a job. The others are about to look into the queue, or wait for a signal.
    threads_running: u32,
    permits_in_use: u32,
    is_closed: bool,
}

struct Ticket<J, T> {
    permits: u32,
    job: J,
    answer: oneshot::Sender<Result<T, Displaced>>,
}

/// A job had to make room for one of somebody who has less in the queue.
struct Displaced;

impl<J: Send + 'static, T: Send + 'static> Crew<J, T> {
    /// A crew without threads: they come with the work.
    pub(super) fn new(
        limits: Limits,
        work: impl Fn(J, &mut Memory<'_>) -> T + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            queue: Queue::new(),
            threads: 0,
            threads_running: 0,
            permits_in_use: 0,
            is_closed: false,
        };
        let shared = Shared {
            limits,
            work: Box::new(work),
            state: Mutex::new(state),
            work_ready: Condvar::new(),
            refused: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            held_bytes: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has `job` of `origin` done, which counts as `permits` (at most all of them).
    pub(super) async fn run(&self, origin: Origin, permits: u32, job: J) -> Result<T, PasswordError> {
        let (id, mut answer) = self.shared.submit(origin, permits, job)?;
        let place = Place { shared: &self.shared, id };
        let answered = match timeout(self.shared.limits.wait_max, &mut answer).await {
            Ok(answered) => answered,
            Err(_elapsed) if place.shared.withdraw(id) => return Err(self.shared.refuse()),
            // It has started in time.
            Err(_elapsed) => answer.await,
        };
        match answered {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Displaced)) => Err(self.shared.refuse()),
            Err(_) => Err(PasswordError::Stopped),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.shared.limits
    }

    pub(super) fn activity(&self) -> Activity {
        let (permits_in_use, waiting) = {
            let state = self.shared.state.lock();
            (state.permits_in_use, state.queue.len())
        };
        Activity {
            permits_in_use,
            waiting,
            refused: self.shared.refused.load(Ordering::Relaxed),
            finished: self.shared.finished.load(Ordering::Relaxed),
            held_bytes: self.shared.held_bytes.load(Ordering::Relaxed),
        }
    }
}

impl<J: Send + 'static, T: Send + 'static> Drop for Crew<J, T> {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.work_ready.notify_all();
    }
}

/// A place in the queue, left when its caller goes away.
struct Place<'a, J: Send + 'static, T: Send + 'static> {
    shared: &'a Arc<Shared<J, T>>,
    id: u64,
}

impl<J: Send + 'static, T: Send + 'static> Drop for Place<'_, J, T> {
    fn drop(&mut self) {
        self.shared.withdraw(self.id);
    }
}

impl<J: Send + 'static, T: Send + 'static> Shared<J, T> {
    fn submit(
        self: &Arc<Self>,
        origin: Origin,
        permits: u32,
        job: J,
    ) -> Result<(u64, oneshot::Receiver<Result<T, Displaced>>), PasswordError> {
        let all = self.limits.permits.get();
        let mut state = self.state.lock();
        // What free permits are about to take out of the queue does not count as waiting.
        let free = (all - state.permits_in_use) as usize;
        let is_full = state.queue.len() >= self.limits.waiting_max.saturating_add(free);
        let displaced =
            if is_full { Some(state.queue.displace_for(origin).ok_or_else(|| self.refuse())?) } else { None };
        let (sender, answer) = oneshot::channel();
        let id = state.queue.push(origin, Ticket { permits: permits.clamp(1, all), job, answer: sender });
        self.call_a_thread(&mut state);
        if state.threads == 0 {
            drop(state.queue.remove(id));
            return Err(PasswordError::Exhausted);
        }
        drop(state);
        // Wakes its caller, which must not happen under the lock. That nobody listens any more does not matter.
        if let Some(ticket) = displaced {
            drop(ticket.answer.send(Err(Displaced)));
        }
        Ok((id, answer))
    }

    /// Takes a job out of the queue, unless it has started.
    fn withdraw(self: &Arc<Self>, id: u64) -> bool {
        let mut state = self.state.lock();
        let Some(ticket) = state.queue.remove(id) else { return false };
        // It may have been what held up the others.
        self.call_a_thread(&mut state);
        drop(state);
        drop(ticket);
        true
    }

    /// After `wait_max` everybody who waits now has been served or sent away. `Retry-After` counts whole seconds.
    fn refuse(&self) -> PasswordError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let wait_max = self.limits.wait_max;
        let seconds = wait_max.as_secs().saturating_add(u64::from(wait_max.subsec_nanos() > 0));
        PasswordError::Busy { retry_after: Duration::from_secs(seconds.max(1)) }
    }

    /// Sees to it that the job in front is begun, if its permits are free.
    fn call_a_thread(self: &Arc<Self>, state: &mut State<J, T>) {
        if !state.has_startable(self.limits.permits) {
            return;
        }
        self.work_ready.notify_one();
        let free_threads = (state.threads - state.threads_running) as usize;
        if state.queue.len() > free_threads && state.threads < self.limits.permits.get() {
            let shared = Arc::clone(self);
            let thread = std::thread::Builder::new().name("password-hash".into());
            // Where the system has no thread left, those there are go on.
            if thread.spawn(move || shared.work_off()).is_ok() {
                state.threads += 1;
            }
        }
    }

    /// The life of a thread.
    fn work_off(self: Arc<Self>) {
        let mut memory = Memory::new(self.limits.kept_blocks, &self.held_bytes);
        let mut state = self.state.lock();
        loop {
            if let Some(ticket) = state.start_next(self.limits.permits) {
                self.call_a_thread(&mut state);
                MutexGuard::unlocked(&mut state, || self.do_one(ticket, &mut memory));
                continue;
            }
            if state.is_closed {
                break;
            }
            let is_idle = self.work_ready.wait_for(&mut state, self.limits.idle_after).timed_out();
            if is_idle && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    fn do_one(&self, ticket: Ticket<J, T>, memory: &mut Memory<'_>) {
        let Ticket { permits, job, answer, .. } = ticket;
        // A job leaves nothing behind but memory whose content does not matter.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(job, memory)));
        memory.shrink();
        self.finished.fetch_add(1, Ordering::Relaxed);
        // Permits before the answer, so that whoever has it can start the next job; no waker runs under the lock.
        self.state.lock().end(permits);
        match result {
            Ok(value) => drop(answer.send(Ok(value))),
            Err(_panic) => tracing::error!("a password hash panicked"),
        }
    }
}

impl<J, T> State<J, T> {
    fn has_startable(&self, permits: NonZeroU32) -> bool {
        self.queue.next().is_some_and(|first| first.permits <= permits.get() - self.permits_in_use)
    }

    fn start_next(&mut self, permits: NonZeroU32) -> Option<Ticket<J, T>> {
        if !self.has_startable(permits) {
            return None;
        }
        let ticket = self.queue.pop()?;
        self.permits_in_use += ticket.permits;
        self.threads_running += 1;
        Some(ticket)
    }

    fn end(&mut self, permits: u32) {
        self.permits_in_use -= permits;
        self.threads_running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A job runs until its sender is dropped, and answers with its number.
    type Job = (u32, mpsc::Receiver<()>);

    fn limits(permits: u32, waiting_max: usize) -> Limits {
        Limits {
            permits: NonZeroU32::new(permits).unwrap(),
            waiting_max,
            wait_max: Duration::from_secs(60),
            idle_after: Duration::from_secs(30),
            kept_blocks: 8,
        }
    }

    fn crew(limits: Limits) -> Crew<Job, u32> {
        Crew::new(limits, |(number, until): Job, memory: &mut Memory<'_>| {
            until.recv().unwrap_err();
            memory.blocks(8).unwrap();
            assert_ne!(number, 13, "a job that panics");
            number
        })
    }

    fn job(number: u32) -> (mpsc::Sender<()>, Job) {
        let (end, until) = mpsc::channel();
        (end, (number, until))
    }

    fn ended_job(number: u32) -> Job {
        job(number).1
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let gave_up_at = std::time::Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(std::time::Instant::now() < gave_up_at, "never happened: {what}");
            std::thread::yield_now();
        }
    }

    fn is_busy(crew: &Crew<Job, u32>, permits_in_use: u32, waiting: usize) -> bool {
        let now = crew.activity();
        (now.permits_in_use, now.waiting) == (permits_in_use, waiting)
    }

    // A2: the excess is refused with a time to come back.
    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_refused_at_once() {
        let crew = crew(limits(2, 1));
        let (ends, jobs): (Vec<_>, Vec<_>) = (0..4).map(job).unzip();
        let mut callers: Vec<_> =
            jobs.into_iter().map(|job| Box::pin(crew.run(Origin::Unnamed, 1, job))).collect();
        for caller in &mut callers[..3] {
            assert!(poll(caller.as_mut()).is_pending());
        }
        let refused = poll(callers[3].as_mut());
        assert_eq!(refused, Poll::Ready(Err(PasswordError::Busy { retry_after: Duration::from_secs(60) })));
        until("two run and one waits", || is_busy(&crew, 2, 1));
        assert_eq!(crew.activity().refused, 1);
        drop(ends);
        callers.truncate(3);
        for (number, caller) in (0..).zip(callers) {
            assert_eq!(caller.await, Ok(number));
        }
        assert!(is_busy(&crew, 0, 0));
    }

    // A2
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_past_the_deadline() {
        let crew = crew(Limits { wait_max: Duration::from_millis(1_500), ..limits(1, 8) });
        let (end, first) = job(1);
        let mut running = pin!(crew.run(Origin::Unnamed, 1, first));
        assert!(poll(running.as_mut()).is_pending());
        until("it runs", || is_busy(&crew, 1, 0));
        let started_at = tokio::time::Instant::now();
        let (_end, second) = job(2);
        assert_eq!(crew.run(Origin::Unnamed, 1, second).await.unwrap_err().code(), "password_hashing_busy");
        assert!(
            started_at.elapsed() >= Duration::from_secs(1) && started_at.elapsed() < Duration::from_secs(2)
        );
        until("the running one is left alone", || is_busy(&crew, 1, 0));
        assert!(poll(running.as_mut()).is_pending(), "the deadline is for the start");
        drop(end);
        assert_eq!(running.await, Ok(1));
        assert_eq!((crew.activity().refused, crew.activity().finished), (1, 1));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_frees_its_place_but_not_a_running_job() {
        let crew = crew(limits(1, 1));
        let (end, first) = job(1);
        let mut running = Box::pin(crew.run(Origin::Unnamed, 1, first));
        assert!(poll(running.as_mut()).is_pending());
        until("it runs", || is_busy(&crew, 1, 0));
        let (_end, second) = job(2);
        let mut waiting = Box::pin(crew.run(Origin::Unnamed, 1, second));
        assert!(poll(waiting.as_mut()).is_pending());
        assert!(is_busy(&crew, 1, 1));
        drop(waiting);
        assert!(is_busy(&crew, 1, 0));
        drop(running);
        assert!(is_busy(&crew, 1, 0), "its permit is held until it really ends");
        drop(end);
        until("it ended", || is_busy(&crew, 0, 0));
        assert_eq!((crew.activity().finished, crew.activity().refused), (1, 0));
    }

    #[tokio::test]
    async fn jobs_start_in_order_of_arrival() {
        let crew = crew(limits(2, 8));
        let (mut ends, jobs): (Vec<_>, Vec<_>) = (0..5).map(job).unzip();
        let permits = [1, 1, 2, 1, 1];
        let mut callers: Vec<_> = jobs
            .into_iter()
            .zip(permits)
            .map(|(job, permits)| Box::pin(crew.run(Origin::Unnamed, permits, job)))
            .collect();
        for caller in &mut callers {
            assert!(poll(caller.as_mut()).is_pending());
        }
        until("the first two run", || is_busy(&crew, 2, 3));
        drop(ends.remove(0));
        until("one permit is free", || is_busy(&crew, 1, 3));
        let mut callers = callers.into_iter();
        assert_eq!(callers.next().unwrap().await, Ok(0));
        assert!(is_busy(&crew, 1, 3), "a small job does not overtake a large one");
        drop(ends.remove(0));
        until("the large one runs", || is_busy(&crew, 2, 2));
        drop(ends.remove(0));
        until("the last two run", || is_busy(&crew, 2, 0));
        drop(ends);
        for (number, caller) in (1..).zip(callers) {
            assert_eq!(caller.await, Ok(number));
        }
    }

    // A2: one address does not keep the others waiting behind all it has asked for.
    #[tokio::test]
    async fn origins_take_turns() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let crew = {
            let order = Arc::clone(&order);
            Crew::new(limits(1, 16), move |(number, until): Job, _: &mut Memory<'_>| {
                until.recv().unwrap_err();
                order.lock().push(number);
            })
        };
        let (end, first) = job(0);
        let mut running = pin!(crew.run(Origin::Unnamed, 1, first));
        assert!(poll(running.as_mut()).is_pending());
        until("it runs", || crew.activity().permits_in_use == 1);
        let (flood, other) = (Origin::V4([192, 0, 2, 1]), Origin::V4([192, 0, 2, 2]));
        let origins = [flood, flood, flood, flood, other, Origin::Unnamed, other];
        let mut callers: Vec<_> = origins
            .into_iter()
            .zip(1..)
            .map(|(origin, number)| Box::pin(crew.run(origin, 1, ended_job(number))))
            .collect();
        for caller in &mut callers {
            assert!(poll(caller.as_mut()).is_pending());
        }
        drop(end);
        for caller in callers {
            assert_eq!(caller.await, Ok(()));
        }
        assert_eq!(*order.lock(), [0, 1, 5, 6, 2, 7, 3, 4]);
    }

    // A2: one address cannot fill the queue.
    #[tokio::test]
    async fn who_has_most_in_a_full_queue_makes_room() {
        let crew = crew(limits(1, 4));
        let (flood, other) = (Origin::V4([192, 0, 2, 1]), Origin::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]));
        let (ends, jobs): (Vec<_>, Vec<_>) = (0..8).map(job).unzip();
        let mut jobs = jobs.into_iter();
        let mut ask = |origin| {
            let mut caller = Box::pin(crew.run(origin, 1, jobs.next().unwrap()));
            let polled = poll(caller.as_mut());
            (caller, polled)
        };
        let mut of_flood = vec![ask(flood)];
        until("it runs", || is_busy(&crew, 1, 0));
        of_flood.extend((0..4).map(|_| ask(flood)));
        assert!(is_busy(&crew, 1, 4));
        assert!(
            matches!(ask(flood).1, Poll::Ready(Err(PasswordError::Busy { .. }))),
            "nobody displaces themselves"
        );
        let (one, two) = (ask(other), ask(other));
        assert!(one.1.is_pending() && two.1.is_pending() && is_busy(&crew, 1, 4));
        let displaced: Vec<bool> =
            of_flood.iter_mut().map(|(caller, _)| poll(caller.as_mut()).is_ready()).collect();
        assert_eq!(displaced, [false, false, false, true, true], "the youngest of the flood");
        assert_eq!(crew.activity().refused, 3);
        // Two each now: a third would not be fairer.
        assert!(matches!(poll(Box::pin(crew.run(other, 1, ended_job(9))).as_mut()), Poll::Ready(Err(_))));
        drop(ends);
        of_flood.truncate(3);
        for (caller, _) in of_flood.into_iter().chain([one, two]) {
            assert!(caller.await.is_ok());
        }
        assert!(is_busy(&crew, 0, 0));
    }

    #[tokio::test]
    async fn others_go_on_when_the_large_one_in_front_leaves() {
        let crew = crew(limits(2, 8));
        let ((end, first), (_large_end, large), (last_end, last)) = (job(1), job(2), job(3));
        let mut running = pin!(crew.run(Origin::Unnamed, 1, first));
        assert!(poll(running.as_mut()).is_pending());
        let mut in_front = Box::pin(crew.run(Origin::Unnamed, 99, large));
        assert!(poll(in_front.as_mut()).is_pending());
        let mut behind = pin!(crew.run(Origin::Unnamed, 1, last));
        assert!(poll(behind.as_mut()).is_pending());
        until("two wait", || is_busy(&crew, 1, 2));
        drop(in_front);
        until("both run", || is_busy(&crew, 2, 0));
        drop((end, last_end));
        assert_eq!((running.await, behind.await), (Ok(1), Ok(3)));
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_alone() {
        let crew = crew(limits(1, 0));
        assert_eq!(crew.run(Origin::Unnamed, 1, ended_job(13)).await, Err(PasswordError::Stopped));
        assert_eq!(crew.run(Origin::Unnamed, 1, ended_job(1)).await, Ok(1), "with its permit back at once");
        assert!(is_busy(&crew, 0, 0));
    }

    #[tokio::test]
    async fn threads_without_work_end_with_their_memory() {
        let limits = Limits { idle_after: Duration::from_millis(5), ..limits(2, 8) };
        let crew = Crew::new(limits, |(), memory: &mut Memory<'_>| memory.blocks(8).unwrap().len());
        for _ in 0..2 {
            assert_eq!(crew.run(Origin::Unnamed, 1, ()).await, Ok(8));
            until("they ended", || crew.shared.state.lock().threads == 0 && crew.activity().held_bytes == 0);
        }
        let shared = Arc::clone(&crew.shared);
        drop(crew);
        until("nothing is left", || Arc::strong_count(&shared) == 1);
    }

    #[tokio::test]
    async fn a_dropped_crew_ends_its_threads() {
        let crew = crew(limits(2, 8));
        assert_eq!(crew.run(Origin::Unnamed, 1, ended_job(1)).await, Ok(1));
        let shared = Arc::clone(&crew.shared);
        assert_eq!(shared.state.lock().threads, 1, "one after the other needs one thread");
        drop(crew);
        until("they ended", || shared.state.lock().threads == 0);
    }
}
