use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Says something at most once in a while, and how often it was not said since: for what others can cause at every
/// request, so that nobody else writes the log.
pub(crate) struct Seldom {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// At most once in `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Whether to say it now: how often it was not said since the last time, or `None`.
    pub(crate) fn say(&self) -> Option<u64> {
        self.say_at(Instant::now())
    }

    fn say_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.said_at.is_some_and(|at| now.saturating_duration_since(at) < self.every) {
            state.unsaid += 1;
            return None;
        }
        state.said_at = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_in_a_while_with_the_number_of_times_it_was_not() {
        let seldom = Seldom::new(Duration::from_secs(60));
        let begun = Instant::now();
        let said: Vec<(u64, u64)> = (0..=180)
            .filter_map(|second| Some((second, seldom.say_at(begun + Duration::from_secs(second))?)))
            .collect();
        assert_eq!(said, [(0, 0), (60, 59), (120, 59), (180, 59)]);
    }
}
