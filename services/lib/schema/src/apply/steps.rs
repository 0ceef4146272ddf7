//! A small map from steps: a sorted list. Sets are read and written in order, and most levels have a few steps.

use std::cmp::Ordering;

/// Values by step, in the order of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps<T>(Vec<(String, T)>);

impl<T> Default for Steps<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Steps<T> {
    /// Where a step is, or where it belongs.
    fn place(&self, step: &str) -> Result<usize, usize> {
        // what is added comes mostly in order
        match self.0.last().map(|(last, _)| last.as_str().cmp(step)) {
            None | Some(Ordering::Less) => Err(self.0.len()),
            Some(Ordering::Equal) => Ok(self.0.len() - 1),
            Some(Ordering::Greater) => self.0.binary_search_by(|(known, _)| known.as_str().cmp(step)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, step: &str) -> Option<&T> {
        self.place(step).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, step: &str) -> Option<&mut T> {
        self.place(step).ok().map(|at| &mut self.0[at].1)
    }

    /// Sets the value of a step.
    pub(super) fn insert(&mut self, step: String, value: T) {
        match self.place(&step) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (step, value)),
        }
    }

    pub(super) fn remove(&mut self, step: &str) {
        if let Ok(at) = self.place(step) {
            self.0.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.0.iter().map(|(step, value)| (step, value))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes in what `other` has; where both have a step, `join` puts theirs into ours.
    pub(super) fn merge(self, other: Self, mut join: impl FnMut(&mut T, T)) -> Self {
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut ours, mut theirs) = (self.0.into_iter().peekable(), other.0.into_iter().peekable());
        while let (Some((a, _)), Some((b, _))) = (ours.peek(), theirs.peek()) {
            match a.cmp(b) {
                Ordering::Less => merged.extend(ours.next()),
                Ordering::Greater => merged.extend(theirs.next()),
                Ordering::Equal => {
                    if let (Some((step, mut value)), Some((_, their))) = (ours.next(), theirs.next()) {
                        join(&mut value, their);
                        merged.push((step, value));
                    }
                }
            }
        }
        merged.extend(ours);
        merged.extend(theirs);
        Self(merged)
    }
}

impl<T> IntoIterator for Steps<T> {
    type Item = (String, T);
    type IntoIter = std::vec::IntoIter<(String, T)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> FromIterator<(String, T)> for Steps<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(steps: I) -> Self {
        let mut made = Self::default();
        for (step, value) in steps {
            made.insert(step, value);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Steps<u32> {
        text.split_whitespace().map(|step| (step.to_owned(), 1)).collect()
    }

    #[test]
    fn in_order_whatever_the_order_they_come_in() {
        let mut all = steps("b d a c b");
        assert_eq!(all.iter().map(|(step, _)| step.as_str()).collect::<String>(), "abcd");
        all.insert("b".into(), 7);
        all.remove("a");
        all.remove("x");
        assert_eq!((all.get("a"), all.get("b"), all.get("c"), all.len()), (None, Some(&7), Some(&1), 3));
    }

    #[test]
    fn merges() {
        let merged = steps("a c e").merge(steps("b c f"), |ours, theirs| *ours += theirs);
        let shown: Vec<_> = merged.iter().map(|(step, n)| format!("{step}{n}")).collect();
        assert_eq!(shown, ["a1", "b1", "c2", "e1", "f1"]);
    }
}
