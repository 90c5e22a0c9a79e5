//! In which order roles are compiled: parents before their heirs, cycles cut.

use std::ops::Range;

use crate::index::wide;

/// Who inherits from whom, by numbers.
pub(super) struct Parents {
    pairs: Vec<(u32, u32)>,
    starts: Vec<u32>,
}

impl Parents {
    fn new(count: u32, mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut starts = vec![0_u32; wide(count) + 1];
        for (heir, _) in &pairs {
            if let Some(next) = starts.get_mut(wide(*heir) + 1) {
                *next += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Self { pairs, starts }
    }

    fn range(&self, heir: u32) -> Range<u32> {
        let start = self.starts.get(wide(heir)).copied().unwrap_or_default();
        start..self.starts.get(wide(heir) + 1).copied().unwrap_or(start)
    }

    pub(super) fn of(&self, heir: u32) -> impl Iterator<Item = u32> {
        let Range { start, end } = self.range(heir);
        self.pairs.get(wide(start)..wide(end)).unwrap_or_default().iter().map(|(_, parent)| *parent)
    }
}

/// The numbers below `count` with parents first, the pairs of heir and parent that are not on a cycle, and those that are:
/// all of a cycle's pairs, for rows do not tell which one closed it.
///
/// Tarjan's strongly connected components, without recursion: rows decide how deep it goes.
pub(super) fn order(count: u32, pairs: Vec<(u32, u32)>) -> (Vec<u32>, Parents, Vec<(u32, u32)>) {
    if pairs.is_empty() {
        return ((0..count).collect(), Parents::new(0, pairs), Vec::new());
    }
    let all = Parents::new(count, pairs);
    let mut search = Search {
        nodes: vec![Node::default(); wide(count)],
        open: Vec::new(),
        order: Vec::with_capacity(wide(count)),
        met: 0,
        components: 0,
    };
    for root in 0..count {
        search.from(root, &all);
    }
    let component = |number: u32| search.nodes.get(wide(number)).map(|node| node.component);
    let (cut, kept) = all.pairs.iter().partition(|(heir, parent)| component(*heir) == component(*parent));
    (search.order, Parents::new(count, kept), cut)
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// When it was met, from 1; 0 is not yet.
    met: u32,
    /// The earliest that can be reached from it and is still open.
    low: u32,
    /// From 1; 0 while it is open.
    component: u32,
}

struct Search {
    nodes: Vec<Node>,
    open: Vec<u32>,
    order: Vec<u32>,
    met: u32,
    components: u32,
}

impl Search {
    fn node(&mut self, number: u32) -> Option<&mut Node> {
        self.nodes.get_mut(wide(number))
    }

    fn enter(&mut self, number: u32, path: &mut Vec<(u32, Range<u32>)>, edges: Range<u32>) {
        self.met += 1;
        let met = self.met;
        if let Some(node) = self.node(number) {
            (node.met, node.low) = (met, met);
        }
        self.open.push(number);
        path.push((number, edges));
    }

    fn from(&mut self, root: u32, all: &Parents) {
        if self.node(root).is_none_or(|node| node.met != 0) {
            return;
        }
        let mut path = Vec::new();
        self.enter(root, &mut path, all.range(root));
        while let Some((number, edges)) = path.last_mut() {
            let number = *number;
            let parent = edges.next().and_then(|edge| all.pairs.get(wide(edge))).map(|(_, parent)| *parent);
            let Some(parent) = parent else {
                path.pop();
                let low = self.leave(number);
                if let Some((heir, _)) = path.last()
                    && let Some(node) = self.node(*heir)
                {
                    node.low = node.low.min(low);
                }
                continue;
            };
            match self.node(parent).copied() {
                Some(Node { met: 0, .. }) => self.enter(parent, &mut path, all.range(parent)),
                Some(Node { met, component: 0, .. }) => {
                    if let Some(node) = self.node(number) {
                        node.low = node.low.min(met);
                    }
                }
                _ => {}
            }
        }
    }

    /// Closes the component that begins here, if one does. Returns what the node below it can reach by this one.
    fn leave(&mut self, number: u32) -> u32 {
        let Some(Node { met, low, .. }) = self.node(number).copied() else { return u32::MAX };
        if met == low {
            self.components += 1;
            let component = self.components;
            while let Some(member) = self.open.pop() {
                if let Some(node) = self.node(member) {
                    node.component = component;
                }
                self.order.push(member);
                if member == number {
                    break;
                }
            }
            return u32::MAX;
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parents_come_first_and_cycles_are_cut(pairs in prop::collection::vec((0_u32..9, 0_u32..9), 0..20)) {
            let reaches = |from: u32, to: u32| {
                let mut seen = vec![from];
                let mut next = 0;
                while next < seen.len() {
                    let parents = pairs.iter().filter(|(heir, _)| *heir == seen[next]).map(|(_, parent)| *parent);
                    for parent in parents.collect::<Vec<_>>() {
                        if parent == to {
                            return true;
                        }
                        if !seen.contains(&parent) {
                            seen.push(parent);
                        }
                    }
                    next += 1;
                }
                false
            };
            let (order, parents, cut) = order(9, pairs.clone());
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..9).collect::<Vec<_>>());
            for &(heir, parent) in &pairs {
                let is_cut = heir == parent || reaches(parent, heir);
                prop_assert_eq!(cut.contains(&(heir, parent)), is_cut);
                prop_assert_eq!(parents.of(heir).any(|one| one == parent), !is_cut);
                if !is_cut {
                    let at = |number| order.iter().position(|one| *one == number);
                    prop_assert!(at(parent) < at(heir));
                }
            }
        }
    }

    #[test]
    fn a_chain_of_a_million_does_not_overflow_the_stack() {
        let pairs = (1..1_000_000).map(|n| (n - 1, n)).collect();
        let (order, _, cut) = order(1_000_000, pairs);
        assert_eq!((order.first(), cut.len()), (Some(&999_999), 0));
    }
}
