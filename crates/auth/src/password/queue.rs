use std::collections::VecDeque;

use super::origin::Origin;

/// Those who wait, in the order of their turns: one of each origin, each origin's in order of arrival.
pub(super) struct Queue<W> {
    /// Of every origin that waits, in the order of their turns; none is empty. There are never more than places in the queue, which
    /// are few: looking through them costs less than keeping an index.
    lanes: VecDeque<Lane<W>>,
    len: usize,
    next_id: u64,
}

/// The waiters of one origin by their ids, in order of arrival.
struct Lane<W> {
    origin: Origin,
    waiters: VecDeque<(u64, W)>,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self { lanes: VecDeque::new(), len: 0, next_id: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a waiter and gives it an id.
    pub(super) fn push(&mut self, origin: Origin, waiter: W) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.len += 1;
        match self.lanes.iter_mut().find(|lane| lane.origin == origin) {
            Some(lane) => lane.waiters.push_back((id, waiter)),
            None => self.lanes.push_back(Lane { origin, waiters: VecDeque::from([(id, waiter)]) }),
        }
        id
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<&W> {
        self.lanes.front().and_then(|lane| lane.waiters.front()).map(|(_, waiter)| waiter)
    }

    /// Takes out whose turn it is. The origin's next waiter comes after those of all others.
    pub(super) fn pop(&mut self) -> Option<W> {
        let mut lane = self.lanes.pop_front()?;
        let (_, waiter) = lane.waiters.pop_front()?;
        if !lane.waiters.is_empty() {
            self.lanes.push_back(lane);
        }
        self.len -= 1;
        Some(waiter)
    }

    /// Takes out the waiter with an id, if it still waits.
    pub(super) fn remove(&mut self, id: u64) -> Option<W> {
        let place = |lane: &Lane<W>| lane.waiters.binary_search_by_key(&id, |(id, _)| *id).ok();
        let found = self.lanes.iter().enumerate().find_map(|(at, lane)| Some((at, place(lane)?)));
        let (at, index) = found?;
        let lane = self.lanes.get_mut(at)?;
        let (_, waiter) = lane.waiters.remove(index)?;
        if lane.waiters.is_empty() {
            self.lanes.remove(at);
        }
        self.len -= 1;
        Some(waiter)
    }

    /// Takes out the youngest waiter of the origin that has most, if `origin` has less even with one more. Never whose turn it is: an
    /// origin that loses a waiter keeps an older one.
    pub(super) fn displace_for(&mut self, origin: Origin) -> Option<W> {
        let own = self.lanes.iter().find(|lane| lane.origin == origin).map_or(0, |lane| lane.waiters.len());
        let longest = self.lanes.iter_mut().max_by_key(|lane| lane.waiters.len())?;
        if longest.waiters.len() <= own + 1 {
            return None;
        }
        let (_, waiter) = longest.waiters.pop_back()?;
        self.len -= 1;
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOD: Origin = Origin::V4([192, 0, 2, 1]);
    const OTHER: Origin = Origin::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]);

    #[test]
    fn origins_take_turns_and_keep_their_own_order() {
        let mut queue = Queue::new();
        let asked = [(FLOOD, 1), (FLOOD, 2), (FLOOD, 3), (OTHER, 4), (Origin::Unnamed, 5), (OTHER, 6)];
        for (origin, waiter) in asked {
            queue.push(origin, waiter);
        }
        assert_eq!(queue.next(), Some(&1));
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_has_most_loses_the_youngest_until_all_have_as_much() {
        let mut queue = Queue::new();
        for waiter in 1..=4 {
            queue.push(FLOOD, waiter);
        }
        assert_eq!(queue.displace_for(FLOOD), None, "nobody displaces themselves");
        for displaced in [4, 3] {
            assert_eq!(queue.displace_for(OTHER), Some(displaced));
            queue.push(OTHER, displaced * 10);
        }
        assert_eq!(queue.displace_for(OTHER), None, "a third would not be fairer");
        assert_eq!((queue.len(), queue.next()), (4, Some(&1)));
    }

    fn origin(number: u8) -> Origin {
        Origin::V4([192, 0, 2, number % 5])
    }

    proptest! {
        /// Whatever is pushed, taken, left and displaced: everybody comes out once, and no lane is left empty.
        #[test]
        fn everybody_comes_out_once(steps in prop::collection::vec((0_u8..4, any::<u8>()), 0..200)) {
            let mut queue = Queue::new();
            let (mut inside, mut out) = (Vec::new(), 0_usize);
            for (what, number) in steps {
                match what {
                    0 | 1 => inside.push(queue.push(origin(number), ())),
                    2 => out += usize::from(queue.pop().is_some()),
                    _ if number % 2 == 0 => out += usize::from(queue.displace_for(origin(number)).is_some()),
                    _ => {
                        let id = inside.get(usize::from(number) % inside.len().max(1)).copied().unwrap_or(99);
                        out += usize::from(queue.remove(id).is_some());
                        prop_assert!(queue.remove(id).is_none());
                    }
                }
                prop_assert_eq!(queue.len(), inside.len() - out);
                prop_assert_eq!(queue.next().is_none(), queue.is_empty());
                prop_assert!(queue.lanes.iter().all(|lane| !lane.waiters.is_empty()));
            }
            let left = std::iter::from_fn(|| queue.pop()).count();
            prop_assert_eq!(left, inside.len() - out);
        }
    }
}
