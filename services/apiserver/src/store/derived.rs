//! Another form of a cached object, kept beside it as long as there is room.
//!
//! Components of clusters list and watch in protobuf: what one of them was sent, the next one is sent again. All kept
//! forms together have a budget; beyond it a form is made for each who asks. A form goes with its object.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes of all kept forms.
const BUDGET_BYTES: usize = 64 << 20;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A form that is made when first asked for.
#[derive(Debug, Default)]
pub struct Derived(OnceLock<Bytes>);

impl Derived {
    /// The kept form, or the one that `make` makes.
    ///
    /// # Errors
    /// `make` fails.
    pub fn get_or<E>(&self, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        if let Some(kept) = self.0.get() {
            return Ok(kept.clone());
        }
        let made = make()?;
        let held = HELD_BYTES.fetch_add(made.len(), Ordering::Relaxed) + made.len();
        // another request may have been first
        if held > BUDGET_BYTES || self.0.set(made.clone()).is_err() {
            HELD_BYTES.fetch_sub(made.len(), Ordering::Relaxed);
        }
        Ok(made)
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        if let Some(kept) = self.0.get() {
            HELD_BYTES.fetch_sub(kept.len(), Ordering::Relaxed);
        }
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
