//! Sets of field paths, in the form of `fieldsV1`.

use super::steps::Steps;
use crate::{Map, Value};

/// A set of paths. A path's steps are spelled as in `fieldsV1`: `f:name`, `k:{"name":"x"}`, `v:1`, `i:0`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set(Steps<Node>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    /// The path that ends here is in the set.
    member: bool,
    below: Set,
}

impl Set {
    /// Whether no path is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        if self.0.get(first).is_none() {
            self.0.insert(first.clone(), Node::default());
        }
        let Some(node) = self.0.get_mut(first) else { return };
        if rest.is_empty() { node.member = true } else { node.below.insert(rest) }
    }

    /// Puts what is below a step under it; with `member`, the path to the step as well.
    pub(super) fn graft(&mut self, step: String, member: bool, below: Set) {
        self.0.insert(step, Node { member, below });
    }

    /// Whether a path is in it.
    pub fn has(&self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.0.get(first).is_some_and(|n| if rest.is_empty() { n.member } else { n.below.has(rest) })
    }

    /// What is in either.
    pub fn union(self, other: Set) -> Set {
        if self.is_empty() {
            return other;
        }
        Set(self.0.merge(other.0, |ours, theirs| {
            ours.member |= theirs.member;
            ours.below = std::mem::take(&mut ours.below).union(theirs.below);
        }))
    }

    /// What is in both.
    pub fn intersection(&self, other: &Set) -> Set {
        let both = |(step, ours): (&String, &Node)| {
            let theirs = other.0.get(step)?;
            let node =
                Node { member: ours.member && theirs.member, below: ours.below.intersection(&theirs.below) };
            node.counts().then(|| (step.clone(), node))
        };
        Set(self.0.iter().filter_map(both).collect())
    }

    /// What is in this one and not in the other, path by path.
    pub fn difference(mut self, other: &Set) -> Set {
        for (step, theirs) in other.0.iter() {
            let Some(node) = self.0.get_mut(step) else { continue };
            node.member &= !theirs.member;
            node.below = std::mem::take(&mut node.below).difference(&theirs.below);
            if !node.counts() {
                self.0.remove(step);
            }
        }
        self
    }

    /// Takes out a path, spelled in steps, and leaves what is below it.
    pub(super) fn omit(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let Some(node) = self.0.get_mut(first) else { return };
        if rest.is_empty() {
            node.member = false
        } else {
            node.below.omit(rest)
        }
        if !node.counts() {
            self.0.remove(first);
        }
    }

    /// Takes out a path and everything below it.
    pub fn exclude(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first().filter(|_| !self.is_empty()) else { return };
        let step = ["f:", first].concat();
        if rest.is_empty() {
            self.0.remove(&step);
        } else if let Some(node) = self.0.get_mut(&step) {
            node.below.exclude(rest);
            if !node.counts() {
                self.0.remove(&step);
            }
        }
    }

    /// Every path, parents first.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        self.collect(&mut Vec::new(), &mut all);
        all
    }

    fn collect(&self, path: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
        for (step, node) in self.0.iter() {
            path.push(step.clone());
            if node.member {
                all.push(path.clone());
            }
            node.below.collect(path, all);
            path.pop();
        }
    }

    /// Makes every path's ancestors members too.
    pub(super) fn with_ancestors(mut self) -> Set {
        for node in self.0.values_mut() {
            node.member = true;
            node.below = std::mem::take(&mut node.below).with_ancestors();
        }
        self
    }

    /// Steps below this one, with whether the path to them is a member.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&String, bool, &Set)> {
        self.0.iter().map(|(step, node)| (step, node.member, &node.below))
    }

    /// What is below a step.
    pub(super) fn below(&self, step: &str) -> Option<(bool, &Set)> {
        self.0.get(step).map(|n| (n.member, &n.below))
    }

    /// Reads `fieldsV1`.
    pub fn from_value(value: &Value) -> Set {
        let mut set = Set::default();
        for (step, below) in value.as_map().into_iter().flat_map(Map::iter).filter(|(step, _)| *step != ".") {
            let inner = below.as_map();
            let leaf = inner.is_none_or(Map::is_empty);
            let member = leaf || inner.is_some_and(|m| m.contains_key("."));
            set.0.insert(step.clone().into_owned(), Node { member, below: Set::from_value(below) });
        }
        set
    }

    /// Writes `fieldsV1`.
    pub fn into_value(self) -> Value {
        Value::Map(self.into_map(false))
    }

    /// The map of what is below a path; `dot`: the path itself is in the set.
    fn into_map(self, dot: bool) -> Map {
        let mut map = Map::with_capacity(self.0.len() + usize::from(dot));
        if dot {
            map.push(".", Map::new());
        }
        for (step, Node { member, below }) in self.0 {
            let dot = member && !below.is_empty();
            map.push(step, below.into_map(dot));
        }
        map
    }
}

impl Node {
    fn counts(&self) -> bool {
        self.member || !self.below.is_empty()
    }
}

/// A path as conflicts print it: `.spec.containers[name="x"].image`.
pub(super) fn display(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match step.split_at_checked(2) {
            Some(("f:", name)) => {
                text.push('.');
                text.push_str(name);
            }
            Some(("k:", keys)) => {
                let keys: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(keys).unwrap_or_default(); // ours
                let parts: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                text.push_str(&format!("[{}]", parts.join(",")));
            }
            Some(("v:", value)) => text.push_str(&format!("[={value}]")),
            Some((_, index)) => text.push_str(&format!("[{index}]")),
            None => text.push_str(step),
        }
    }
    text
}
