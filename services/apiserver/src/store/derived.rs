//! Another form of a cached object, kept beside it as long as there is room.
//!
//! Components of clusters list and watch in protobuf: what one of them was sent, the next one is sent again. All kept
//! forms together have a budget; beyond it a form is made for each who asks. A form goes with its object.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes of all kept forms.
const BUDGET_BYTES: usize = 96 << 20;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A part of the budget that is taken; given back when dropped.
#[derive(Debug)]
pub struct Held(usize);

impl Held {
    /// Takes so many bytes; `None` when there is no room.
    pub fn take(bytes: usize) -> Option<Self> {
        let held = HELD_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let part = Self(bytes);
        (held <= BUDGET_BYTES).then_some(part)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// A form that is made when first asked for.
#[derive(Debug, Default)]
pub struct Derived(OnceLock<(Bytes, Held)>);

impl Derived {
    /// The kept form.
    pub fn get(&self) -> Option<Bytes> {
        self.0.get().map(|(kept, _)| kept.clone())
    }

    /// The kept form, or the one that `make` makes.
    ///
    /// # Errors
    /// `make` fails.
    pub fn get_or<E>(&self, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        if let Some(kept) = self.get() {
            return Ok(kept);
        }
        let made = make()?;
        if let Some(held) = Held::take(made.len()) {
            // another request may have been first: then this one is dropped, and its part of the budget with it
            drop(self.0.set((made.clone(), held)));
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let form = Derived::default();
        let make = |text: &'static str| form.get_or(|| Ok::<_, ()>(Bytes::from_static(text.as_bytes())));
        assert_eq!(form.get_or(|| Err(())), Err(()));
        assert_eq!(make("one"), Ok(Bytes::from_static(b"one")));
        assert_eq!(make("two"), Ok(Bytes::from_static(b"one")));
    }
}
