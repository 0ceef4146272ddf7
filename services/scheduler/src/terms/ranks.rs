//! What each node by itself is worth to pods of a class, one number a node in the order nodes are looked at.
//!
//! Most pods ask for nothing that takes more than one node to say. Deciding about them is then a pass over a few cache lines:
//! a number is made anew only when something of its node changed.

use std::ops::Range;

use crate::state::Columns;

/// To be made anew before it is used.
const STALE: i32 = i32::MIN;
/// The node refuses the class.
pub(super) const REFUSED: i32 = i32::MIN + 1;

/// Ranks taken in at once: the compiler makes of it steps of several numbers.
const BLOCK: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// By position in the order.
    by_position: Vec<i32>,
    /// The last change of a node that is taken in.
    cursor: u64,
    /// The order the positions are of.
    order: u64,
}

/// The nodes a decision is between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The position of the first node looked at.
    pub(crate) start: usize,
    /// Nodes that would do after which nobody looks further.
    pub(crate) wanted: usize,
}

/// What a pass over the ranks found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Nodes looked at.
    pub(super) seen: usize,
    /// Nodes that will do.
    pub(super) feasible: usize,
    /// The most a node is worth.
    most: i32,
    /// Nodes that are worth that.
    pub(super) ties: usize,
}

impl Ranks {
    /// Forgets the ranks of nodes that changed; `nodes` must be tidy.
    pub(super) fn catch_up(&mut self, nodes: &Columns) {
        let touched = nodes.touched_since(self.cursor).filter(|_| self.order == nodes.order_made());
        match touched {
            Some(slots) => {
                for rank in slots.filter_map(|slot| nodes.position(slot)) {
                    self.by_position[rank] = STALE;
                }
            }
            None => self.forget(nodes.order().len()),
        }
        self.cursor = nodes.newest();
        self.order = nodes.order_made();
    }

    /// Forgets all ranks.
    pub(super) fn forget(&mut self, nodes: usize) {
        self.by_position.clear();
        self.by_position.resize(nodes, STALE);
    }

    /// Looks at nodes until enough will do. `rank` ranks a node at a position.
    pub(super) fn find(&mut self, window: Window, mut rank: impl FnMut(usize) -> i32) -> Found {
        let mut found = Found { most: REFUSED, ..Found::default() };
        for range in window.ranges(self.by_position.len()) {
            let first = range.start;
            for (block, ranks) in self.by_position[range].chunks_mut(BLOCK).enumerate() {
                if ranks.iter().fold(i32::MAX, |least, rank| least.min(*rank)) == STALE {
                    let positions = first + block * BLOCK..;
                    let stale = ranks.iter_mut().zip(positions).filter(|(known, _)| **known == STALE);
                    stale.for_each(|(known, position)| *known = rank(position));
                }
                if ranks.len() <= window.wanted - found.feasible {
                    found.take(ranks);
                    continue;
                }
                // some of these are enough
                for rank in ranks.chunks(1) {
                    if found.feasible == window.wanted {
                        return found;
                    }
                    found.take(rank);
                }
            }
        }
        found
    }

    /// The position of the n-th of the best nodes a pass found.
    pub(super) fn nth_best(&self, window: Window, found: &Found, n: usize) -> Option<usize> {
        let best = self.seen(window, found).filter(|(_, rank)| *rank == found.most);
        best.map(|(position, _)| position).nth(n)
    }

    /// The positions of the nodes a pass found that will do.
    pub(super) fn feasible(&self, window: Window, found: &Found) -> impl Iterator<Item = usize> {
        self.seen(window, found).filter(|(_, rank)| *rank != REFUSED).map(|(position, _)| position)
    }

    fn seen(&self, window: Window, found: &Found) -> impl Iterator<Item = (usize, i32)> {
        let [after, before] = window.ranges(self.by_position.len());
        let ranked = |range: Range<usize>| range.clone().zip(self.by_position[range].iter().copied());
        ranked(after).chain(ranked(before)).take(found.seen)
    }
}

impl Window {
    fn ranges(self, all: usize) -> [Range<usize>; 2] {
        let start = self.start % all.max(1);
        [start..all, 0..start]
    }
}

impl Found {
    fn take(&mut self, ranks: &[i32]) {
        self.seen += ranks.len();
        let most = ranks.iter().fold(REFUSED, |most, rank| most.max(*rank));
        if most == REFUSED {
            return;
        }
        self.feasible += ranks.iter().filter(|rank| **rank != REFUSED).count();
        if most > self.most {
            (self.most, self.ties) = (most, 0);
        }
        if most == self.most {
            self.ties += ranks.iter().filter(|rank| **rank == most).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Found, REFUSED, Ranks, STALE, Window};

    proptest! {
        #[test]
        fn as_one_by_one(
            ranks in proptest::collection::vec(prop_oneof![Just(REFUSED), Just(STALE), 0..4_i32], 1..200),
            start in 0..200_usize,
            wanted in 1..200_usize,
        ) {
            let new = |position: usize| if position.is_multiple_of(7) { REFUSED } else { position as i32 % 5 };
            let window = Window { start, wanted };
            let mut blocks = Ranks { by_position: ranks.clone(), ..Ranks::default() };
            let found = blocks.find(window, new);

            let all = ranks.len();
            let ranks = ranks.iter().enumerate().map(|(at, rank)| if *rank == STALE { new(at) } else { *rank });
            let ranks: Vec<i32> = ranks.collect();
            let mut one_by_one = Found { most: REFUSED, ..Found::default() };
            let mut feasible = Vec::new();
            for position in (0..all).map(|i| (start + i) % all) {
                if feasible.len() < wanted {
                    one_by_one.seen += 1;
                    feasible.extend((ranks[position] != REFUSED).then_some(position));
                }
            }
            one_by_one.feasible = feasible.len();
            let most = feasible.iter().map(|at| ranks[*at]).max().unwrap_or(REFUSED);
            let best: Vec<usize> = feasible.iter().copied().filter(|at| ranks[*at] == most).collect();
            (one_by_one.most, one_by_one.ties) = (most, best.len());
            prop_assert_eq!(&found, &one_by_one);
            for (n, position) in best.iter().enumerate() {
                prop_assert_eq!(blocks.nth_best(window, &found, n), Some(*position));
            }
            prop_assert!(best.is_empty() || blocks.nth_best(window, &found, best.len()).is_none());
            prop_assert_eq!(blocks.feasible(window, &found).collect::<Vec<_>>(), feasible);
        }
    }
}
